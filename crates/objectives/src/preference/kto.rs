//! Kahneman-Tversky optimisation.
//!
//! **What it optimises.** The value, in the sense of prospect theory, of single responses that are good or bad: how far
//! each is above or below what the policy gives on average.
//!
//! **When to use it.** When there are thumbs up and down but no pairs. Weigh the two so that their numbers times their
//! weights are in a ratio of 1 to 4/3.
//!
//! **Formula.** `r = log π/π_ref(y|x)`, `z` an estimate of `KL(π‖π_ref)`; desirable: `L = λ_D (1 - σ(β (r - z)))`;
//! undesirable: `L = λ_U (1 - σ(β (z - r)))`. `z = max(0, mean of log π/π_ref(y'|x))` over the step, where
//! `y'` is the response to another prompt; it has no gradient. See [`kl_estimate`].
//!
//! **Source.** Ethayarajh 2024 (arXiv 2402.01306), eq. 8; the estimate as in section 4.1.
//!
//! **Reference numbers.** `L = λ/2` at step 0. `β` 0.1, learning rate 5e-6 (full tuning of 7B), 32 or more a step, of more
//! than one prompt, or `z` means nothing.

use super::{Sequence, UnpairedLoss, sigmoid};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kto {
    pub beta: f64,
    /// `λ_D`.
    pub desirable_weight: f64,
    /// `λ_U`.
    pub undesirable_weight: f64,
}

/// `z` from mismatched responses: never negative, 0 without any.
pub fn kl_estimate(mismatched: &[Sequence]) -> f64 {
    let sum: f64 = mismatched.iter().map(Sequence::log_ratio).sum();
    (sum / mismatched.len().max(1) as f64).max(0.0)
}

impl UnpairedLoss for Kto {
    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * response.log_ratio()
    }

    fn loss(&self, response: &Sequence, desirable: bool, baseline: f64) -> (f64, f64) {
        let (weight, sign) = if desirable { (self.desirable_weight, 1.0) } else { (self.undesirable_weight, -1.0) };
        let value = sigmoid(sign * self.beta * (response.log_ratio() - baseline));
        (weight * (1.0 - value), -weight * sign * self.beta * value * (1.0 - value))
    }
}
