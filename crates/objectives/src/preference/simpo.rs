//! Simple preference optimisation.
//!
//! **What it optimises.** The difference of *mean* log-probabilities, the quantity that decides generation, beyond a
//! target margin; there is no reference policy.
//!
//! **When to use it.** When lengths differ much between chosen and rejected, or memory forbids a reference. Nothing
//! anchors the policy: keep the learning rate low (3e-7 to 1e-6 for full tuning).
//!
//! **Formula.** `L = -log σ(β/|y_w| log π(y_w) - β/|y_l| log π(y_l) - γ)`.
//!
//! **Source.** Meng 2024 (arXiv 2405.14734), eq. 6.
//!
//! **Reference numbers.** `β` 2.0 to 10, `γ/β` 0.3 to 0.5.

use super::{Pair, PairLoss, PairSlope, Sequence, logistic};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimPo {
    pub beta: f64,
    /// Target margin of the rewards.
    pub gamma: f64,
}

impl PairLoss for SimPo {
    fn uses_reference(&self) -> bool {
        false
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * response.mean()
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let (loss, slope) = logistic(self.reward(&pair.chosen) - self.reward(&pair.rejected) - self.gamma);
        PairSlope {
            loss,
            chosen: slope * self.beta / pair.chosen.length,
            rejected: -slope * self.beta / pair.rejected.length,
        }
    }
}
