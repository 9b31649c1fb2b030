//! Self-play preference optimisation, from hard labels.
//!
//! **What it optimises.** The policy's log-ratios towards those of the next step in a two-player game between policies: the
//! winner's up to `1/(2β)`, the loser's down to `-1/(2β)`.
//!
//! **When to use it.** On pairs sampled from the policy itself, a few rounds of them; preferences need not be transitive.
//!
//! **Formula.** `L = (log π/π_ref(y_w) - 1/(2β))² + (log π/π_ref(y_l) + 1/(2β))²`, log-ratios summed over tokens.
//!
//! **Source.** Wu 2024 (arXiv 2405.00675), eq. 4.7 with win probabilities of 1 and 0; `β = 1/η`.
//!
//! **Reference numbers.** `L = 1/(2β²)` at step 0; `β` 0.001 for 7B models.

use super::{Pair, PairLoss, PairSlope, Sequence};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sppo {
    pub beta: f64,
}

impl PairLoss for Sppo {
    fn uses_reference(&self) -> bool {
        true
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * response.log_ratio()
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let target = 1.0 / (2.0 * self.beta);
        let (up, down) = (pair.chosen.log_ratio() - target, pair.rejected.log_ratio() + target);
        PairSlope { loss: up * up + down * down, chosen: 2.0 * up, rejected: 2.0 * down }
    }
}
