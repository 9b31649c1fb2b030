//! The forward pass over bf16, with the processor's dot products of pairs.

use half::bf16;

use super::super::vector::Shared;
use super::pairs::{interleave, product, round_pairs, transpose, words_of};
use super::pairs_tile::{QueryRows, weight};
use super::plan::KEYS;

/// One tile of queries for one key head.
pub(super) struct Tile<'a> {
    pub(super) queries: QueryRows<'a>,
    pub(super) q: &'a [bf16],
    pub(super) k: &'a [bf16],
    pub(super) v: &'a [bf16],
    pub(super) out: &'a Shared<'a>,
    pub(super) log_normalisers: &'a Shared<'a>,
}

impl Tile<'_> {
    /// # Safety
    /// The processor has AVX-512 with BF16, and no other task writes this tile's rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    pub(super) unsafe fn run(&self) {
        let Self { queries, q, k, v, .. } = self;
        let (rows, width, dim) = (queries.rows, queries.width, queries.shape.head_dim);
        let pairs = dim / 2;
        let mut q_words = vec![0_u32; pairs * width];
        let q_rows: Vec<&[bf16]> = (0..rows).map(|r| queries.of(q, r)).collect();
        transpose(&q_rows, width, &mut q_words);
        let nothing = vec![bf16::ZERO; dim];
        let mut scores = vec![0.0_f32; KEYS * width];
        let mut weights = vec![0_u32; KEYS / 2 * width];
        let mut value_words = vec![0_u32; KEYS / 2 * dim];
        let mut sums = vec![0.0_f32; rows * dim];
        let mut largest = vec![f32::NEG_INFINITY; width];
        let [mut highest, mut shrink, mut totals, mut added] = [(); 4].map(|()| vec![0.0_f32; width]);
        for first in queries.tile.key_tiles(queries.plan, &queries.shape) {
            let slots = queries.slots(first);
            let (mut key_rows, mut value_rows) = ([nothing.as_slice(); KEYS], [nothing.as_slice(); KEYS]);
            let present = queries.for_each_key(first, |slot, row| {
                (key_rows[slot], value_rows[slot]) = (queries.key_head(k, row), queries.key_head(v, row));
            });
            let keys = key_rows.map(words_of);
            let lines: Vec<*mut f32> = scores.chunks_exact_mut(width).map(<[f32]>::as_mut_ptr).collect();
            // SAFETY: keys are rows of `pairs` words, lines are
            // rows of `width` sums.
            unsafe { product((&keys[..slots], 1), &q_words, (width, pairs), &lines[..slots], false) };

            highest.copy_from_slice(&largest);
            for (slot, scores) in scores.chunks_exact_mut(width).enumerate().take(slots) {
                queries.finish_scores(scores, first + slot, present >> slot & 1 == 1);
                highest.iter_mut().zip(&*scores).for_each(|(highest, &score)| *highest = highest.max(score));
            }
            for ((shrink, highest), largest) in shrink.iter_mut().zip(&mut highest).zip(&mut largest) {
                *shrink = weight(*largest, *highest);
                *largest = *highest;
                // Where nothing is visible yet every score is masked, and the base only must not be infinite.
                *highest = highest.max(f32::MIN);
            }
            added.fill(0.0);
            for scores in scores.chunks_exact_mut(width).take(slots) {
                for ((score, &base), added) in scores.iter_mut().zip(&highest).zip(&mut added) {
                    *score = weight(*score, base);
                    *added += *score;
                }
            }
            for ((total, &shrink), &added) in totals.iter_mut().zip(&shrink).zip(&added) {
                *total = *total * shrink + added;
            }
            let used = slots.div_ceil(2);
            scores[slots * width..].fill(0.0);
            for pair in 0..used {
                let (low, high) = scores[2 * pair * width..][..2 * width].split_at(width);
                round_pairs(low, high, &mut weights[pair * width..][..width]);
                let to = &mut value_words[pair * dim..][..dim];
                interleave(value_rows[2 * pair], value_rows[2 * pair + 1], to);
            }
            for (sums, &shrink) in sums.chunks_exact_mut(dim).zip(&shrink) {
                // Most rows keep their largest score from one tile to the next.
                if shrink < 1.0 {
                    for sum in sums.iter_mut() {
                        *sum *= shrink;
                    }
                }
            }
            let left: Vec<*const u32> = weights[..rows].iter().map(std::ptr::from_ref).collect();
            let lines: Vec<*mut f32> = sums.chunks_exact_mut(dim).map(<[f32]>::as_mut_ptr).collect();
            // SAFETY: `weights` has `used` rows of `width` words, `lines` are rows of `dim` sums.
            unsafe { product((&left, width), &value_words, (dim, used), &lines, true) };
        }
        // SAFETY: as promised by the caller.
        unsafe { self.store(&mut sums, &largest, &totals) };
    }

    /// Writes what the rows have come to: `sums` of weighted values, a row each.
    ///
    /// # Safety
    /// No other task writes this tile's rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    pub(super) unsafe fn store(&self, sums: &mut [f32], largest: &[f32], totals: &[f32]) {
        let Self { queries, .. } = self;
        let dim = queries.shape.head_dim;
        for (r, sums) in sums.chunks_exact_mut(dim).enumerate() {
            let (row, head) = queries.place(r);
            let place = row * queries.shape.heads + head;
            let inverse = 1.0 / totals[r];
            for sum in sums.iter_mut() {
                *sum *= inverse;
            }
            // SAFETY: each (row, head) belongs to one tile, as promised by the caller.
            unsafe {
                self.out.part(place * dim..(place + 1) * dim).store(sums, false);
                self.log_normalisers.part(place..place + 1).store(&[largest[r] + totals[r].ln()], false);
            }
        }
    }
}
