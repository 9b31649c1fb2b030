//! Binary classifier optimisation.
//!
//! **What it optimises.** A classifier of good and bad responses whose logit is the implied reward, shifted so that zero
//! lies between the two.
//!
//! **When to use it.** As KTO, for single good and bad responses; the logistic loss does not flatten for responses that
//! are very wrong.
//!
//! **Formula.** `r = β log π/π_ref(y|x)`; desirable `L = -log σ(r - δ)`, undesirable `L = -log σ(δ - r)`;
//! `δ` is the mean of the two classes' mean rewards, kept as a moving average; it has no gradient. See [`shift`].
//!
//! **Source.** Jung 2024 (arXiv 2404.04656), eq. 10 and 11.
//!
//! **Reference numbers.** `L = ln 2` and `δ = 0` at step 0.

use super::{Sequence, UnpairedLoss, logistic};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bco {
    pub beta: f64,
}

/// The next `δ`: `decay` of the last, the rest from this step's mean rewards of the two classes. A class that is absent
/// leaves `δ` as it was.
pub fn shift(last: f64, decay: f64, desirable: &[f64], undesirable: &[f64]) -> f64 {
    if desirable.is_empty() || undesirable.is_empty() {
        return last;
    }
    let mean = |rewards: &[f64]| rewards.iter().sum::<f64>() / rewards.len() as f64;
    decay * last + (1.0 - decay) * (mean(desirable) + mean(undesirable)) / 2.0
}

impl UnpairedLoss for Bco {
    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * response.log_ratio()
    }

    fn loss(&self, response: &Sequence, desirable: bool, baseline: f64) -> (f64, f64) {
        let sign = if desirable { 1.0 } else { -1.0 };
        let (loss, slope) = logistic(sign * (self.reward(response) - baseline));
        (loss, sign * self.beta * slope)
    }
}
