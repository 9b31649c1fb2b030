//! How much better a token was than expected: generalised advantage estimation, returns and whitening.
//!
//! **What it optimises.** Nothing by itself; the advantages weigh the policy's gradient and the returns are what the value
//! head learns.
//!
//! **When to use it.** With a value head (PPO). Methods without one have their own file: [`super::group`], [`super::rloo`],
//! [`super::remax`], [`super::reinforce`], [`super::reinforce_plus_plus`].
//!
//! **Formula.** `δ_t = r_t + γ V_{t+1} - V_t`, `A_t = δ_t + γ λ A_{t+1}`, return `R_t = A_t + V_t`; a response ends after its
//! last token, where `V = A = 0`. Whitened: `(A - mean) / √(variance + 1e-8)`, `+ mean` where it is not to be shifted. Mean
//! and variance are over the learned tokens of the whole batch, never of a micro-batch or with padding; the variance divides
//! by their number, as lm-human-preferences' does (TRL's divides by one less).
//!
//! **Source.** Schulman 2016 (arXiv 1506.02438), eq. 16; whitening as in lm-human-preferences.
//!
//! **Reference numbers.** `γ` 1; `λ` 0.95 (Ziegler 2019, Stiennon 2020), 1 in long chains of reasoning.

/// Both have one entry for each token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    pub advantages: Vec<f64>,
    pub returns: Vec<f64>,
}

/// Advantages and returns of one response. Tokens of weight 0 were not written by the policy (a tool's answer): they get 0
/// and what comes after them follows directly on what came before.
pub fn gae(rewards: &[f64], values: &[f32], weights: &[f32], gamma: f64, lambda: f64) -> Estimate {
    let mut estimate = Estimate { advantages: vec![0.0; rewards.len()], returns: vec![0.0; rewards.len()] };
    let (mut next_value, mut next_advantage) = (0.0, 0.0);
    for token in (0..rewards.len()).rev().filter(|&token| weights[token] > 0.0) {
        let value = f64::from(values[token]);
        let advantage = rewards[token] + gamma * next_value - value + gamma * lambda * next_advantage;
        estimate.advantages[token] = advantage;
        estimate.returns[token] = advantage + value;
        (next_value, next_advantage) = (value, advantage);
    }
    estimate
}

/// Discounted sums of the rewards from each token on.
pub fn returns(rewards: &[f64], weights: &[f32], gamma: f64) -> Vec<f64> {
    gae(rewards, &vec![0.0; rewards.len()], weights, gamma, 1.0).returns
}

/// Whitens the tokens of weight above 0 of all responses together. `shift_mean` is what advantages want; rewards keep their
/// mean, or a policy that is bad everywhere would look average.
pub fn whiten(batch: &mut [Vec<f64>], weights: &[&[f32]], shift_mean: bool) {
    let learned = |batch: &[Vec<f64>]| -> Vec<f64> {
        let tokens = batch.iter().zip(weights).flat_map(|(values, weights)| values.iter().zip(*weights));
        tokens.filter(|&(_, &weight)| weight > 0.0).map(|(&value, _)| value).collect()
    };
    let learned = learned(batch);
    let count = learned.len().max(1) as f64;
    let mean = learned.iter().sum::<f64>() / count;
    let variance = learned.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    let scale = (variance + 1e-8).sqrt().recip();
    let shift = if shift_mean { 0.0 } else { mean };
    for (values, weights) in batch.iter_mut().zip(weights) {
        for (value, _) in values.iter_mut().zip(*weights).filter(|&(_, &weight)| weight > 0.0) {
            *value = (*value - mean) * scale + shift;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REWARDS: [f64; 4] = [-0.1, 0.2, -0.05, 1.5];
    const VALUES: [f32; 4] = [0.5, 0.25, -0.75, 1.0];

    /// O8: `A_t = Σ_l (γλ)^l δ_{t+l}` with both sums written out.
    #[test]
    fn gae_is_the_naive_double_loop() {
        for (gamma, lambda) in [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.99, 0.0)] {
            let estimate = gae(&REWARDS, &VALUES, &[1.0; 4], gamma, lambda);
            for t in 0..4 {
                let mut advantage = 0.0;
                for l in 0..4 - t {
                    let next = VALUES.get(t + l + 1).map_or(0.0, |&value| f64::from(value));
                    let delta = REWARDS[t + l] + gamma * next - f64::from(VALUES[t + l]);
                    advantage += (gamma * lambda).powi(l as i32) * delta;
                }
                assert!((estimate.advantages[t] - advantage).abs() < 1e-14);
                assert!((estimate.returns[t] - advantage - f64::from(VALUES[t])).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn with_lambda_1_the_returns_are_sums_of_rewards() {
        let estimate = gae(&REWARDS, &VALUES, &[1.0; 4], 1.0, 1.0);
        for (ours, sum) in estimate.returns.iter().zip([1.55, 1.65, 1.45, 1.5]) {
            assert!((ours - sum).abs() < 1e-14);
        }
        assert_eq!(returns(&[1.0, 2.0, 4.0], &[1.0; 3], 0.5), [3.0, 4.0, 4.0]);
    }

    #[test]
    fn tokens_of_a_tool_are_passed_over() {
        let with = gae(&[0.5, 9.0, 1.0], &[0.25, 7.0, 0.5], &[1.0, 0.0, 1.0], 0.9, 0.8);
        let without = gae(&[0.5, 1.0], &[0.25, 0.5], &[1.0; 2], 0.9, 0.8);
        assert_eq!(with.advantages, [without.advantages[0], 0.0, without.advantages[1]]);
        assert_eq!(with.returns, [without.returns[0], 0.0, without.returns[1]]);
    }

    #[test]
    fn whitening_is_over_the_learned_tokens_of_all_responses() {
        // Learned: 1, 2, 6; mean 3, variance 14/3.
        let weights: [&[f32]; 2] = [&[1.0, 1.0, 0.0], &[0.5]];
        let mut batch = vec![vec![1.0, 2.0, 50.0], vec![6.0]];
        let mut kept = batch.clone();
        whiten(&mut batch, &weights, true);
        let deviation = (14.0_f64 / 3.0).sqrt();
        for (ours, by_hand) in
            batch.concat().into_iter().zip([-2.0 / deviation, -1.0 / deviation, 50.0, 3.0 / deviation])
        {
            assert!((ours - by_hand).abs() < 1e-8);
        }
        whiten(&mut kept, &weights, false);
        assert!((kept[0][0] - (3.0 - 2.0 / deviation)).abs() < 1e-8);
        assert_eq!(kept[0][2], 50.0);
    }

    #[test]
    fn nothing_and_constants_whiten_to_numbers() {
        whiten(&mut [], &[], true);
        let mut same = vec![vec![2.0, 2.0]];
        whiten(&mut same, &[&[1.0, 1.0]], true);
        assert_eq!(same, [[0.0, 0.0]]);
    }
}
