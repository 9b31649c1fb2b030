//! Efficient exact optimisation (EXO) of the alignment objective, from pairs.
//!
//! **What it optimises.** The reverse KL divergence between the policy's preference between two responses and the data's;
//! DPO minimises the forward one. The direction is that of the RLHF objective itself.
//!
//! **When to use it.** As DPO, when the policy should commit to the better mode rather than cover both.
//!
//! **Formula.** `h = β (log π/π_ref(y_w) - log π/π_ref(y_l))`, `q = σ(h)`;
//! `L = q (log q - log(1 - ε)) + (1 - q) (log(1 - q) - log ε)`. `ε` is the chance that a label is wrong and cannot be 0.
//!
//! **Source.** Ji 2024 (arXiv 2402.00856), eq. 16.
//!
//! **Reference numbers.** `ε` 0.001; `L = -ln 2 - (ln(1 - ε) + ln ε)/2`, 2.76, at step 0.

use super::{Pair, PairLoss, PairSlope, Sequence, log_sigmoid, sigmoid};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exo {
    pub beta: f64,
    /// `ε`, above 0 and below 0.5.
    pub label_smoothing: f64,
}

impl PairLoss for Exo {
    fn uses_reference(&self) -> bool {
        true
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * response.log_ratio()
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let h = self.reward(&pair.chosen) - self.reward(&pair.rejected);
        let (right, wrong) = ((-self.label_smoothing).ln_1p(), self.label_smoothing.ln());
        let (q, rest) = (sigmoid(h), sigmoid(-h));
        // log q - log(1 - q) = h.
        let slope = self.beta * q * rest * (h - right + wrong);
        PairSlope {
            loss: q * (log_sigmoid(h) - right) + rest * (log_sigmoid(-h) - wrong),
            chosen: slope,
            rejected: -slope,
        }
    }
}
