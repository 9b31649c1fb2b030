//! The optimiser step: one pass over parameter, gradient and both moments.

use half::bf16;

use super::buffer::{Buffer, ValuesMut};
use super::elementwise::{BLOCK, expect_len};
use super::exponential::multiply_add;
use super::simd::Context;
use super::split::Strided;
use super::vectorised::for_level;
use crate::backend::AdamW;
use crate::counter_random;

/// The constants in the form the loop uses them, rounded once from `f64`.
#[derive(Clone, Copy)]
struct Factors {
    gradient_scale: f32,
    beta1: f32,
    /// `1 - beta1`.
    share1: f32,
    beta2: f32,
    /// `1 - beta2`.
    share2: f32,
    /// `1 - learning_rate · weight_decay`.
    keep: f32,
    /// `learning_rate / (1 - beta1^step)`.
    step_size: f32,
    /// `1 / sqrt(1 - beta2^step)`.
    deviation: f32,
    epsilon: f32,
}

impl Factors {
    fn new(constants: AdamW) -> Self {
        let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay, step, gradient_scale } = constants;
        let bias = |beta: f32| 1.0 - f64::from(beta).powf(step as f64);
        let share = |beta: f32| (1.0 - f64::from(beta)) as f32;
        Self {
            gradient_scale,
            beta1,
            share1: share(beta1),
            beta2,
            share2: share(beta2),
            keep: (1.0 - f64::from(learning_rate) * f64::from(weight_decay)) as f32,
            step_size: (f64::from(learning_rate) / bias(beta1)) as f32,
            deviation: (1.0 / bias(beta2).sqrt()) as f32,
            epsilon,
        }
    }
}

/// See [`crate::Backend::adamw`].
pub(super) fn adamw(
    ctx: &Context<'_>,
    constants: AdamW,
    parameter: &mut Buffer,
    gradient: &Buffer,
    first_moment: &mut Buffer,
    second_moment: &mut Buffer,
    len: usize,
) {
    expect_len("the gradient", gradient, len);
    let factors = Factors::new(constants);
    let gradient = gradient.f32();
    let parameter = whole(&mut parameter.f32_mut()[..len]);
    match (first_moment.values_mut(), second_moment.values_mut()) {
        (ValuesMut::F32(first), ValuesMut::F32(second)) => {
            let parts = (parameter, whole(&mut first[..len]), whole(&mut second[..len]));
            ctx.threads.run_split(len, BLOCK, parts, |range, (parameter, first, second)| {
                step(ctx.level, factors, parameter.values, &gradient[range], first.values, second.values);
            });
        }
        (ValuesMut::Bf16(first), ValuesMut::Bf16(second)) => {
            let parts = (parameter, whole(&mut first[..len]), whole(&mut second[..len]));
            ctx.threads.run_split(len, BLOCK, parts, |range, (parameter, first, second)| {
                let random = Random { seed: constants.step, first: range.start as u64 };
                let gradient = &gradient[range];
                step_rounded(ctx.level, factors, random, parameter.values, gradient, first.values, second.values);
            });
        }
        _ => panic!("one moment is f32 and the other bf16"),
    }
}

fn whole<T>(values: &mut [T]) -> Strided<'_, T> {
    Strided { values, width: 1 }
}

/// Which random numbers a stretch of elements gets.
#[derive(Clone, Copy)]
struct Random {
    seed: u64,
    /// Index of the stretch's first element.
    first: u64,
}

for_level! {
    step = step_body(
        factors: Factors,
        parameter: &mut [f32],
        gradient: &[f32],
        first_moment: &mut [f32],
        second_moment: &mut [f32],
    )
}

#[inline(always)]
fn step_body<const FUSED: bool>(
    factors: Factors,
    parameter: &mut [f32],
    gradient: &[f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
) {
    let moments = first_moment.iter_mut().zip(second_moment);
    for ((parameter, &gradient), (first, second)) in parameter.iter_mut().zip(gradient).zip(moments) {
        let gradient = gradient * factors.gradient_scale;
        *first = multiply_add::<FUSED>(factors.beta1, *first, factors.share1 * gradient);
        *second = multiply_add::<FUSED>(factors.beta2, *second, factors.share2 * gradient * gradient);
        let denominator = multiply_add::<FUSED>(second.sqrt(), factors.deviation, factors.epsilon);
        *parameter = multiply_add::<FUSED>(factors.keep, *parameter, -factors.step_size * (*first / denominator));
    }
}

for_level! {
    step_rounded = step_rounded_body(
        factors: Factors,
        random: Random,
        parameter: &mut [f32],
        gradient: &[f32],
        first_moment: &mut [bf16],
        second_moment: &mut [bf16],
    )
}

#[inline(always)]
fn step_rounded_body<const FUSED: bool>(
    factors: Factors,
    random: Random,
    parameter: &mut [f32],
    gradient: &[f32],
    first_moment: &mut [bf16],
    second_moment: &mut [bf16],
) {
    let moments = first_moment.iter_mut().zip(second_moment);
    let elements = parameter.iter_mut().zip(gradient).zip(moments).zip(random.first..);
    for (((parameter, &gradient), (first, second)), index) in elements {
        let (mut new_first, mut new_second) = (widened(*first), widened(*second));
        step_body::<FUSED>(
            factors,
            std::slice::from_mut(parameter),
            &[gradient],
            std::slice::from_mut(&mut new_first),
            std::slice::from_mut(&mut new_second),
        );
        let bits = counter_random::bits(random.seed, index);
        *first = rounded(new_first, bits as u16);
        *second = rounded(new_second, (bits >> 16) as u16);
    }
}

#[inline(always)]
fn widened(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}

/// Away from zero with the probability that the 16 bits cut off stand for, else towards it: right in the mean.
#[inline(always)]
fn rounded(value: f32, random: u16) -> bf16 {
    bf16::from_bits((value.to_bits().wrapping_add(u32::from(random)) >> 16) as u16)
}
