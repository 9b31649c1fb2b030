use camelid_kernels::{Backend, DType};
use proptest::prelude::*;

use crate::harness::{Tolerance, agree, config, dtype, host, indices, size, typed, values};

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn copies_and_additions(len in 1_usize..40_000, from in dtype(), to in dtype(), factor in -2.0_f32..2.0, seed in 0..99_u64) {
        agree!(Tolerance::STORED, |b| {
            let from = typed(b, from, &values(len, seed));
            let mut copied = b.zeros(to, len + 3);
            b.copy(&from, &mut copied, len);
            let mut sum = typed(b, to, &values(len, seed + 1));
            b.add_scaled(&mut sum, &from, factor, len);
            let mut filled = b.alloc(to, len);
            b.fill(&mut filled, 0.5);
            vec![host(b, &copied), host(b, &sum), host(b, &filled)]
        });
    }

    #[test]
    fn rows_are_gathered_and_scattered(rows in size(), spare in size(), width in size(), from in dtype(), to in dtype(), seed in 0..99_u64) {
        let total = rows + spare;
        // Distinct, in no order: a stretch of a permutation of the rows by a step that is coprime to their number.
        let step = (total / 2 + 1..=2 * total + 1).find(|step| gcd(*step, total) == 1).unwrap();
        let picks: Vec<u32> = (0..rows).map(|i| ((i * step + seed as usize) % total) as u32).collect();
        agree!(Tolerance::STORED, |b| {
            let picks = b.upload_u32(&picks);
            let large = typed(b, from, &values(total * width, seed));
            let mut small = b.alloc(to, rows * width);
            b.gather_rows(&large, &picks, rows, width, &mut small);
            let gathered = host(b, &small);
            let mut overwritten = typed(b, to, &values(total * width, seed + 1));
            b.scatter_rows(&small, &picks, rows, width, &mut overwritten, false);
            let mut added = typed(b, from, &values(total * width, seed + 2));
            b.scatter_rows(&small, &picks, rows, width, &mut added, true);
            vec![gathered, host(b, &overwritten), host(b, &added)]
        });
    }

    #[test]
    fn random_masks_are_the_same(rows in size(), width in size(), of in dtype(), p in 0.0_f32..0.9, seed in any::<u64>()) {
        agree!(Tolerance::STORED, |b| {
            let x = typed(b, of, &values(rows * width, 1));
            let mut dropped = b.alloc(of, rows * width);
            b.dropout(&x, &mut dropped, rows * width, p, seed);
            let mut noisy = x;
            let magnitude = b.upload(&values(rows, 2));
            b.add_uniform_noise(&mut noisy, &magnitude, rows, width, seed);
            vec![host(b, &dropped), host(b, &noisy)]
        });
    }

    #[test]
    fn sums(rows in size(), width in size(), of in dtype(), seed in 0..99_u64) {
        agree!(Tolerance { f32: 1e-5, bf16: 1e-5 }, |b| {
            let x = typed(b, of, &values(rows * width, seed));
            let mut sums = b.upload(&values(width, seed + 1));
            b.sum_rows(&x, rows, width, &mut sums);
            vec![host(b, &sums), vec![b.sum_of_squares(&x, rows * width) as f32]]
        });
    }

    #[test]
    fn embedding(rows in size(), vocabulary in size(), width in size(), table in dtype(), out in dtype(), seed in 0..99_u64) {
        let ids = indices(rows, vocabulary, seed);
        agree!(Tolerance::STORED, |b| {
            let ids = b.upload_u32(&ids);
            let table = typed(b, table, &values(vocabulary * width, seed));
            let mut embedded = b.alloc(out, rows * width);
            b.embed(&table, &ids, rows, width, 1.5, &mut embedded);
            let gradient = typed(b, out, &values(rows * width, seed + 1));
            let mut sums = b.upload(&values(vocabulary * width, seed + 2));
            b.embed_backward(&gradient, &ids, rows, width, 1.5, &mut sums);
            vec![host(b, &embedded), host(b, &sums)]
        });
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[test]
fn many_rows_are_summed_in_blocks() {
    agree!(Tolerance { f32: 1e-5, bf16: 1e-5 }, |b| {
        let x = b.upload(&values(1000 * 300, 1));
        let mut sums = b.zeros(DType::F32, 300);
        b.sum_rows(&x, 1000, 300, &mut sums);
        vec![host(b, &sums), vec![b.sum_of_squares(&x, 1000 * 300) as f32]]
    });
}

#[test]
fn a_zero_probability_drops_nothing() {
    agree!(Tolerance::ROUNDING, |b| {
        let x = b.upload(&values(5000, 1));
        let mut dropped = b.alloc(DType::F32, 5000);
        b.dropout(&x, &mut dropped, 5000, 0.0, 9);
        assert_eq!(host(b, &dropped), host(b, &x));
        vec![host(b, &dropped)]
    });
}
