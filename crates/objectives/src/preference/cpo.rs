//! Contrastive preference optimisation.
//!
//! **What it optimises.** DPO with a uniform reference policy, which needs no second model, and the likelihood of the
//! chosen response beside it.
//!
//! **When to use it.** When chosen responses are near perfect (translation, in the paper) and memory is short.
//!
//! **Formula.** `L = -log σ(β (log π(y_w) - log π(y_l))) - α log π(y_w)/|y_w|`. The contrast takes sums; the likelihood
//! term is by tokens, as the authors' code has it.
//!
//! **Source.** Xu 2024 (arXiv 2401.08417), eq. 5.
//!
//! **Reference numbers.** `β` 0.1, `α` 1.

use super::{Pair, PairLoss, PairSlope, Sequence, logistic};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cpo {
    pub beta: f64,
    /// Weight of the likelihood term.
    pub alpha: f64,
}

impl PairLoss for Cpo {
    fn uses_reference(&self) -> bool {
        false
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * response.log_prob
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let (loss, slope) = logistic(self.reward(&pair.chosen) - self.reward(&pair.rejected));
        PairSlope {
            loss: loss - self.alpha * pair.chosen.mean(),
            chosen: slope * self.beta - self.alpha / pair.chosen.length,
            rejected: -slope * self.beta,
        }
    }
}
