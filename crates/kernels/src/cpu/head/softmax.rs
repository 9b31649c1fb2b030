//! The arithmetic on one row of logits: capping, softmax statistics, and the cotangent of the logits.

use half::bf16;

use crate::cpu::exponential::{exp, multiply_add, tanh};
use crate::cpu::simd::SimdLevel;

/// Independent running sums; one AVX-512 register, two of AVX2.
const LANES: usize = 16;

/// Softmax statistics of some columns of a row, relative to their own maximum so that none overflows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Statistics {
    pub(super) max: f32,
    /// `Σ exp(x - max)`.
    pub(super) sum: f32,
    /// `Σ exp(x - max) (x - max)`.
    pub(super) weighted: f32,
}

/// Statistics of a whole row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowSoftmax {
    pub(super) max: f32,
    /// `log Σ exp(x)`.
    pub(super) log_normaliser: f64,
    /// `-Σ p log p` in nats.
    pub(super) entropy: f64,
}

/// Joins the statistics of a row's column groups, in their order.
pub(super) fn combine(parts: impl Iterator<Item = Statistics> + Clone) -> RowSoftmax {
    let max = parts.clone().fold(f32::NEG_INFINITY, |max, part| if part.max > max { part.max } else { max });
    let (mut sum, mut weighted) = (0.0, 0.0);
    for part in parts {
        let lower = f64::from(part.max) - f64::from(max);
        let scale = lower.exp();
        sum += scale * f64::from(part.sum);
        weighted += scale * (f64::from(part.weighted) + lower * f64::from(part.sum));
    }
    RowSoftmax { max, log_normaliser: f64::from(max) + sum.ln(), entropy: sum.ln() - weighted / sum }
}

/// What turns a row's logits into their cotangent, but for the targets' own terms.
#[derive(Clone, Copy)]
pub(super) struct RowCotangent {
    pub(super) log_normaliser: f32,
    /// Sum of the cotangents of the row's log-probabilities.
    pub(super) log_prob: f32,
    /// Sum of the cotangents of the row's entropies.
    pub(super) entropy_cotangent: f32,
    pub(super) entropy: f32,
}

/// Defines a function that runs `$body::<FUSED>` compiled for the level.
macro_rules! for_level {
    ($(#[$doc:meta])* $name:ident, $body:ident, ($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        $(#[$doc])*
        pub(super) fn $name(level: SimdLevel, $($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                $body::<true>($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                $body::<true>($($argument),*)
            }
            match level {
                // SAFETY: the level says that the processor has these instructions.
                #[cfg(target_arch = "x86_64")]
                SimdLevel::Avx512 | SimdLevel::Avx512Bf16 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                SimdLevel::Avx2 => unsafe { avx2($($argument),*) },
                SimdLevel::Neon => $body::<true>($($argument),*),
                _ => $body::<false>($($argument),*),
            }
        }
    };
}

for_level! {
    /// `softcap · tanh(x / softcap)` on every logit.
    cap, cap_body, (row: &mut [f32], softcap: f32)
}

#[inline(always)]
fn cap_body<const FUSED: bool>(row: &mut [f32], softcap: f32) {
    let inverse = 1.0 / softcap;
    for x in row {
        *x = softcap * tanh::<FUSED>(*x * inverse);
    }
}

for_level! {
    /// Statistics of a stretch of (capped) logits.
    statistics, statistics_body, (row: &[f32]) -> Statistics
}

#[inline(always)]
fn statistics_body<const FUSED: bool>(row: &[f32]) -> Statistics {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut maxima = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (max, &x) in maxima.iter_mut().zip(chunk) {
            *max = if x > *max { x } else { *max };
        }
    }
    let max = maxima.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    let mut sums = [0.0; LANES];
    let mut weighted = [0.0; LANES];
    let mut add = |lane: usize, x: f32| {
        let lower = x - max;
        let e = exp::<FUSED>(lower);
        sums[lane] += e;
        weighted[lane] = multiply_add::<FUSED>(e, lower, weighted[lane]);
    };
    for chunk in chunks {
        for (lane, &x) in chunk.iter().enumerate() {
            add(lane, x);
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        add(lane, x);
    }
    Statistics { max, sum: total(sums), weighted: total(weighted) }
}

/// Sums the lanes pairwise.
#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

for_level! {
    /// Replaces (capped) logits by their cotangent, but for the targets' own terms: with `p = exp(x - log_normaliser)`,
    /// `-c p` from the log-probabilities and `-e p (log p + H)` from the entropies, times the cap's derivative.
    cotangents, cotangents_body, (row: &mut [f32], terms: RowCotangent, softcap: Option<f32>)
}

#[inline(always)]
fn cotangents_body<const FUSED: bool>(row: &mut [f32], terms: RowCotangent, softcap: Option<f32>) {
    let inverse = softcap.map_or(0.0, f32::recip);
    for x in row {
        let log_p = *x - terms.log_normaliser;
        let p = exp::<FUSED>(log_p);
        let entropy = terms.entropy_cotangent * (log_p + terms.entropy);
        let share = *x * inverse;
        *x = -p * (terms.log_prob + entropy) * (1.0 - share * share);
    }
}

for_level! {
    /// Rounds to nearest even; NaN stays NaN.
    narrow, narrow_body, (from: &[f32], to: &mut [bf16])
}

#[inline(always)]
fn narrow_body<const FUSED: bool>(from: &[f32], to: &mut [bf16]) {
    for (&from, to) in from.iter().zip(to) {
        let bits = from.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let quiet = bits >> 16 | 0x40;
        *to = bf16::from_bits((if from.is_nan() { quiet } else { rounded }) as u16);
    }
}
