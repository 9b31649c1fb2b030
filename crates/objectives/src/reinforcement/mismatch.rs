//! Whether the sampler that wrote the responses is the policy that learns from them.
//!
//! **What it optimises.** Nothing by itself; truncated importance weights correct the policy's gradient for a sampler that
//! computes the same weights a little differently (another kernel, another precision, a temperature).
//!
//! **When to use it.** On every step, before training: with one engine for both, the difference must be 0 at temperature 1.
//! The figures are taken before truncation, or they would hide what they are to warn of.
//!
//! **Formula.** `ρ_t = π_engine(y_t)/π_sampler(y_t)`; weight `min(ρ_t, C)`, which multiplies the token's advantage, and not its
//! weight in the denominator.
//!
//! **Source.** Yao 2025, "Your efficient RL framework secretly brings you off-policy RL training".
//!
//! **Reference numbers.** Mean difference below 0.1 nats; `C` 2 to 3.

use crate::Reduced;

/// Differences of log-probabilities over the learned tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mismatch {
    /// Of the absolute difference (`sampling/sampling_logp_difference/mean`).
    pub difference: Reduced,
    pub max_difference: f64,
    /// Of `ρ` (`sampling/importance_sampling_ratio/mean`).
    pub ratio: Reduced,
    pub min_ratio: f64,
    pub max_ratio: f64,
}

impl Default for Mismatch {
    fn default() -> Self {
        Self {
            difference: Reduced::default(),
            max_difference: 0.0,
            ratio: Reduced::default(),
            min_ratio: f64::INFINITY,
            max_ratio: 0.0,
        }
    }
}

impl Mismatch {
    /// Adds one response. A difference that is not a number counts as an infinite one.
    pub fn add(&mut self, engine: &[f32], sampler: &[f32], weights: &[f32]) {
        let tokens = engine.iter().zip(sampler).zip(weights).filter(|&(_, &weight)| weight > 0.0);
        for ((&engine, &sampler), _) in tokens {
            let difference = f64::from(engine) - f64::from(sampler);
            let difference = if difference.is_nan() { f64::INFINITY } else { difference };
            let ratio = difference.exp();
            self.difference += Reduced::new(difference.abs(), 1.0);
            self.ratio += Reduced::new(ratio, 1.0);
            self.max_difference = self.max_difference.max(difference.abs());
            self.min_ratio = self.min_ratio.min(ratio);
            self.max_ratio = self.max_ratio.max(ratio);
        }
    }
}

/// `min(ρ, C)` of each token of a response.
pub fn truncated_weights(engine: &[f32], sampler: &[f32], bound: f64) -> Vec<f64> {
    let ratio = |(&engine, &sampler): (&f32, &f32)| (f64::from(engine) - f64::from(sampler)).exp();
    engine.iter().zip(sampler).map(ratio).map(|ratio| if ratio > bound { bound } else { ratio }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut mismatch = Mismatch::default();
        mismatch.add(&[-1.0, -0.5, -9.0], &[-1.25, -1.5, 0.0], &[1.0, 1.0, 0.0]);
        mismatch.add(&[-2.0], &[-1.5], &[1.0]);
        let ratios = [0.25_f64, 1.0, -0.5].map(f64::exp);
        assert_eq!(mismatch.difference, Reduced::new(1.75, 3.0));
        assert!((mismatch.ratio.sum - ratios.iter().sum::<f64>()).abs() < 1e-14);
        assert_eq!((mismatch.max_difference, mismatch.min_ratio, mismatch.max_ratio), (1.0, ratios[2], ratios[1]));
        assert_eq!(truncated_weights(&[-1.0, -0.5], &[-1.25, -1.5], 2.0), [ratios[0], 2.0]);
    }

    #[test]
    fn the_same_engine_has_none() {
        let mut mismatch = Mismatch::default();
        mismatch.add(&[-1.0, -0.5], &[-1.0, -0.5], &[1.0, 1.0]);
        assert_eq!((mismatch.max_difference, mismatch.min_ratio, mismatch.max_ratio), (0.0, 1.0, 1.0));
        assert_eq!(truncated_weights(&[-1.0], &[-1.0], 2.0), [1.0]);
        mismatch.add(&[f32::NAN], &[-1.0], &[1.0]);
        assert_eq!(mismatch.max_difference, f64::INFINITY);
    }
}
