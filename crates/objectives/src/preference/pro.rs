//! Preference ranking optimisation.
//!
//! **What it optimises.** A ranking of any length, one place after another: each response against all that are worse,
//! with temperatures from the differences of reward; and the likelihood of the best.
//!
//! **When to use it.** With ranked lists of three or more and scores that mean something. Lists without scores use
//! rewards `n - 1 … 0`.
//!
//! **Formula.** `p_k = log π(y_k)/|y_k|`, rewards `r_1 > … > r_n`;
//! `L = Σ_{k<n} -log( exp(p_k/T_k) / (exp(p_k/T_k) + Σ_{i>k} exp(p_i/T_k^i)) ) - β log π(y_1)`,
//! `1/T_k^i = r_k - r_i`, `1/T_k = max_{i>k} (r_k - r_i)`, `β = w (n - 1)²`. The contrast takes means, the likelihood
//! the *sum*. For `n = 2`, without the last term: `log(1 + exp(-Δr (p_1 - p_2)))`.
//!
//! **Source.** Song 2023 (arXiv 2306.17492), eq. 5 to 8; the temperatures as in the authors' code.
//!
//! **Reference numbers.** `w` 0.05, learning rate 5e-6, 2 epochs.

use super::{ListLoss, ListSlope, Response, Sequence, Slope};
use crate::Reduced;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pro {
    /// `w`, the likelihood's weight before `(n - 1)²`.
    pub sft_weight: f64,
}

impl ListLoss for Pro {
    fn uses_reference(&self) -> bool {
        false
    }

    fn reward(&self, response: &Sequence) -> f64 {
        response.mean()
    }

    fn loss(&self, responses: &[Response], _pairs: &[(usize, usize)]) -> ListSlope {
        let sequences: Vec<Sequence> = responses.iter().map(Response::sequence).collect();
        let count = sequences.len();
        let by_rank = |index: usize| (count - 1 - index) as f64;
        let scored = responses.iter().all(|response| response.score.is_some());
        let reward = |index: usize| responses[index].score.filter(|_| scored).unwrap_or_else(|| by_rank(index));
        let mut slopes = vec![0.0; count];
        let mut sum = 0.0;
        for first in 0..count.saturating_sub(1) {
            // A tie has no gap and says nothing about this place.
            let gaps: Vec<(usize, f64)> =
                (first + 1..count).map(|i| (i, reward(first) - reward(i))).filter(|(_, gap)| *gap > 0.0).collect();
            let Some(widest) = gaps.iter().map(|(_, gap)| *gap).reduce(f64::max) else { continue };
            let own = widest * sequences[first].mean();
            let logits: Vec<f64> = gaps.iter().map(|(i, gap)| gap * sequences[*i].mean()).collect();
            let highest = logits.iter().copied().fold(own, f64::max);
            let total = (own - highest).exp() + logits.iter().map(|logit| (logit - highest).exp()).sum::<f64>();
            sum += highest + total.ln() - own;
            slopes[first] += widest * ((own - highest).exp() / total - 1.0) / sequences[first].length;
            for ((i, gap), logit) in gaps.iter().zip(&logits) {
                slopes[*i] += gap * (logit - highest).exp() / total / sequences[*i].length;
            }
        }
        if let Some(best) = sequences.first() {
            let weight = self.sft_weight * ((count - 1) as f64).powi(2);
            sum -= weight * best.log_prob;
            slopes[0] -= weight;
        }
        ListSlope { loss: Reduced::new(sum, 1.0), slopes: slopes.into_iter().map(Slope::Sum).collect() }
    }
}
