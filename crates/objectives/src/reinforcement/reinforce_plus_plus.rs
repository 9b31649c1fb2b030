//! REINFORCE++: no value head, advantages normalised over the whole batch.
//!
//! **What it optimises.** `E_{y~π}[r(x, y) - β KL]`, each token by the rewards still to come.
//!
//! **When to use it.** Like [`super::group`], where few samples a prompt make a group's deviation a poor estimate: the batch has
//! one deviation for all prompts.
//!
//! **Formula.** `A_t = Σ_{u≥t} r_u`, with `r` from [`super::shaping`] (`-β k1` at each token, the score at the last), then
//! `(A - mean) / √(variance + 1e-8)` over all learned tokens of the batch. With groups (the "baseline" form) the group's mean
//! score is subtracted first: [`subtract_group_mean`]. The loss is [`super::policy_gradient`] with `Denominator::Tokens`.
//!
//! **Source.** Hu 2025 (arXiv 2501.03262).
//!
//! **Reference numbers.** Mean 0 and variance 1 over the batch. `β` 0.01, `ε` 0.2.

use super::advantages::{returns, whiten};

/// Advantages of the tokens of all responses of a step.
pub fn advantages(rewards: &[Vec<f64>], weights: &[&[f32]]) -> Vec<Vec<f64>> {
    let responses = rewards.iter().zip(weights);
    let mut advantages: Vec<Vec<f64>> = responses.map(|(rewards, weights)| returns(rewards, weights, 1.0)).collect();
    whiten(&mut advantages, weights, true);
    advantages
}

/// Scores of one prompt's responses relative to their mean, to be shaped instead of the scores.
pub fn subtract_group_mean(scores: &mut [f64]) {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    for score in scores {
        *score -= mean;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // To go: 0.5, 1 and 3; mean 1.5, variance 3.5/3.
        let advantages = advantages(&[vec![-0.5, 1.0], vec![3.0, 8.0]], &[&[1.0, 1.0], &[1.0, 0.0]]);
        let deviation = (3.5_f64 / 3.0).sqrt();
        let by_hand = [-1.0 / deviation, -0.5 / deviation, 1.5 / deviation, 0.0];
        for (ours, expected) in advantages.concat().into_iter().zip(by_hand) {
            assert!((ours - expected).abs() < 1e-8);
        }
    }

    #[test]
    fn the_group_s_mean_goes() {
        let mut scores = [1.0, 2.0, 6.0];
        subtract_group_mean(&mut scores);
        assert_eq!(scores, [-2.0, -1.0, 3.0]);
        subtract_group_mean(&mut []);
    }
}
