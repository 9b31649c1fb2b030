use camelid_kernels::{Backend, DType, Directions, HeadCotangents, HeadOutputs, HeadTargets, Weight};
use proptest::prelude::*;

use crate::harness::{Tolerance, activation, agree, config, host, indices, size, values};

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn targets_are_scored(
        rows in size(),
        input in size(),
        // A vocabulary of one has zero gradients, of which no rounding error is a small part.
        vocabulary in size().prop_map(|size| size + 1),
        extra in 0_usize..10,
        softcap in prop_oneof![Just(None), Just(Some(5.0_f32))],
        with_entropy in any::<bool>(),
        prepared in any::<bool>(),
        seed in 0..99_u64,
    ) {
        let mut of_rows: Vec<u32> = (0..rows as u32).chain(indices(extra, rows, seed)).collect();
        of_rows.sort_unstable();
        let count = of_rows.len();
        let tokens = indices(count, vocabulary, seed + 1);
        let (rows_list, tokens_list) = (of_rows.clone(), tokens.clone());
        agree!(Tolerance { f32: 2e-5, bf16: 0.1 }, |b| {
            let hidden = activation(b, &values(rows * input, seed));
            let numbers = b.upload(&values(vocabulary * input, seed + 1));
            let matrix = b.prepare(&numbers, vocabulary, input, Directions::Both);
            let as_values = Weight::Values { values: &numbers, out: vocabulary, input };
            let weight = if prepared { Weight::Prepared(&matrix) } else { as_values };
            let (of_rows, tokens) = (b.upload_u32(&of_rows), b.upload_u32(&tokens));
            let targets = HeadTargets { rows: &of_rows, tokens: &tokens, count };
            let [mut log_probs, mut entropies, mut hits] = [(); 3].map(|()| b.zeros(DType::F32, count));
            let mut log_normalisers = b.alloc(DType::F32, rows);
            let outputs = HeadOutputs {
                log_probs: &mut log_probs,
                entropies: with_entropy.then_some(&mut entropies),
                hits: &mut hits,
                log_normalisers: &mut log_normalisers,
            };
            b.head(&hidden, rows, weight, softcap, targets, outputs);
            let mut logits = b.alloc(DType::F32, rows * vocabulary);
            let normalisers = b.logits(&hidden, rows, weight, softcap, &mut logits);
            let numbers_of = b.read(&logits, 0, rows * vocabulary);
            // A token has the same log-probability whichever way it is asked for, to the bit.
            for ((&row, &token), scored) in rows_list.iter().zip(&tokens_list).zip(b.read(&log_probs, 0, count)) {
                let logit = f64::from(numbers_of[row as usize * vocabulary + token as usize]);
                let log_prob = (logit - normalisers[row as usize]) as f32;
                let same = log_prob.to_bits() == scored.to_bits();
                assert!(same || b.name().starts_with("reference"), "{log_prob} {scored}");
            }
            let (of_log_probs, of_entropies) = (b.upload(&values(count, seed + 2)), b.upload(&values(count, seed + 3)));
            let cotangents =
                HeadCotangents { log_probs: &of_log_probs, entropies: with_entropy.then_some(&of_entropies) };
            let mut dhidden = b.alloc(DType::F32, rows * input);
            let mut dweight = b.upload(&values(vocabulary * input, seed + 4));
            b.head_backward(
                &hidden, rows, weight, softcap, targets, &log_normalisers, cotangents, &mut dhidden, Some(&mut dweight),
            );
            let mut activations = b.alloc(b.activation_dtype(), rows * input);
            b.head_backward(
                &hidden, rows, weight, softcap, targets, &log_normalisers, cotangents, &mut activations, None,
            );
            // Ties of the largest logit may fall either way, so hits are compared where the head's own tests make none.
            [&log_probs, &entropies, &log_normalisers, &dhidden, &dweight, &activations, &logits]
                .map(|buffer| host(b, buffer))
                .to_vec()
        });
    }
}
