//! Odds ratio preference optimisation.
//!
//! **What it optimises.** The likelihood of the chosen response and, weighted by `λ`, the odds of the chosen against the
//! rejected one: SFT and preference in a single stage, without a reference policy.
//!
//! **When to use it.** From a base model, where a separate SFT stage is not wanted.
//!
//! **Formula.** `p = exp(log π(y)/|y|)`, `odds = p / (1 - p)`;
//! `L = -log π(y_w)/|y_w| - λ log σ(log odds(y_w) - log odds(y_l))`. All by tokens.
//!
//! **Source.** Hong 2024 (arXiv 2403.07691), eq. 6 and 7.
//!
//! **Reference numbers.** `λ` 0.1 (0.1 to 0.2 for 7B models), learning rate 8e-6, 32 pairs a step or more. The second term
//! is `λ ln 2` when both are equally likely.

use super::{Pair, PairLoss, PairSlope, Sequence, logistic};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orpo {
    pub lambda: f64,
}

/// A mean log-probability this close to 0 has infinite odds in `f64`.
const MOST: f64 = -1e-12;

/// `log p - log(1 - p)` for `p = exp(mean)`, and its derivative `1 / (1 - p)` with respect to the mean.
fn log_odds(mean: f64) -> (f64, f64) {
    let mean = mean.min(MOST);
    let left = -mean.exp_m1();
    (mean - left.ln(), 1.0 / left)
}

impl PairLoss for Orpo {
    fn uses_reference(&self) -> bool {
        false
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.lambda * response.mean()
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let Pair { chosen, rejected, .. } = pair;
        let ((up, up_slope), (down, down_slope)) = (log_odds(chosen.mean()), log_odds(rejected.mean()));
        let (loss, slope) = logistic(up - down);
        PairSlope {
            loss: self.lambda * loss - chosen.mean(),
            chosen: (self.lambda * slope * up_slope - 1.0) / chosen.length,
            rejected: -self.lambda * slope * down_slope / rejected.length,
        }
    }
}
