use camelid_kernels::{Backend, Compute, DType, HeadOutputs, HeadTargets, INT8_GROUP, LowRank, Weight};
use proptest::prelude::*;

use crate::harness::{MACHINES, REFERENCE, Tolerance, activation, agree, config, host, indices, size, values};

/// The values of int8 weights are not exact in bf16, so that machines that compute in bf16 round each of them once more;
/// that they round as they do any weight is checked bit for bit beside the kernel.
const TOLERANCE: Tolerance = Tolerance { f32: 1e-5, bf16: 4e-2 };

/// `x Wᵀ` in `f32`, for `x` of as many rows as inputs.
fn product<B: Backend>(b: &B, weight: &[f32], identity: &[f32], (out, input): (usize, usize)) -> Vec<f32> {
    let matrix = b.prepare_int8(&b.upload(weight), out, input);
    let mut y = b.alloc(DType::F32, input * out);
    b.linear(&activation(b, identity), input, Weight::Prepared(&matrix), None, None, &mut y, false);
    host(b, &y)
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn linear_layers(
        rows in size(),
        out in size(),
        input in size(),
        rank in prop_oneof![Just(0_usize), 1_usize..20],
        bias in any::<bool>(),
        accumulate in any::<bool>(),
        seed in 0..99_u64,
    ) {
        agree!(TOLERANCE, |b| {
            let matrix = b.prepare_int8(&b.upload(&values(out * input, seed)), out, input);
            let x = activation(b, &values(rows * input, seed + 1));
            let bias = bias.then(|| b.upload(&values(out, seed + 2)));
            let (left, right) = (activation(b, &values(rows * rank, seed + 3)), b.upload(&values(out * rank, seed + 4)));
            let thin = (rank > 0).then_some(LowRank { left: &left, right: &right, rank });
            let mut y = b.upload(&values(rows * out, seed + 5));
            b.linear(&x, rows, Weight::Prepared(&matrix), bias.as_ref(), thin, &mut y, accumulate);
            vec![host(b, &y)]
        });
    }

    /// No value moves by more than half of its group's step, which is a 127th of the group's largest.
    #[test]
    fn values_move_by_half_a_step_at_most(
        weight in prop::collection::vec(prop_oneof![-1.0_f32..1.0, -1e-4_f32..1e-4, Just(0.0)], 150),
        exponent in -60_i32..60,
    ) {
        let (out, input) = (3, 50);
        let weight: Vec<f32> = weight.iter().map(|&value| value * 2.0_f32.powi(exponent)).collect();
        let identity: Vec<f32> = (0..input * input).map(|i| f32::from(u8::from(i / input == i % input))).collect();
        let check = |found: &[f32], rounding: f32| {
            for (place, &value) in weight.iter().enumerate() {
                let (o, i) = (place / input, place % input);
                let group = i / INT8_GROUP * INT8_GROUP;
                let of_group = &weight[o * input + group..o * input + input.min(group + INT8_GROUP)];
                let step = of_group.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
                let moved = (found[i * out + o] - value).abs();
                prop_assert!(moved <= 0.5001 * step + rounding * value.abs(), "{value} moved by {moved} of {step}");
            }
            Ok(())
        };
        check(&product(&*REFERENCE, &weight, &identity, (out, input)), 0.0)?;
        for machine in &*MACHINES {
            let rounding = if machine.compute == Compute::Bf16 { 1.0 / 256.0 } else { 0.0 };
            check(&product(&machine.team, &weight, &identity, (out, input)), rounding)?;
        }
    }
}

/// Several cache blocks of rows, columns and steps.
#[test]
fn a_product_of_several_cache_blocks() {
    let (rows, out, input) = (30, 100, 2100);
    agree!(TOLERANCE, |b| {
        let matrix = b.prepare_int8(&b.upload(&values(out * input, 1)), out, input);
        let x = activation(b, &values(rows * input, 2));
        let mut y = activation(b, &values(rows * out, 3));
        b.linear(&x, rows, Weight::Prepared(&matrix), None, None, &mut y, true);
        vec![host(b, &y)]
    });
}

#[test]
fn output_projections() {
    let (rows, vocabulary, input) = (20, 1100, 70);
    agree!(TOLERANCE, |b| {
        let matrix = b.prepare_int8(&b.upload(&values(vocabulary * input, 1)), vocabulary, input);
        let hidden = activation(b, &values(rows * input, 2));
        let count = 30;
        let mut of_rows = indices(count, rows, 3);
        of_rows.sort_unstable();
        let (of_rows, tokens) = (b.upload_u32(&of_rows), b.upload_u32(&indices(count, vocabulary, 4)));
        let targets = HeadTargets { rows: &of_rows, tokens: &tokens, count };
        let [mut log_probs, mut hits] = [(); 2].map(|()| b.alloc(DType::F32, count));
        let mut log_normalisers = b.alloc(DType::F32, rows);
        let outputs = HeadOutputs {
            log_probs: &mut log_probs,
            entropies: None,
            hits: &mut hits,
            log_normalisers: &mut log_normalisers,
        };
        b.head(&hidden, rows, Weight::Prepared(&matrix), Some(20.0), targets, outputs);
        let mut logits = b.alloc(DType::F32, rows * vocabulary);
        b.logits(&hidden, rows, Weight::Prepared(&matrix), Some(20.0), &mut logits);
        vec![host(b, &log_probs), host(b, &log_normalisers), host(b, &logits)]
    });
}
