//! The log-ratio modulated loss that a language model proposed (`DiscoPOP`).
//!
//! **What it optimises.** A blend of DPO's logistic loss, where the pair is still in the wrong order, and an exponential
//! one, where it is in the right order; not convex.
//!
//! **When to use it.** As an alternative to DPO that did better in its authors' search.
//!
//! **Formula.** `h = β (log π/π_ref(y_w) - log π/π_ref(y_l))`, `m = σ(h/τ)`; `L = -(1 - m) log σ(h) + m e⁻ʰ`.
//!
//! **Source.** Lu 2024 (arXiv 2406.08414), eq. 5.
//!
//! **Reference numbers.** `β` and `τ` 0.05; `L = (ln 2 + 1)/2` at step 0.

use super::{Pair, PairLoss, PairSlope, Sequence, log_sigmoid, logistic, sigmoid};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiscoPop {
    pub beta: f64,
    pub tau: f64,
}

impl PairLoss for DiscoPop {
    fn uses_reference(&self) -> bool {
        true
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * response.log_ratio()
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let h = self.reward(&pair.chosen) - self.reward(&pair.rejected);
        let (loss, slope) = logistic(h);
        let (mixed, rest) = (sigmoid(h / self.tau), sigmoid(-h / self.tau));
        // m e⁻ʰ as one exponential: each factor alone may overflow.
        let exponential = (log_sigmoid(h / self.tau) - h).exp();
        let d_exponential = exponential * (rest / self.tau - 1.0);
        let d_h = rest * slope - loss * mixed * rest / self.tau + d_exponential;
        PairSlope { loss: rest * loss + exponential, chosen: self.beta * d_h, rejected: -self.beta * d_h }
    }
}
