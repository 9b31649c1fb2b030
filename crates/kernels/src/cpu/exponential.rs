//! `exp` and `tanh` that the compiler can vectorise: no branch, no table, no call.

/// `a * b + c`; `FUSED` where the processor fuses (without it, `mul_add` would be a slow library call).
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `exp(x)` to about one unit in the last place; at least `exp(-87)`, at most `exp(88)`, NaN for NaN.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; `exp(r)` by its Taylor series, whose eighth term is below half a unit.
#[inline(always)]
pub(crate) fn exp<const FUSED: bool>(x: f32) -> f32 {
    /// Adding it leaves the rounded integer in the low bits of the mantissa.
    const SHIFT: f32 = 12_582_912.0;
    /// ln 2 in two parts; products of the first with `n` are exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let r = multiply_add::<FUSED>(n, -LN2_HIGH, x);
    let r = multiply_add::<FUSED>(n, -LN2_LOW, r);
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = multiply_add::<FUSED>(series, r, coefficient);
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    series * power
}

/// `tanh(x)` to about `1e-7` absolute.
#[inline(always)]
pub(crate) fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let t = exp::<FUSED>(-2.0 * x.abs());
    ((1.0 - t) / (1.0 + t)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agree_with_f64() {
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let wanted = f64::from(x).exp();
            for got in [exp::<true>(x), exp::<false>(x)] {
                assert!((f64::from(got) - wanted).abs() <= 1.5e-7 * wanted, "exp({x}) = {got}, wanted {wanted}");
            }
            let wanted = f64::from(x).tanh();
            for got in [tanh::<true>(x), tanh::<false>(x)] {
                assert!((f64::from(got) - wanted).abs() <= 2e-7, "tanh({x}) = {got}, wanted {wanted}");
            }
        }
        assert!(exp::<true>(f32::NAN).is_nan() && tanh::<true>(f32::NAN).is_nan());
    }
}
