//! Reward model from ranked responses.
//!
//! **What it optimises.** The likelihood of the ranking's comparisons when `P(i preferred to j) = σ(r_i - r_j)`.
//!
//! **When to use it.** To score responses: best-of-n, RL, rejection sampling, data selection. Certify it first.
//!
//! **Formula.** For the `K` responses to one prompt and their pairs `i ≻ j`:
//! `L = mean over pairs of [-(1 - ε) log σ(r_i - r_j - m) - ε log σ(r_j - r_i + m)] + c · mean over pairs of (r_i + r_j)²`.
//! All pairs of a prompt belong to one element of the batch: shuffled apart they over-fit within an epoch. `m` is the
//! margin, `ε` smooths labels, `c` centres rewards, which are free up to a constant otherwise.
//!
//! **Source.** Ouyang 2022 (arXiv 2203.02155), eq. 1; margin: Touvron 2023 (Llama 2, arXiv 2307.09288), eq. 2; centring:
//! Eisenstein 2023 (arXiv 2312.09244), section 2.
//!
//! **Reference numbers.** `ln 2` when all rewards are equal. InstructGPT: 6B, one epoch, learning rate 9e-6, 64 prompts of 4 to
//! 9 responses a step; accuracy 72.4 % on trained, 69.6 % on held-out labelers.

use crate::preference::{log_sigmoid, sigmoid};
use crate::{Metric, Outcome, Reduced};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BradleyTerry {
    /// Multiplies the data's margin.
    pub margin_weight: f64,
    /// `ε`, from 0 to below 0.5.
    pub label_smoothing: f64,
    /// `c`.
    pub centring: f64,
}

/// The responses to one prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    /// Reward of each response.
    pub rewards: Vec<f32>,
    /// (better, worse); ties are in none.
    pub pairs: Vec<(usize, usize)>,
    pub margin: f64,
}

/// Loss of a micro-batch, each prompt counting once; `Outcome::d_values` has one entry for each reward of each prompt.
pub fn loss(method: &BradleyTerry, prompts: &[Ranked]) -> Outcome {
    let mut total = Reduced::default();
    let mut d_rewards = Vec::new();
    let (mut accurate, mut margins, mut rewards) = (Reduced::default(), Reduced::default(), Reduced::default());
    for Ranked { rewards: values, pairs, margin } in prompts {
        let value = |index: usize| f64::from(values[index]);
        let mut slopes = vec![0.0; values.len()];
        let share = 1.0 / pairs.len().max(1) as f64;
        let mut sum = 0.0;
        for &(better, worse) in pairs {
            let gap = value(better) - value(worse);
            let h = gap - method.margin_weight * margin;
            let smoothing = method.label_smoothing;
            sum -= share * ((1.0 - smoothing) * log_sigmoid(h) + smoothing * log_sigmoid(-h));
            let slope = share * (-(1.0 - smoothing) * sigmoid(-h) + smoothing * sigmoid(h));
            let off = value(better) + value(worse);
            sum += share * method.centring * off * off;
            let pull = share * method.centring * 2.0 * off;
            slopes[better] += slope + pull;
            slopes[worse] += pull - slope;
            // A tie of rewards is half right.
            let right = if gap > 0.0 {
                1.0
            } else if gap < 0.0 {
                0.0
            } else {
                0.5
            };
            accurate += Reduced::new(right, 1.0);
            margins += Reduced::new(gap, 1.0);
        }
        rewards += Reduced::new(values.iter().map(|&value| f64::from(value)).sum(), values.len() as f64);
        total += Reduced::new(sum, if pairs.is_empty() { 0.0 } else { 1.0 });
        d_rewards.extend(slopes.into_iter().map(|slope| slope as f32));
    }
    let metrics = [("accuracy", accurate), ("margin", margins), ("mean_reward", rewards)];
    let metrics = metrics.into_iter().map(|(name, value)| Metric::new(name, value)).collect();
    Outcome { loss: total, metrics, d_values: d_rewards, ..Outcome::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four() -> Ranked {
        let pairs = (0..4).flat_map(|i| (i + 1..4).map(move |j| (i, j))).collect();
        Ranked { rewards: vec![1.5, 0.25, 0.75, -1.0], pairs, margin: 0.5 }
    }

    fn value(method: &BradleyTerry, prompt: Ranked) -> f64 {
        loss(method, &[prompt]).loss.sum
    }

    /// Oracle O7: the mean of `-log σ(r_i - r_j)` over all `C(4, 2)` pairs.
    #[test]
    fn k_wise_loss_is_the_mean_over_all_pairs() {
        let softplus = |x: f64| (1.0 + (-x).exp()).ln();
        let by_hand = [1.25, 0.75, 2.5, -0.5, 1.25, 1.75].map(softplus).iter().sum::<f64>() / 6.0;
        let outcome = loss(&BradleyTerry::default(), &[four()]);
        assert!((outcome.loss.sum - by_hand).abs() < 1e-12);
        assert_eq!(outcome.loss.count, 1.0);
        assert_eq!(outcome.metrics[0].value, Reduced::new(5.0, 6.0));
        // Rewards are free up to a constant.
        assert!(outcome.d_values.iter().sum::<f32>().abs() < 1e-6);
    }

    /// O7: the order in which responses are listed does not matter.
    #[test]
    fn shuffled_responses_give_the_same() {
        let places = [2, 0, 3, 1];
        let mut shuffled = Ranked { rewards: vec![0.0; 4], ..four() };
        for (place, &to) in places.iter().enumerate() {
            shuffled.rewards[to] = four().rewards[place];
        }
        shuffled.pairs = four().pairs.into_iter().map(|(i, j)| (places[i], places[j])).collect();
        let method = BradleyTerry { margin_weight: 1.0, label_smoothing: 0.1, centring: 0.01 };
        let (a, b) = (loss(&method, &[four()]), loss(&method, &[shuffled]));
        assert!((a.loss.sum - b.loss.sum).abs() < 1e-12);
        for (place, &to) in places.iter().enumerate() {
            assert!((a.d_values[place] - b.d_values[to]).abs() < 1e-7);
        }
    }

    #[test]
    fn derivatives() {
        let method = BradleyTerry { margin_weight: 1.0, label_smoothing: 0.1, centring: 0.05 };
        let slopes = loss(&method, &[four()]).d_values;
        for (index, slope) in slopes.iter().enumerate() {
            let moved = |by: f32| {
                let mut prompt = four();
                prompt.rewards[index] += by;
                value(&method, prompt)
            };
            let difference = (moved(1.0 / 256.0) - moved(-1.0 / 256.0)) * 128.0;
            assert!((difference - f64::from(*slope)).abs() < 1e-5, "{difference} {slope}");
        }
    }

    #[test]
    fn equal_rewards_cost_ln_2_and_a_tie_counts_nothing() {
        let equal = Ranked { rewards: vec![0.3, 0.3], pairs: vec![(0, 1)], margin: 0.0 };
        assert_eq!(value(&BradleyTerry::default(), equal), std::f64::consts::LN_2);
        let tied = Ranked { rewards: vec![0.3, 0.9], pairs: vec![], margin: 0.0 };
        assert_eq!(loss(&BradleyTerry::default(), &[tied]).loss, Reduced::default());
    }
}
