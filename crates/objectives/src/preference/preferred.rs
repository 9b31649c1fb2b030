//! Fine-tuning on the preferred response only (binary FeedME).
//!
//! **What it optimises.** The likelihood of the best response; the others are only looked at in the metrics.
//!
//! **When to use it.** As the baseline that every contrastive method must beat.
//!
//! **Formula.** `L = -Σ_t log π(y_best,t) / Σ_t 1`, by tokens over the whole step, as in supervised tuning.
//!
//! **Source.** Dubois 2023 (AlpacaFarm, arXiv 2305.14387), section 4.3, after the FeedME models of `OpenAI`.
//!
//! **Reference numbers.** AlpacaFarm, win rate in simulation: 36.6 %, SFT 36.7 %, PPO 46.8 %.

use super::{ListLoss, ListSlope, Response, Sequence, Slope};
use crate::Reduced;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferred;

impl ListLoss for Preferred {
    fn uses_reference(&self) -> bool {
        false
    }

    fn reward(&self, response: &Sequence) -> f64 {
        response.log_prob
    }

    fn loss(&self, responses: &[Response], _pairs: &[(usize, usize)]) -> ListSlope {
        let best = responses.first().map(Response::sequence).unwrap_or_default();
        let slopes = (0..responses.len()).map(|index| Slope::Sum(if index == 0 { -1.0 } else { 0.0 })).collect();
        ListSlope { loss: Reduced::new(-best.log_prob, best.length), slopes }
    }
}
