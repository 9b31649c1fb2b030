//! Identity preference optimisation.
//!
//! **What it optimises.** The probability of being preferred itself, with a KL penalty of strength `τ`: a regression of
//! the difference of log-ratios onto a constant, so that a preference which is never contradicted does not drive the
//! policy away without bound.
//!
//! **When to use it.** Where labels are (nearly) deterministic and DPO over-fits.
//!
//! **Formula.** `h = log π/π_ref(y_w) - log π/π_ref(y_l)`; `L = (h - 1/(2τ))²`. With `length_normalised` the
//! log-ratios are means over tokens, as the authors advise and `trl` does.
//!
//! **Source.** Azar 2023 (arXiv 2310.12036), eq. 17.
//!
//! **Reference numbers.** `L = 1/(4τ²)` at step 0: 25 for `τ` = 0.1.

use super::{Pair, PairLoss, PairSlope, Sequence};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ipo {
    pub tau: f64,
    pub length_normalised: bool,
}

impl Ipo {
    fn scale(&self, response: &Sequence) -> f64 {
        if self.length_normalised { 1.0 / response.length } else { 1.0 }
    }
}

impl PairLoss for Ipo {
    fn uses_reference(&self) -> bool {
        true
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.tau * self.scale(response) * response.log_ratio()
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let Pair { chosen, rejected, .. } = pair;
        let h = self.scale(chosen) * chosen.log_ratio() - self.scale(rejected) * rejected.log_ratio();
        let off = h - 1.0 / (2.0 * self.tau);
        PairSlope {
            loss: off * off,
            chosen: 2.0 * off * self.scale(chosen),
            rejected: -2.0 * off * self.scale(rejected),
        }
    }
}
