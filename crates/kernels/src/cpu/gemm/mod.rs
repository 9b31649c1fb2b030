//! Matrix products: weights packed once, inputs rounded to bf16 or kept in f32, sums in f32.
//!
//! All forms end in one tile kernel over packed panels ([`packing`], [`blocking`], [`kernel`]). An output row has the
//! same bits whatever other rows are computed with it and on however many threads, so decoding one token at a time
//! gives what a whole batch gives.

#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod blocking;
mod int8;
mod kernel;
pub(crate) mod packing;

#[cfg(test)]
mod tests;

use std::ops::Range;

use self::blocking::{Multiplication, Output, Panels};
use self::int8::Scales;
use self::packing::Operand;
use super::buffer::{Buffer, Values};
use super::simd::Context;
use crate::backend::{Directions, LowRank, Product, Shape, Weight};

pub(crate) use self::kernel::Place;

/// A weight `[out, in]` in packed panels.
pub struct PackedMatrix {
    out: usize,
    input: usize,
    /// Panels of 32 outputs over `in`.
    forward: Buffer,
    /// Of a weight in eight bits, for which `forward` holds numbers.
    scales: Option<Buffer>,
    /// Panels of 32 inputs over `out`.
    backward: Option<Buffer>,
}

impl PackedMatrix {
    fn forward_panels(&self, ctx: &Context<'_>) -> Panels<'_> {
        let words = self.forward.u32();
        let Some(scales) = &self.scales else {
            return Panels::words(words, blocking::panel_words(ctx, self.input));
        };
        let scales = Scales { values: scales.f32(), stride: int8::panel_scales(self.input) };
        Panels { words, stride: int8::panel_words(ctx.compute, self.input), scales: Some(scales) }
    }
}

/// A weight as the CPU is given it.
pub(crate) type CpuWeight<'a> = Weight<'a, Buffer, PackedMatrix>;

/// `(out, in)`.
pub(crate) fn sizes(weight: CpuWeight<'_>) -> (usize, usize) {
    match weight {
        Weight::Prepared(matrix) => (matrix.out, matrix.input),
        Weight::Values { out, input, .. } => (out, input),
    }
}

/// Packed panels of a weight: its own, or made for one call.
pub(crate) enum Right<'a> {
    Kept(Panels<'a>),
    Made { words: Buffer, stride: usize },
}

impl<'a> Right<'a> {
    fn made(ctx: &Context<'_>, operand: &Operand<'_>) -> Self {
        Self::Made { words: blocking::pack_right(ctx, operand), stride: blocking::panel_words(ctx, operand.depth) }
    }

    /// A weight as right operand of `x Wᵀ`: some of its outputs, the first a multiple of 32.
    pub(crate) fn forward(ctx: &Context<'_>, weight: CpuWeight<'a>, outputs: Range<usize>) -> Self {
        match weight {
            Weight::Prepared(matrix) => {
                Self::Kept(matrix.forward_panels(ctx).skip(outputs.start / packing::RIGHT_LANES))
            }
            Weight::Values { values, input, .. } => {
                let rows = values.values().part(outputs.start * input..outputs.end * input);
                Self::made(ctx, &Operand::rows(rows, outputs.len(), input))
            }
        }
    }

    /// A weight as right operand of `dy W`: summed over some of its outputs, the first an even one.
    pub(crate) fn backward(ctx: &Context<'_>, weight: CpuWeight<'a>, outputs: Range<usize>) -> Self {
        match weight {
            Weight::Prepared(PackedMatrix { out, input, backward, .. }) => {
                let Some(backward) = backward else {
                    panic!("a weight of {out} x {input} was prepared for the forward direction only")
                };
                let skipped = outputs.start / packing::elements_per_step(ctx.compute) * packing::RIGHT_LANES;
                Self::Kept(Panels::words(&backward.u32()[skipped..], blocking::panel_words(ctx, *out)))
            }
            Weight::Values { values, input, .. } => {
                let rows = values.values().part(outputs.start * input..outputs.end * input);
                Self::made(ctx, &Operand::columns(rows, input, outputs.len()))
            }
        }
    }

    pub(crate) fn panels(&self) -> Panels<'_> {
        match self {
            Self::Kept(panels) => *panels,
            Self::Made { words, stride } => Panels::words(words.u32(), *stride),
        }
    }
}

/// See [`crate::Backend::prepare`].
pub(crate) fn prepare(
    ctx: &Context<'_>,
    weight: &Buffer,
    out: usize,
    input: usize,
    directions: Directions,
) -> PackedMatrix {
    let values = weight.values();
    let forward = blocking::pack_right(ctx, &Operand::rows(values, out, input));
    let backward =
        (directions == Directions::Both).then(|| blocking::pack_right(ctx, &Operand::columns(values, input, out)));
    PackedMatrix { out, input, forward, scales: None, backward }
}

/// See [`crate::Backend::prepare_int8`].
pub(crate) fn prepare_int8(ctx: &Context<'_>, weight: &Buffer, out: usize, input: usize) -> PackedMatrix {
    let (forward, scales) = int8::pack(ctx, weight.values(), out, input);
    PackedMatrix { out, input, forward, scales: Some(scales), backward: None }
}

/// See [`crate::Backend::linear`].
pub(crate) fn linear(
    ctx: &Context<'_>,
    x: &Buffer,
    rows: usize,
    weight: CpuWeight<'_>,
    bias: Option<&Buffer>,
    low_rank: Option<LowRank<'_, Buffer>>,
    y: &mut Buffer,
    accumulate: bool,
) {
    let (out, input) = sizes(weight);
    let kept = Right::forward(ctx, weight, 0..out);
    let extra = low_rank.map(|LowRank { left, right, rank }| {
        let right = Operand::rows(right.values(), out, rank);
        (Operand::rows(left.values(), rows, rank), blocking::pack_right(ctx, &right))
    });
    let bias = bias.map(Bias::new);
    let multiplication = Multiplication {
        left: Operand::rows(x.values(), rows, input),
        right: kept.panels(),
        columns: out,
        extra: extra.as_ref().map(|(left, right)| (*left, packed_panels(ctx, right, left.depth))),
        factor: 1.0,
        bias: bias.as_ref().map(Bias::values),
        accumulate,
    };
    blocking::multiply(ctx, &multiplication, Output::new(y.values_mut(), rows, out));
}

/// See [`crate::Backend::linear_input_gradient`].
pub(crate) fn linear_input_gradient(
    ctx: &Context<'_>,
    dy: &Buffer,
    rows: usize,
    weight: CpuWeight<'_>,
    low_rank: Option<LowRank<'_, Buffer>>,
    dx: &mut Buffer,
    accumulate: bool,
) {
    let (out, input) = sizes(weight);
    let kept = Right::backward(ctx, weight, 0..out);
    let extra = low_rank.map(|LowRank { left, right, rank }| {
        let right = Operand::columns(right.values(), input, rank);
        (Operand::rows(left.values(), rows, rank), blocking::pack_right(ctx, &right))
    });
    let multiplication = Multiplication {
        left: Operand::rows(dy.values(), rows, out),
        right: kept.panels(),
        columns: input,
        extra: extra.as_ref().map(|(left, right)| (*left, packed_panels(ctx, right, left.depth))),
        factor: 1.0,
        bias: None,
        accumulate,
    };
    blocking::multiply(ctx, &multiplication, Output::new(dx.values_mut(), rows, input));
}

/// See [`crate::Backend::matmul`].
pub(crate) fn matmul(
    ctx: &Context<'_>,
    product: Product,
    shape: Shape,
    factor: f32,
    a: &Buffer,
    b: &Buffer,
    c: &mut Buffer,
    accumulate: bool,
) {
    let Shape { m, n, k } = shape;
    let (a, b) = (a.values(), b.values());
    let left = match product {
        Product::Nt | Product::Nn => Operand::rows(a, m, k),
        Product::Tn => Operand::columns(a, m, k),
    };
    let right = match product {
        Product::Nt => Operand::rows(b, n, k),
        Product::Nn | Product::Tn => Operand::columns(b, n, k),
    };
    let right = blocking::pack_right(ctx, &right);
    let multiplication = Multiplication {
        left,
        right: packed_panels(ctx, &right, k),
        columns: n,
        extra: None,
        factor,
        bias: None,
        accumulate,
    };
    blocking::multiply(ctx, &multiplication, Output::new(c.values_mut(), m, n));
}

/// The panels of an operand packed for one call.
fn packed_panels<'a>(ctx: &Context<'_>, packed: &'a Buffer, depth: usize) -> Panels<'a> {
    Panels::words(packed.u32(), blocking::panel_words(ctx, depth))
}

/// A bias in `f32`, converted when it is stored in bf16.
enum Bias<'a> {
    Borrowed(&'a [f32]),
    Converted(Vec<f32>),
}

impl<'a> Bias<'a> {
    fn new(buffer: &'a Buffer) -> Self {
        match buffer.values() {
            Values::F32(values) => Self::Borrowed(values),
            Values::Bf16(values) => Self::Converted(values.iter().map(|value| value.to_f32()).collect()),
        }
    }

    fn values(&self) -> &[f32] {
        match self {
            Self::Borrowed(values) => values,
            Self::Converted(values) => values,
        }
    }
}
