//! Likelihood of the chosen and unlikelihood of the rejected response.
//!
//! **What it optimises.** Each token of the chosen response to be likely, each token of the rejected one to be unlikely.
//!
//! **When to use it.** As the naive contrast of DPO's experiments; it damages what both responses have in common, so keep
//! `α` small.
//!
//! **Formula.** `L = -Σ_t log π(y_w,t)/|y_w| - α Σ_t log(1 - π(y_l,t))/|y_l|`, the mean over a prompt's pairs.
//!
//! **Source.** Welleck 2019 (arXiv 1908.04319), eq. 4; as a preference method Rafailov 2023 (arXiv 2305.18290), section 6.
//!
//! **Reference numbers.** A token of probability 1/2 has an unlikelihood of `ln 2`.

use super::{ListLoss, ListSlope, Response, Sequence, Slope};
use crate::Reduced;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unlikelihood {
    pub alpha: f64,
}

/// A log-probability this close to 0 would have an infinite slope.
const MOST: f64 = -1e-6;

impl ListLoss for Unlikelihood {
    fn uses_reference(&self) -> bool {
        false
    }

    fn reward(&self, response: &Sequence) -> f64 {
        response.mean()
    }

    fn loss(&self, responses: &[Response], pairs: &[(usize, usize)]) -> ListSlope {
        let mut slopes: Vec<Vec<f64>> = responses.iter().map(|response| vec![0.0; response.log_probs.len()]).collect();
        let mut sum = 0.0;
        let share = 1.0 / pairs.len().max(1) as f64;
        for &(better, worse) in pairs {
            let chosen = responses[better].sequence();
            sum -= share * chosen.mean();
            for (slope, &weight) in slopes[better].iter_mut().zip(&responses[better].weights) {
                *slope -= share * f64::from(weight) / chosen.length;
            }
            let length = responses[worse].sequence().length;
            let tokens = responses[worse].log_probs.iter().zip(&responses[worse].weights);
            for (slope, (&log_prob, &weight)) in slopes[worse].iter_mut().zip(tokens) {
                let log_prob = f64::from(log_prob).min(MOST);
                let factor = share * self.alpha * f64::from(weight) / length;
                let left = -log_prob.exp_m1();
                sum -= factor * left.ln();
                *slope += factor * log_prob.exp() / left;
            }
        }
        let count = if pairs.is_empty() { 0.0 } else { 1.0 };
        ListSlope { loss: Reduced::new(sum, count), slopes: slopes.into_iter().map(Slope::Tokens).collect() }
    }
}
