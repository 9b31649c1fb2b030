//! Every form against plain `f64` loops, and the bits that must not change.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::backend::{Compute, DType};
use crate::cpu::testing::{Machine, host, levels, values};

/// What a product sees of a value.
fn seen(compute: Compute, dtype: DType, value: f32) -> f64 {
    if compute == Compute::Bf16 || dtype == DType::Bf16 {
        f64::from(bf16::from_f32(value).to_f32())
    } else {
        f64::from(value)
    }
}

fn assert_close(got: &[f32], wanted: &[f64], dtype: DType, depth: usize, what: &str) {
    assert_eq!(got.len(), wanted.len());
    let rounding = if dtype == DType::Bf16 { 1.0 / 256.0 } else { 1e-6 };
    for (index, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        let tolerance = rounding * wanted.abs().max(1.0) + 2e-7 * (depth as f64 + 1.0);
        assert!((f64::from(got) - wanted).abs() <= tolerance, "{what}: element {index} is {got}, wanted {wanted}");
    }
}

/// `Σ_k a(i, k) b(k, j)` for all outputs.
fn loops(m: usize, n: usize, k: usize, a: impl Fn(usize, usize) -> f64, b: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            out[i * n + j] = (0..k).map(|d| a(i, d) * b(d, j)).sum();
        }
    }
    out
}

fn dtypes() -> impl Strategy<Value = DType> {
    prop_oneof![Just(DType::F32), Just(DType::Bf16)]
}

fn computes() -> impl Strategy<Value = Compute> {
    prop_oneof![Just(Compute::F32), Just(Compute::Bf16)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn matmul_agrees_with_loops(
        m in 1..100_usize, n in 1..100_usize, k in 0..100_usize,
        product in prop_oneof![Just(Product::Nt), Just(Product::Nn), Just(Product::Tn)],
        compute in computes(), a_type in dtypes(), b_type in dtypes(), c_type in dtypes(),
        accumulate: bool, factor in prop_oneof![Just(1.0_f32), Just(0.375)],
    ) {
        for level in levels(compute) {
            let machine = Machine::new(level, compute, 2);
            let (a, b, c) = (values(m * k, 1), values(n * k, 2), values(m * n, 3));
            let mut out = machine.buffer(c_type, &c);
            let before = host(&out);
            matmul(
                &machine.context(), product, Shape { m, n, k }, factor,
                &machine.buffer(a_type, &a), &machine.buffer(b_type, &b), &mut out, accumulate,
            );
            let a_at = |i: usize, d: usize| {
                seen(compute, a_type, if product == Product::Tn { a[d * m + i] } else { a[i * k + d] })
            };
            let b_at = |d: usize, j: usize| {
                seen(compute, b_type, if product == Product::Nt { b[j * k + d] } else { b[d * n + j] })
            };
            let mut wanted = loops(m, n, k, a_at, b_at);
            for (wanted, before) in wanted.iter_mut().zip(before) {
                *wanted = *wanted * f64::from(factor) + if accumulate { f64::from(before) } else { 0.0 };
            }
            assert_close(&host(&out), &wanted, c_type, k, &format!("{level:?} {product:?} {m}x{n}x{k}"));
        }
    }

    #[test]
    fn linear_layers_agree_with_loops(
        rows in 1..70_usize, out in 1..100_usize, input in 1..100_usize, rank in 0..20_usize,
        compute in computes(), x_type in dtypes(), y_type in dtypes(),
        with_bias: bool, accumulate: bool, transposed: bool,
    ) {
        for level in levels(compute) {
            let machine = Machine::new(level, compute, 2);
            let ctx = machine.context();
            let (n, k) = if transposed { (input, out) } else { (out, input) };
            let w = values(out * input, 1);
            let weight = prepare(&ctx, &machine.buffer(DType::F32, &w), out, input, Directions::Both);
            let (x, left, right) = (values(rows * k, 2), values(rows * rank, 3), values(n * rank, 4));
            let bias = values(n, 5);
            let mut y = machine.buffer(y_type, &values(rows * n, 6));
            let before = host(&y);
            let x_buffer = machine.buffer(x_type, &x);
            let (left_buffer, right_buffer) = (machine.buffer(DType::F32, &left), machine.buffer(DType::F32, &right));
            let bias_buffer = machine.buffer(DType::F32, &bias);
            let low_rank = (rank > 0).then_some(LowRank { left: &left_buffer, right: &right_buffer, rank });
            let bias_used = with_bias && !transposed;
            if transposed {
                linear_input_gradient(&ctx, &x_buffer, rows, Weight::Prepared(&weight), low_rank, &mut y, accumulate);
            } else {
                let bias = with_bias.then_some(&bias_buffer);
                linear(&ctx, &x_buffer, rows, Weight::Prepared(&weight), bias, low_rank, &mut y, accumulate);
            }
            let weight_at = |d: usize, j: usize| {
                seen(compute, DType::F32, if transposed { w[d * input + j] } else { w[j * input + d] })
            };
            let right_at = |d: usize, j: usize| {
                seen(compute, DType::F32, if transposed { right[d * n + j] } else { right[j * rank + d] })
            };
            let main = loops(rows, n, k, |i, d| seen(compute, x_type, x[i * k + d]), weight_at);
            let thin = loops(rows, n, rank, |i, d| seen(compute, DType::F32, left[i * rank + d]), right_at);
            let wanted: Vec<f64> = (0..rows * n)
                .map(|i| {
                    main[i] + thin[i]
                        + if bias_used { f64::from(bias[i % n]) } else { 0.0 }
                        + if accumulate { f64::from(before[i]) } else { 0.0 }
                })
                .collect();
            assert_close(&host(&y), &wanted, y_type, k + rank, &format!("{level:?} {rows}x{out}x{input}+{rank}"));
        }
    }
}

/// A depth beyond one block of steps, where bf16 outputs need partial sums.
#[test]
fn deep_products_agree_with_loops() {
    let (m, n, k) = (17, 45, 9001);
    for compute in [Compute::F32, Compute::Bf16] {
        for level in levels(compute) {
            for c_type in [DType::F32, DType::Bf16] {
                let machine = Machine::new(level, compute, 2);
                let (a, b, c) = (values(m * k, 1), values(n * k, 2), values(m * n, 3));
                let mut out = machine.buffer(c_type, &c);
                let before = host(&out);
                let (a_buffer, b_buffer) = (machine.buffer(DType::F32, &a), machine.buffer(DType::Bf16, &b));
                let shape = Shape { m, n, k };
                matmul(&machine.context(), Product::Nt, shape, 1.0, &a_buffer, &b_buffer, &mut out, true);
                let mut wanted = loops(
                    m,
                    n,
                    k,
                    |i, d| seen(compute, DType::F32, a[i * k + d]),
                    |d, j| seen(compute, DType::Bf16, b[j * k + d]),
                );
                wanted.iter_mut().zip(before).for_each(|(wanted, before)| *wanted += f64::from(before));
                assert_close(&host(&out), &wanted, c_type, k, &format!("{level:?} {compute:?} {c_type:?}"));
            }
        }
    }
}

/// One row computed alone, in a batch, first or last, on one thread or three: the same bits.
#[test]
fn a_row_does_not_depend_on_its_batch_or_the_team() {
    let (out, input, rank, rows) = (200, 131, 5, 1000);
    for (compute, deep) in [(Compute::F32, false), (Compute::Bf16, false), (Compute::F32, true), (Compute::Bf16, true)]
    {
        for level in levels(compute) {
            let input = if deep { 5000 } else { input };
            let rows = if deep { 40 } else { rows };
            for y_type in [DType::F32, DType::Bf16] {
                let compute_rows = |threads: usize, from: usize, count: usize| {
                    let machine = Machine::new(level, compute, threads);
                    let ctx = machine.context();
                    let weight = machine.buffer(DType::F32, &values(out * input, 1));
                    let weight = prepare(&ctx, &weight, out, input, Directions::Forward);
                    let x = values(rows * input, 2);
                    let left = values(rows * rank, 3);
                    let x = machine.buffer(DType::F32, &x[from * input..(from + count) * input]);
                    let left = machine.buffer(DType::F32, &left[from * rank..(from + count) * rank]);
                    let right = machine.buffer(DType::F32, &values(out * rank, 4));
                    let bias = machine.buffer(DType::F32, &values(out, 5));
                    let mut y = machine.buffer(y_type, &vec![0.0; count * out]);
                    let low_rank = Some(LowRank { left: &left, right: &right, rank });
                    linear(&ctx, &x, count, Weight::Prepared(&weight), Some(&bias), low_rank, &mut y, false);
                    host(&y)
                };
                let whole = compute_rows(1, 0, rows);
                for threads in [2, 3] {
                    assert!(whole == compute_rows(threads, 0, rows), "{level:?} {compute:?}: {threads} threads");
                }
                for (from, count) in [(0, 1), (7, 1), (rows - 1, 1), (5, 2), (9, 13), (3, 29)] {
                    let some = compute_rows(2, from, count);
                    let wanted = &whole[from * out..(from + count) * out];
                    assert!(some == wanted, "{level:?} {compute:?} {y_type:?}: rows {from}.. of {count}");
                }
            }
        }
    }
}

#[test]
fn products_do_not_depend_on_the_team() {
    let (m, n, k) = (150, 333, 70);
    for product in [Product::Nt, Product::Nn, Product::Tn] {
        for compute in [Compute::F32, Compute::Bf16] {
            for level in levels(compute) {
                let results: Vec<Vec<f32>> = [1, 2, 3]
                    .into_iter()
                    .map(|threads| {
                        let machine = Machine::new(level, compute, threads);
                        let a = machine.buffer(DType::F32, &values(m * k, 1));
                        let b = machine.buffer(DType::Bf16, &values(n * k, 2));
                        let mut c = machine.buffer(DType::F32, &values(m * n, 3));
                        matmul(&machine.context(), product, Shape { m, n, k }, 0.5, &a, &b, &mut c, true);
                        host(&c)
                    })
                    .collect();
                assert!(results[0] == results[1] && results[0] == results[2], "{product:?} {compute:?} {level:?}");
            }
        }
    }
}

#[test]
fn a_weight_given_as_values_gives_the_bits_of_a_prepared_one() {
    let (out, input, rows) = (75, 53, 6);
    for compute in [Compute::F32, Compute::Bf16] {
        for level in levels(compute) {
            let machine = Machine::new(level, compute, 2);
            let ctx = machine.context();
            let numbers = machine.buffer(DType::F32, &values(out * input, 2));
            let matrix = prepare(&ctx, &numbers, out, input, Directions::Both);
            let x = machine.buffer(DType::F32, &values(rows * input, 3));
            let dy = machine.buffer(DType::F32, &values(rows * out, 4));
            let results: Vec<(Vec<f32>, Vec<f32>)> =
                [Weight::Prepared(&matrix), Weight::Values { values: &numbers, out, input }]
                    .into_iter()
                    .map(|weight| {
                        let mut y = machine.buffer(DType::F32, &vec![0.0; rows * out]);
                        let mut dx = machine.buffer(DType::F32, &vec![0.0; rows * input]);
                        linear(&ctx, &x, rows, weight, None, None, &mut y, false);
                        linear_input_gradient(&ctx, &dy, rows, weight, None, &mut dx, false);
                        (host(&y), host(&dx))
                    })
                    .collect();
            assert!(results[0] == results[1], "{level:?} {compute:?}");
        }
    }
}

/// An int8 weight is a weight of the values it stands for: read in registers or expanded, for one row or many.
#[test]
fn a_weight_of_eight_bits_gives_the_bits_of_its_values() {
    let (out, rows) = (75, 60);
    for (compute, input) in [(Compute::F32, 53), (Compute::Bf16, 53), (Compute::F32, 2500), (Compute::Bf16, 4500)] {
        for level in levels(compute) {
            let machine = Machine::new(level, compute, 2);
            let ctx = machine.context();
            let numbers = values(out * input, 1);
            let reference = crate::Reference::new(Compute::F32);
            let int8 =
                crate::Backend::prepare_int8(&reference, &crate::Backend::upload(&reference, &numbers), out, input);
            let stood_for: Vec<f32> = int8.values().iter().map(|&value| value as f32).collect();
            let words = prepare(&ctx, &machine.buffer(DType::F32, &stood_for), out, input, Directions::Forward);
            let bytes = prepare_int8(&ctx, &machine.buffer(DType::F32, &numbers), out, input);
            let (x, right) = (values(rows * input, 2), machine.buffer(DType::F32, &values(out * 5, 4)));
            for (from, count) in [(0, rows), (3, 1), (5, 14), (7, 15)] {
                let x = machine.buffer(DType::F32, &x[from * input..(from + count) * input]);
                let left = machine.buffer(DType::F32, &values(count * 5, 3));
                let [expected, found] = [&words, &bytes].map(|matrix| {
                    let mut y = machine.buffer(DType::F32, &vec![0.5; count * out]);
                    let low_rank = Some(LowRank { left: &left, right: &right, rank: 5 });
                    linear(&ctx, &x, count, Weight::Prepared(matrix), None, low_rank, &mut y, true);
                    host(&y)
                });
                assert!(expected == found, "{level:?} {compute:?}: {count} rows of {input}");
            }
        }
    }
}
