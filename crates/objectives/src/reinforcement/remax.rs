//! `ReMax`: the reward of the greedy answer as the baseline.
//!
//! **What it optimises.** `E_{y~π}[r(x, y)]`, relative to what the policy answers without sampling.
//!
//! **When to use it.** With one sample a prompt and no value head; costs one more, greedy, answer for each prompt.
//!
//! **Formula.** `A_t = Σ_{u≥t} r_u(y) - r(ŷ)`, with `ŷ` the greedy answer and `r_u` the rewards of each token: the KL penalties
//! that are still to come count, those of the past do not. The loss is [`super::policy_gradient`].
//!
//! **Source.** Li 2023 (arXiv 2310.10505), algorithm 1.
//!
//! **Reference numbers.** 0 where the sample is the greedy answer and there is no penalty. Learning rate 1e-6.

use super::advantages::returns;

/// Advantages of one response's tokens; `greedy` is the score of the greedy answer.
pub fn advantages(rewards: &[f64], weights: &[f32], greedy: f64) -> Vec<f64> {
    let to_go = returns(rewards, weights, 1.0).into_iter().zip(weights);
    to_go.map(|(sum, &weight)| if weight > 0.0 { sum - greedy } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(advantages(&[-0.25, 0.0, 9.0, 2.0], &[1.0, 1.0, 0.0, 1.0], 0.5), [1.25, 1.5, 0.0, 1.5]);
        assert_eq!(advantages(&[0.0, 0.0, 2.0], &[1.0; 3], 2.0), [0.0; 3]);
        assert!(advantages(&[], &[], 1.0).is_empty());
    }
}
