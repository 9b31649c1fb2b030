//! Advantages within a group of responses to one prompt (GRPO, Dr. GRPO).
//!
//! **What it optimises.** The reward relative to that of the policy's other answers to the same prompt; no value head.
//!
//! **When to use it.** With rewards that can be checked and 4 or more samples a prompt. A group whose rewards are all the
//! same teaches nothing: watch `frac_reward_zero_std`, and let prompts be easier or harder if it is high.
//!
//! **Formula.** `A_i = (r_i - mean(r)) / (std(r) + 1e-4)`, the same for all tokens of response `i`; the deviation divides by
//! one less than the number. Dr. GRPO does not divide: dividing weighs prompts that are nearly always or never solved most.
//! The loss is [`super::policy_gradient`] with `Denominator::Sequences` and a `KlTerm` of `k3` with 0.04 (GRPO), `Tokens` and
//! no KL (DAPO), or `Constant` and no KL (Dr. GRPO).
//!
//! **Source.** Shao 2024 (arXiv 2402.03300), section 4.1.2; Liu 2025 (arXiv 2503.20783), section 3.2; by the batch: Lite
//! PPO, Liu 2025 (arXiv 2508.08221).
//!
//! **Reference numbers.** Advantages add up to 0 in each group. The paper: groups of 64, `ε` 0.2, `β` 0.04, learning rate
//! 1e-6; TRL: groups of 8, `β` 0.

use crate::{Metric, Reduced};

/// What the distance from the group's mean is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deviation {
    /// The group's deviation (GRPO).
    #[default]
    Group,
    /// That of all rewards of the batch.
    Batch,
    /// Nothing (Dr. GRPO).
    One,
}

/// Keeps groups of equal rewards from dividing 0 by 0.
const EPSILON: f64 = 1e-4;
/// What rounding may leave of the deviation of equal rewards.
const NO_DEVIATION: f64 = 1e-8;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    /// One for each reward of each group.
    pub advantages: Vec<Vec<f64>>,
    /// `reward`, `reward_std` (the mean of the groups' deviations) and `frac_reward_zero_std`.
    pub metrics: Vec<Metric>,
}

/// Advantages of the groups of a step. Pass all of the step at once if the deviation is the batch's.
pub fn advantages(rewards: &[Vec<f64>], deviation: Deviation) -> Groups {
    let all: Vec<f64> = rewards.concat();
    let of_batch = moments(&all).1;
    let (mut deviations, mut equal) = (0.0, 0.0);
    let advantages = rewards.iter().map(|group| {
        let (mean, of_group) = moments(group);
        deviations += of_group;
        equal += f64::from(u8::from(of_group <= NO_DEVIATION));
        let divisor = match deviation {
            Deviation::Group => of_group + EPSILON,
            Deviation::Batch => of_batch + EPSILON,
            Deviation::One => 1.0,
        };
        group.iter().map(|reward| (reward - mean) / divisor).collect()
    });
    let advantages = advantages.collect();
    let groups = rewards.len() as f64;
    let metrics = vec![
        Metric::new("reward", Reduced::new(all.iter().sum(), all.len() as f64)),
        Metric::new("reward_std", Reduced::new(deviations, groups)),
        Metric::new("frac_reward_zero_std", Reduced::new(equal, groups)),
    ];
    Groups { advantages, metrics }
}

/// Mean and deviation, which is 0 for fewer than two.
fn moments(rewards: &[f64]) -> (f64, f64) {
    let mean = rewards.iter().sum::<f64>() / rewards.len().max(1) as f64;
    let squares: f64 = rewards.iter().map(|reward| (reward - mean).powi(2)).sum();
    (mean, (squares / rewards.len().saturating_sub(1).max(1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Means 0.5 and 2, deviations √(1/3) and 0.
        let rewards = vec![vec![1.0, 0.0, 0.0, 1.0], vec![2.0, 2.0]];
        let deviation = (1.0_f64 / 3.0).sqrt();
        let groups = advantages(&rewards, Deviation::Group);
        for (ours, sign) in groups.advantages[0].iter().zip([1.0, -1.0, -1.0, 1.0]) {
            assert!((ours - sign * 0.5 / (deviation + 1e-4)).abs() < 1e-12);
        }
        assert_eq!(groups.advantages[1], [0.0, 0.0]);
        assert_eq!(groups.metrics[0].value, Reduced::new(6.0, 6.0));
        assert!((groups.metrics[1].value.sum - deviation).abs() < 1e-15);
        assert_eq!(groups.metrics[2].value, Reduced::new(1.0, 2.0));

        assert_eq!(advantages(&rewards, Deviation::One).advantages[0], [0.5, -0.5, -0.5, 0.5]);
        // All six: mean 1, squares 0 + 1 + 1 + 0 + 1 + 1, over 5.
        let batch = advantages(&rewards, Deviation::Batch).advantages;
        assert!((batch[0][0] - 0.5 / (0.8_f64.sqrt() + 1e-4)).abs() < 1e-12);
        assert_eq!(batch[1], [0.0, 0.0]);
    }

    #[test]
    fn rounding_is_no_deviation() {
        // The mean of three times 0.1 is not 0.1.
        let groups = advantages(&[vec![0.1; 3], vec![-0.7; 7], vec![5.0], vec![]], Deviation::Group);
        assert_eq!(groups.metrics[2].value, Reduced::new(4.0, 4.0));
        assert!(groups.advantages.concat().iter().all(|advantage| advantage.abs() < 1e-9));
    }

    #[test]
    fn they_add_up_to_0() {
        for deviation in [Deviation::Group, Deviation::Batch, Deviation::One] {
            for group in advantages(&[vec![0.3, -1.7, 2.2, 0.9], vec![4.0, 4.5, -9.0]], deviation).advantages {
                assert!(group.iter().sum::<f64>().abs() < 1e-12);
            }
        }
    }
}
