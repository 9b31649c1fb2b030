//! Noise contrastive alignment.
//!
//! **What it optimises.** Each response's implied reward on its own: the chosen one's up, both down towards the
//! reference, so that the chosen response's likelihood does not fall as it may under DPO.
//!
//! **When to use it.** When DPO lowers the likelihood of chosen responses.
//!
//! **Formula.** `r = β log π/π_ref(y)`; `L = -log σ(r_w) - ½ log σ(-r_w) - ½ log σ(-r_l)`.
//!
//! **Source.** Chen 2024 (arXiv 2402.05369), eq. 13 for two responses.
//!
//! **Reference numbers.** `L = 2 ln 2` at step 0.

use super::{Pair, PairLoss, PairSlope, Sequence, logistic};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nca {
    pub beta: f64,
}

impl PairLoss for Nca {
    fn uses_reference(&self) -> bool {
        true
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * response.log_ratio()
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let (chosen, rejected) = (self.reward(&pair.chosen), self.reward(&pair.rejected));
        let (up, up_slope) = logistic(chosen);
        let (held, held_slope) = logistic(-chosen);
        let (down, down_slope) = logistic(-rejected);
        PairSlope {
            loss: up + 0.5 * held + 0.5 * down,
            chosen: self.beta * (up_slope - 0.5 * held_slope),
            rejected: -self.beta * 0.5 * down_slope,
        }
    }
}
