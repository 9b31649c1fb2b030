//! Rank responses to align with human feedback.
//!
//! **What it optimises.** The order of the responses' mean log-probabilities to be that of their rewards, and the
//! likelihood of the best one.
//!
//! **When to use it.** With several scored responses a prompt (the model's own, a teacher's, a human's) and no wish
//! for a reference policy. Without a margin, responses in the right order no longer learn from the comparison.
//!
//! **Formula.** `p_i = log π(y_i)/|y_i|`; `L = Σ_{r_i < r_j} max(0, p_i - p_j) - log π(y_best)`. The comparison takes
//! means, the likelihood the *sum*; `rank_weight` multiplies the first term and is 1 in the paper (10 and 100 did worse).
//!
//! **Source.** Yuan 2023 (arXiv 2304.05302), eq. 2 to 4.
//!
//! **Reference numbers.** 3 epochs, learning rate 2e-5, 64 prompts a step, 192 tokens. HH: mean reward -1.02 (diverse beams)
//! against PPO's -1.03.

use super::{ListLoss, ListSlope, Response, Sequence, Slope, hinge};
use crate::Reduced;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rrhf {
    pub rank_weight: f64,
}

impl ListLoss for Rrhf {
    fn uses_reference(&self) -> bool {
        false
    }

    fn reward(&self, response: &Sequence) -> f64 {
        response.mean()
    }

    fn loss(&self, responses: &[Response], pairs: &[(usize, usize)]) -> ListSlope {
        let sequences: Vec<Sequence> = responses.iter().map(Response::sequence).collect();
        let mut slopes = vec![0.0; sequences.len()];
        let mut sum = 0.0;
        for &(better, worse) in pairs {
            let (loss, slope) = hinge(sequences[worse].mean() - sequences[better].mean());
            sum += self.rank_weight * loss;
            slopes[worse] += self.rank_weight * slope / sequences[worse].length;
            slopes[better] -= self.rank_weight * slope / sequences[better].length;
        }
        if let Some(best) = sequences.first() {
            sum -= best.log_prob;
            slopes[0] -= 1.0;
        }
        ListSlope { loss: Reduced::new(sum, 1.0), slopes: slopes.into_iter().map(Slope::Sum).collect() }
    }
}
