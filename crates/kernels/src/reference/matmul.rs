//! Matrix products over their definition.

use crate::backend::{INT8_GROUP, LowRank, Product, Shape};

use super::Numbers;
use super::memory::ReferenceBuffer;

/// What is left of a weight in eight bits.
pub(super) fn int8(values: &[f64], input: usize) -> Vec<f64> {
    let group = |values: &[f64]| {
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let scale = f64::from(largest as f32 / 127.0);
        let nearest = move |value: &f64| if scale > 0.0 { scale * (value / scale).round_ties_even() } else { 0.0 };
        values.iter().map(nearest).collect::<Vec<f64>>()
    };
    values.chunks(input.max(1)).flat_map(|row| row.chunks(INT8_GROUP)).flat_map(group).collect()
}

pub(super) fn linear(
    x: &ReferenceBuffer,
    rows: usize,
    weight: Numbers<'_>,
    bias: Option<&ReferenceBuffer>,
    low_rank: Option<LowRank<'_, ReferenceBuffer>>,
    y: &mut ReferenceBuffer,
    accumulate: bool,
) {
    let (out, input) = (weight.out, weight.input);
    for row in 0..rows {
        for o in 0..out {
            let mut sum = if accumulate { y.numbers[row * out + o] } else { 0.0 };
            sum += (0..input).map(|i| x.numbers[row * input + i] * weight.values[o * input + i]).sum::<f64>();
            sum += bias.map_or(0.0, |b| b.numbers[o]);
            if let Some(LowRank { left, right, rank }) = low_rank {
                sum += (0..rank).map(|r| left.numbers[row * rank + r] * right.numbers[o * rank + r]).sum::<f64>();
            }
            y.numbers[row * out + o] = sum;
        }
    }
}

pub(super) fn linear_input_gradient(
    dy: &ReferenceBuffer,
    rows: usize,
    weight: Numbers<'_>,
    low_rank: Option<LowRank<'_, ReferenceBuffer>>,
    dx: &mut ReferenceBuffer,
    accumulate: bool,
) {
    let (out, input) = (weight.out, weight.input);
    for row in 0..rows {
        for i in 0..input {
            let mut sum = if accumulate { dx.numbers[row * input + i] } else { 0.0 };
            sum += (0..out).map(|o| dy.numbers[row * out + o] * weight.values[o * input + i]).sum::<f64>();
            if let Some(LowRank { left, right, rank }) = low_rank {
                sum += (0..rank).map(|r| left.numbers[row * rank + r] * right.numbers[r * input + i]).sum::<f64>();
            }
            dx.numbers[row * input + i] = sum;
        }
    }
}

pub(super) fn matmul(
    product: Product,
    shape: Shape,
    factor: f32,
    a: &ReferenceBuffer,
    b: &ReferenceBuffer,
    c: &mut ReferenceBuffer,
    accumulate: bool,
) {
    let Shape { m, n, k } = shape;
    for i in 0..m {
        for j in 0..n {
            let term = |s: usize| match product {
                Product::Nt => a.numbers[i * k + s] * b.numbers[j * k + s],
                Product::Nn => a.numbers[i * k + s] * b.numbers[s * n + j],
                Product::Tn => a.numbers[s * m + i] * b.numbers[s * n + j],
            };
            let sum = f64::from(factor) * (0..k).map(term).sum::<f64>();
            let slot = &mut c.numbers[i * n + j];
            *slot = if accumulate { *slot + sum } else { sum };
        }
    }
}
