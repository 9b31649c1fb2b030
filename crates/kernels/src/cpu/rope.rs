//! Rotary embedding.

use half::bf16;

use super::buffer::{Buffer, ValuesMut};
use super::elementwise::{block_rows, expect_len, output};
use super::exponential::multiply_add;
use super::simd::Context;
use super::vector::round_to_bf16;
use super::vectorised::for_level;
use crate::backend::RopeShape;

/// See [`crate::Backend::rope`].
pub(super) fn rope(
    ctx: &Context<'_>,
    x: &mut Buffer,
    rows: usize,
    shape: RopeShape,
    positions: &Buffer,
    cos: &Buffer,
    sin: &Buffer,
    inverse: bool,
) {
    let RopeShape { heads, head_dim, rotary_dim } = shape;
    assert!(rotary_dim.is_multiple_of(2) && rotary_dim <= head_dim, "{rotary_dim} of {head_dim} dimensions turn");
    let (width, half) = (heads * head_dim, rotary_dim / 2);
    expect_len("positions", positions, rows);
    if half == 0 || width == 0 {
        return;
    }
    let (positions, cos, sin) = (positions.u32(), cos.f32(), sin.f32());
    let sign = if inverse { -1.0 } else { 1.0 };
    let parts = output("the turned rows", x, rows * width, width);
    ctx.threads.run_split(rows, block_rows(width), parts, |range, mut x| {
        for (row, &position) in positions[range].iter().enumerate() {
            let angles = position as usize * half..(position as usize + 1) * half;
            let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
            match x.values.part(row * width..(row + 1) * width) {
                ValuesMut::F32(x) => turn(ctx.level, x, head_dim, cos, sin, sign),
                ValuesMut::Bf16(x) => turn(ctx.level, x, head_dim, cos, sin, sign),
            }
        }
    });
}

/// An element type that can be turned in place.
trait Element: Copy {
    fn to_f32(self) -> f32;
    fn from_f32(value: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        round_to_bf16(value)
    }
}

for_level! {
    /// Turns all heads of one row.
    turn<T: Element> = turn_body(x: &mut [T], head_dim: usize, cos: &[f32], sin: &[f32], sign: f32)
}

#[inline(always)]
fn turn_body<const FUSED: bool, T: Element>(x: &mut [T], head_dim: usize, cos: &[f32], sin: &[f32], sign: f32) {
    let half = cos.len();
    for head in x.chunks_exact_mut(head_dim) {
        let (first, second) = head[..2 * half].split_at_mut(half);
        for ((first, second), (&cos, &sin)) in first.iter_mut().zip(second).zip(cos.iter().zip(sin)) {
            let (a, b, sin) = (first.to_f32(), second.to_f32(), sign * sin);
            *first = T::from_f32(multiply_add::<FUSED>(a, cos, -b * sin));
            *second = T::from_f32(multiply_add::<FUSED>(b, cos, a * sin));
        }
    }
}
