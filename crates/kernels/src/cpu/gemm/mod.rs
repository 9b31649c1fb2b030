//! Matrix products: weights packed once, inputs rounded to bf16 or kept in f32, sums in f32.
//!
//! All forms end in one tile kernel over packed panels ([`packing`], [`blocking`], [`kernel`]). An output row has the
//! same bits whatever other rows are computed with it and on however many threads, so decoding one token at a time
//! gives what a whole batch gives.

#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod blocking;
mod kernel;
pub(crate) mod packing;

#[cfg(test)]
mod tests;

use self::blocking::{Multiplication, Output, Panels};
use self::packing::Operand;
use super::buffer::{Buffer, Values};
use super::simd::Context;
use crate::backend::{Directions, LowRank, Product, Shape};

pub(crate) use self::kernel::Place;

/// A weight `[out, in]` in packed panels.
pub struct PackedMatrix {
    out: usize,
    input: usize,
    /// Panels of 32 outputs over `in`.
    forward: Buffer,
    /// Panels of 32 inputs over `out`.
    backward: Option<Buffer>,
}

impl PackedMatrix {
    pub(crate) fn out(&self) -> usize {
        self.out
    }

    pub(crate) fn input(&self) -> usize {
        self.input
    }

    /// The weight as right operand of `x Wᵀ`, from output `first` (a multiple of 32) on.
    pub(crate) fn forward_panels(&self, ctx: &Context<'_>, first: usize) -> Panels<'_> {
        let stride = blocking::panel_words(ctx, self.input);
        Panels { words: &self.forward.u32()[first / packing::RIGHT_LANES * stride..], stride }
    }

    /// The weight as right operand of `dy W`, from output `first` (a multiple of 2) on.
    pub(crate) fn backward_panels(&self, ctx: &Context<'_>, first: usize) -> Panels<'_> {
        let Some(backward) = &self.backward else {
            panic!("a weight of {} x {} was prepared for the forward direction only", self.out, self.input)
        };
        let stride = blocking::panel_words(ctx, self.out);
        let skipped = first / packing::elements_per_step(ctx.compute) * packing::RIGHT_LANES;
        Panels { words: &backward.u32()[skipped..], stride }
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
    PackedMatrix { out, input, forward, backward }
}

/// See [`crate::Backend::refresh`].
pub(crate) fn refresh(ctx: &Context<'_>, matrix: &mut PackedMatrix, weight: &Buffer) {
    let (values, out, input) = (weight.values(), matrix.out, matrix.input);
    blocking::repack_right(ctx, &Operand::rows(values, out, input), &mut matrix.forward);
    if let Some(backward) = &mut matrix.backward {
        blocking::repack_right(ctx, &Operand::columns(values, input, out), backward);
    }
}

/// See [`crate::Backend::linear`].
pub(crate) fn linear(
    ctx: &Context<'_>,
    x: &Buffer,
    rows: usize,
    weight: &PackedMatrix,
    bias: Option<&Buffer>,
    low_rank: Option<LowRank<'_, Buffer>>,
    y: &mut Buffer,
    accumulate: bool,
) {
    let extra = low_rank.map(|LowRank { left, right, rank }| {
        let right = Operand::rows(right.values(), weight.out, rank);
        (Operand::rows(left.values(), rows, rank), blocking::pack_right(ctx, &right))
    });
    let bias = bias.map(Bias::new);
    let multiplication = Multiplication {
        left: Operand::rows(x.values(), rows, weight.input),
        right: weight.forward_panels(ctx, 0),
        columns: weight.out,
        extra: extra.as_ref().map(|(left, right)| (*left, packed_panels(ctx, right, left.depth))),
        factor: 1.0,
        bias: bias.as_ref().map(Bias::values),
        accumulate,
    };
    blocking::multiply(ctx, &multiplication, Output::new(y.values_mut(), rows, weight.out));
}

/// See [`crate::Backend::linear_input_gradient`].
pub(crate) fn linear_input_gradient(
    ctx: &Context<'_>,
    dy: &Buffer,
    rows: usize,
    weight: &PackedMatrix,
    low_rank: Option<LowRank<'_, Buffer>>,
    dx: &mut Buffer,
    accumulate: bool,
) {
    let extra = low_rank.map(|LowRank { left, right, rank }| {
        let right = Operand::columns(right.values(), weight.input, rank);
        (Operand::rows(left.values(), rows, rank), blocking::pack_right(ctx, &right))
    });
    let multiplication = Multiplication {
        left: Operand::rows(dy.values(), rows, weight.out),
        right: weight.backward_panels(ctx, 0),
        columns: weight.input,
        extra: extra.as_ref().map(|(left, right)| (*left, packed_panels(ctx, right, left.depth))),
        factor: 1.0,
        bias: None,
        accumulate,
    };
    blocking::multiply(ctx, &multiplication, Output::new(dx.values_mut(), rows, weight.input));
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
    Panels { words: packed.u32(), stride: blocking::panel_words(ctx, depth) }
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
