//! Activations and gated units.
//!
//! Values are within 8e-7 of the result (or of a tenth of the input, where the result is a smaller part of it), slopes
//! within 5e-7 absolute.

use super::buffer::Buffer;
use super::elementwise::{BLOCK, expect_len, output};
use super::exponential::{exp, multiply_add};
use super::simd::Context;
use super::tile::{Scratch, tiles};
use super::vectorised::for_level;
use crate::backend::Activation;

/// A function and its derivative, computed together because they share their costly part.
trait Curve {
    fn value_and_slope<const FUSED: bool>(x: f32) -> (f32, f32);
}

/// `sigmoid(x)` and `1 - sigmoid(x)`, both without cancellation.
#[inline(always)]
fn sigmoid<const FUSED: bool>(x: f32) -> (f32, f32) {
    let e = exp::<FUSED>(-x);
    let s = 1.0 / (1.0 + e);
    (s, e * s)
}

/// `x · sigmoid(x)`.
struct Silu;

impl Curve for Silu {
    #[inline(always)]
    fn value_and_slope<const FUSED: bool>(x: f32) -> (f32, f32) {
        let (s, complement) = sigmoid::<FUSED>(x);
        (x * s, multiply_add::<FUSED>(x.clamp(-88.0, 88.0) * s, complement, s))
    }
}

/// `x · Φ(x)`.
struct Gelu;

impl Curve for Gelu {
    #[inline(always)]
    fn value_and_slope<const FUSED: bool>(x: f32) -> (f32, f32) {
        /// `1 / sqrt(2π)`.
        const DENSITY_AT_ZERO: f32 = 0.398_942_3;
        // Beyond this the bell is below the smallest `f32`.
        let bounded = x.clamp(-14.0, 14.0);
        let bell = exp::<FUSED>(-0.5 * bounded * bounded);
        let tail = bell * scaled_tail::<FUSED>(bounded.abs());
        let cumulative = if x < 0.0 { tail } else { 1.0 - tail };
        (x * cumulative, multiply_add::<FUSED>(bounded * DENSITY_AT_ZERO, bell, cumulative))
    }
}

/// `Φ(-t) · exp(t² / 2)` for `0 <= t <= 14`, to 2.2e-7 relative.
///
/// A polynomial in `w = (t - 4) / (t + 4)`, which spreads the interval evenly over [-1, 0.56]; its coefficients are
/// those of the smallest largest relative error, found by least squares with repeatedly adjusted weights.
#[inline(always)]
fn scaled_tail<const FUSED: bool>(t: f32) -> f32 {
    let w = (t - 4.0) / (t + 4.0);
    let mut sum = -6.630_254e-5;
    for coefficient in [
        -1.695_983_5e-4,
        6.577_14e-4,
        5.036_737e-4,
        -8.497_682e-3,
        3.086_526e-2,
        -7.170_679e-2,
        1.243_792_2e-1,
        -1.703_977_4e-1,
        9.441_064e-2,
    ] {
        sum = multiply_add::<FUSED>(sum, w, coefficient);
    }
    sum
}

/// The tanh approximation of GELU. With `u = sqrt(2/π) (x + 0.044715 x³)`, `(1 + tanh u) / 2 = sigmoid(2 u)`.
struct GeluTanh;

impl Curve for GeluTanh {
    #[inline(always)]
    fn value_and_slope<const FUSED: bool>(x: f32) -> (f32, f32) {
        /// `2 sqrt(2/π)`.
        const SLOPE_AT_ZERO: f32 = 1.595_769;
        const CUBIC: f32 = 0.044_715;
        // Beyond this the sigmoid is 0 or 1; without the bound the square could overflow.
        let bounded = x.clamp(-20.0, 20.0);
        let square = bounded * bounded;
        let (s, complement) = sigmoid::<FUSED>(SLOPE_AT_ZERO * bounded * multiply_add::<FUSED>(CUBIC, square, 1.0));
        let inner_slope = SLOPE_AT_ZERO * multiply_add::<FUSED>(3.0 * CUBIC, square, 1.0);
        (x * s, multiply_add::<FUSED>(bounded * s * complement, inner_slope, s))
    }
}

for_level! {
    values<C: Curve> = values_body(x: &[f32], out: &mut [f32])
}

#[inline(always)]
fn values_body<const FUSED: bool, C: Curve>(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = C::value_and_slope::<FUSED>(x).0;
    }
}

for_level! {
    slopes<C: Curve> = slopes_body(dout: &[f32], x: &[f32], dx: &mut [f32])
}

#[inline(always)]
fn slopes_body<const FUSED: bool, C: Curve>(dout: &[f32], x: &[f32], dx: &mut [f32]) {
    for (dx, (&dout, &x)) in dx.iter_mut().zip(dout.iter().zip(x)) {
        *dx = dout * C::value_and_slope::<FUSED>(x).1;
    }
}

for_level! {
    gated_values<C: Curve> = gated_values_body(gate: &[f32], up: &[f32], out: &mut [f32])
}

#[inline(always)]
fn gated_values_body<const FUSED: bool, C: Curve>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for (out, (&gate, &up)) in out.iter_mut().zip(gate.iter().zip(up)) {
        *out = C::value_and_slope::<FUSED>(gate).0 * up;
    }
}

for_level! {
    gated_slopes<C: Curve> = gated_slopes_body(
        dout: &[f32],
        gate: &[f32],
        up: &[f32],
        dgate: &mut [f32],
        dup: &mut [f32],
    )
}

#[inline(always)]
fn gated_slopes_body<const FUSED: bool, C: Curve>(
    dout: &[f32],
    gate: &[f32],
    up: &[f32],
    dgate: &mut [f32],
    dup: &mut [f32],
) {
    for ((dgate, dup), (&dout, (&gate, &up))) in dgate.iter_mut().zip(dup).zip(dout.iter().zip(gate.iter().zip(up))) {
        let (value, slope) = C::value_and_slope::<FUSED>(gate);
        *dgate = dout * up * slope;
        *dup = dout * value;
    }
}

/// See [`crate::Backend::activate`].
pub(super) fn activate(ctx: &Context<'_>, activation: Activation, x: &Buffer, len: usize, out: &mut Buffer) {
    let kernel = match activation {
        Activation::Silu => values::<Silu>,
        Activation::Gelu => values::<Gelu>,
        Activation::GeluTanh => values::<GeluTanh>,
    };
    expect_len("the activation's input", x, len);
    let x = x.values();
    let parts = output("the activation's output", out, len, 1);
    ctx.threads.run_split(len, BLOCK, parts, |range, mut out| {
        let mut scratch = Scratch::new();
        for tile in tiles(0..range.len()) {
            let x = x.tile(ctx.level, range.start + tile.start..range.start + tile.end, &mut scratch);
            out.values.write_tile(ctx.level, tile, |out| kernel(ctx.level, x, out));
        }
    });
}

/// See [`crate::Backend::activate_backward`].
pub(super) fn activate_backward(
    ctx: &Context<'_>,
    activation: Activation,
    dout: &Buffer,
    x: &Buffer,
    len: usize,
    dx: &mut Buffer,
) {
    let kernel = match activation {
        Activation::Silu => slopes::<Silu>,
        Activation::Gelu => slopes::<Gelu>,
        Activation::GeluTanh => slopes::<GeluTanh>,
    };
    two_inputs(ctx, (dout, x), len, dx, kernel);
}

/// See [`crate::Backend::gated`].
pub(super) fn gated(
    ctx: &Context<'_>,
    activation: Activation,
    gate: &Buffer,
    up: &Buffer,
    len: usize,
    out: &mut Buffer,
) {
    let kernel = match activation {
        Activation::Silu => gated_values::<Silu>,
        Activation::Gelu => gated_values::<Gelu>,
        Activation::GeluTanh => gated_values::<GeluTanh>,
    };
    two_inputs(ctx, (gate, up), len, out, kernel);
}

/// Runs a kernel of two inputs and one output over all tiles.
fn two_inputs(
    ctx: &Context<'_>,
    (a, b): (&Buffer, &Buffer),
    len: usize,
    out: &mut Buffer,
    kernel: fn(super::simd::SimdLevel, &[f32], &[f32], &mut [f32]),
) {
    expect_len("the activation's first input", a, len);
    expect_len("the activation's second input", b, len);
    let (a, b) = (a.values(), b.values());
    let parts = output("the activation's output", out, len, 1);
    ctx.threads.run_split(len, BLOCK, parts, |range, mut out| {
        let (mut for_a, mut for_b) = (Scratch::new(), Scratch::new());
        for tile in tiles(0..range.len()) {
            let from = range.start + tile.start..range.start + tile.end;
            let a = a.tile(ctx.level, from.clone(), &mut for_a);
            let b = b.tile(ctx.level, from, &mut for_b);
            out.values.write_tile(ctx.level, tile, |out| kernel(ctx.level, a, b, out));
        }
    });
}

/// See [`crate::Backend::gated_backward`].
pub(super) fn gated_backward(
    ctx: &Context<'_>,
    activation: Activation,
    dout: &Buffer,
    gate: &Buffer,
    up: &Buffer,
    len: usize,
    dgate: &mut Buffer,
    dup: &mut Buffer,
) {
    let kernel = match activation {
        Activation::Silu => gated_slopes::<Silu>,
        Activation::Gelu => gated_slopes::<Gelu>,
        Activation::GeluTanh => gated_slopes::<GeluTanh>,
    };
    for (name, buffer) in [("the unit's cotangent", dout), ("the gate", gate), ("the gated values", up)] {
        expect_len(name, buffer, len);
    }
    let (dout, gate, up) = (dout.values(), gate.values(), up.values());
    let parts = (output("the gate's cotangent", dgate, len, 1), output("the values' cotangent", dup, len, 1));
    ctx.threads.run_split(len, BLOCK, parts, |range, (mut dgate, mut dup)| {
        let (mut for_dout, mut for_gate, mut for_up) = (Scratch::new(), Scratch::new(), Scratch::new());
        for tile in tiles(0..range.len()) {
            let from = range.start + tile.start..range.start + tile.end;
            let dout = dout.tile(ctx.level, from.clone(), &mut for_dout);
            let gate = gate.tile(ctx.level, from.clone(), &mut for_gate);
            let up = up.tile(ctx.level, from, &mut for_up);
            dgate.values.write_tile(ctx.level, tile.clone(), |dgate| {
                dup.values.write_tile(ctx.level, tile, |dup| kernel(ctx.level, dout, gate, up, dgate, dup));
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a curve against its definition in `f64`.
    fn check<C: Curve>(definition: impl Fn(f64) -> (f64, f64)) {
        for i in -200_000..=200_000 {
            let x = i as f32 * 1e-4;
            let (value, slope) = definition(f64::from(x));
            for got in [C::value_and_slope::<true>(x), C::value_and_slope::<false>(x)] {
                let error = (f64::from(got.0) - value).abs();
                assert!(error <= 8e-7 * value.abs().max(0.1 * f64::from(x).abs()), "value({x}): {} {value}", got.0);
                assert!((f64::from(got.1) - slope).abs() <= 5e-7, "slope({x}): {} {slope}", got.1);
            }
        }
        for x in [f32::MAX, f32::MIN, 1e20, -1e20, 0.0] {
            let (value, slope) = C::value_and_slope::<true>(x);
            assert!(
                (slope
                    - if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        0.0
                    } else {
                        0.5
                    })
                .abs()
                    < 1e-7,
                "{x} {slope}"
            );
            assert!(if x > 0.0 { value.to_bits() == x.to_bits() } else { value.abs() < 4.0 }, "{x} {value}");
        }
        assert!(C::value_and_slope::<true>(f32::NAN).0.is_nan());
        assert!(C::value_and_slope::<true>(f32::NAN).1.is_nan());
    }

    #[test]
    fn silu() {
        check::<Silu>(|x| {
            let s = 1.0 / (1.0 + (-x).exp());
            (x * s, s * (1.0 + x * (1.0 - s)))
        });
    }

    #[test]
    fn gelu() {
        check::<Gelu>(|x| {
            let cumulative = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
            (x * cumulative, cumulative + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt())
        });
    }

    #[test]
    fn gelu_tanh() {
        check::<GeluTanh>(|x| {
            let factor = (2.0 / std::f64::consts::PI).sqrt();
            let t = (factor * (x + 0.044_715 * x.powi(3))).tanh();
            let slope = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * factor * (1.0 + 3.0 * 0.044_715 * x * x);
            (0.5 * x * (1.0 + t), slope)
        });
    }
}
