//! Proximal policy optimisation, and InstructGPT's mix with pretraining.
//!
//! **What it optimises.** `E_{y~π}[r(x, y) - β KL(π‖π_ref)]`, with a value head that says what each token could expect.
//!
//! **When to use it.** With a reward model or a checker, and enough memory for policy, reference, value and reward model.
//! Without a value head see [`super::group`] or [`super::rloo`].
//!
//! **Formula.** `L = L_policy + c L_value`, see [`super::policy_gradient`] and [`super::value`]; rewards from
//! [`super::shaping`], advantages from [`super::advantages`], whitened. PPO-ptx adds
//! `-γ E_{x~pretraining}[log π(x)]`: [`pretraining`].
//!
//! **Source.** Schulman 2017 (arXiv 1707.06347), eq. 9; for language Ziegler 2019 (arXiv 1909.08593); Ouyang 2022 (arXiv
//! 2203.02155), eq. 2.
//!
//! **Reference numbers.** At the first update ratio 1, KL 0, clip fractions 0. Ziegler: `ε` 0.2 for both, `c` 0.1, `γ_discount`
//! 1, `λ` 0.95, 4 epochs a batch of 512. InstructGPT: 1 epoch, minibatches of 64, `β` 0.02, `γ` 27.8 with 8 times as many
//! pretraining examples as episodes.

use super::policy_gradient::{PolicyGradient, Sample};
use super::value::{ValueLoss, Values};
use super::{policy_gradient, value};
use crate::sft::{self, Reduction, Targets};
use crate::{Metric, Outcome, Reduced};

/// InstructGPT's `γ`.
pub const PRETRAINING_COEFFICIENT: f64 = 27.8;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ppo {
    pub policy: PolicyGradient,
    /// Infinite means no clip.
    pub value_clip: f64,
    /// `c`.
    pub value_coefficient: f64,
}

impl Ppo {
    /// With the constants of lm-human-preferences.
    pub fn new() -> Self {
        Self { policy: PolicyGradient::new(0.2), value_clip: 0.2, value_coefficient: 0.1 }
    }
}

impl Default for Ppo {
    fn default() -> Self {
        Self::new()
    }
}

/// Loss, metrics and derivatives of a micro-batch; the value of a token goes with the token. `samples` and `values` are the
/// same responses with the same weights.
pub fn loss(method: &Ppo, samples: &[Sample<'_>], values: &[Values<'_>]) -> Outcome {
    let mut outcome = policy_gradient::loss(&method.policy, samples);
    let value = ValueLoss { clip: method.value_clip, denominator: method.policy.denominator };
    let mut of_values = value::loss(&value, values);
    outcome.loss.sum += method.value_coefficient * of_values.loss.sum;
    outcome.metrics.append(&mut of_values.metrics);
    let scaled = |slope: f32| (method.value_coefficient * f64::from(slope)) as f32;
    outcome.d_values = of_values.d_values.into_iter().map(scaled).collect();
    outcome
}

/// The pretraining part of PPO-ptx, `-γ` times the mean log-likelihood. A step divides its whole sum by one count, the
/// policy's, so that this part carries the quotient of the two counts of the step; it adds nothing to the count itself.
pub fn pretraining(targets: Targets<'_>, coefficient: f64, policy_count: f64, pretraining_count: f64) -> Outcome {
    let sft = sft::loss(targets, Reduction::Tokens);
    let scale = coefficient * policy_count / pretraining_count.max(f64::MIN_POSITIVE);
    Outcome {
        loss: Reduced::new(scale * sft.loss.sum, 0.0),
        metrics: vec![Metric::new("loss/pretraining_avg", sft.loss)],
        d_log_probs: sft.d_log_probs.into_iter().map(|slope| (scale * f64::from(slope)) as f32).collect(),
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Sample<'static> = Sample {
        log_probs: &[-0.5, -1.0],
        old_log_probs: &[-0.5, -1.0],
        advantages: &[1.0, -0.5],
        weights: &[1.0, 1.0],
        reference: &[],
        entropies: &[],
    };
    const VALUES: Values<'static> =
        Values { values: &[0.5, 1.0], old_values: &[0.5, 1.0], returns: &[1.5, 0.5], weights: &[1.0, 1.0] };

    #[test]
    fn the_sum_of_both_by_hand() {
        let outcome = loss(&Ppo::new(), &[SAMPLE], &[VALUES]);
        assert!((outcome.loss.sum - (-1.0 + 0.5 + 0.1 * 0.5 * (1.0 + 0.25))).abs() < 1e-15);
        assert_eq!(outcome.loss.count, 2.0);
        assert_eq!(outcome.d_log_probs, [-1.0, 0.5]);
        assert_eq!(outcome.d_values, [-0.1, 0.05]);
        // Reported without the coefficient.
        let value = outcome.metrics.iter().find(|metric| metric.name == "loss/value_avg").unwrap();
        assert_eq!(value.value, Reduced::new(0.625, 2.0));
    }

    #[test]
    fn pretraining_is_a_mean_of_its_own() {
        let part = |log_probs: &[f32], branches: &[u32]| {
            let (weights, hits) = (vec![1.0; log_probs.len()], vec![false; log_probs.len()]);
            let targets = Targets { log_probs, weights: &weights, branches, hits: &hits, entropies: &[], records: 1 };
            pretraining(targets, PRETRAINING_COEFFICIENT, 2.0, 4.0)
        };
        let whole = part(&[-1.0, -2.0, -3.0, -4.0], &[0; 4]);
        // Divided by the policy's count, 2, it is γ times the mean, 2.5.
        assert!((whole.loss.sum / 2.0 - 27.8 * 2.5).abs() < 1e-12);
        assert_eq!(whole.loss.count, 0.0);
        assert_eq!(whole.d_log_probs, [-13.9; 4]);
        let mut sum = part(&[-1.0], &[0]).loss;
        sum += part(&[-2.0, -3.0, -4.0], &[0; 3]).loss;
        assert!((sum.sum - whole.loss.sum).abs() < 1e-12);
    }
}
