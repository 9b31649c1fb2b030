//! REINFORCE with a leave-one-out baseline.
//!
//! **What it optimises.** `E_{y~π}[r(x, y)]`, the baseline of each response being the mean reward of the others.
//!
//! **When to use it.** Like [`super::group`], where an unbiased gradient matters: the baseline does not depend on the response
//! itself, and nothing is divided by a deviation.
//!
//! **Formula.** `A_i = r_i - Σ_{j≠i} r_j / (k - 1)`, which is `k/(k - 1)` times the distance from the mean. `r` has the KL
//! penalty in it ([`super::shaping`]). The loss is [`super::policy_gradient`] with `Ratio::Product` and
//! `Denominator::Sequences`: the response is one action.
//!
//! **Source.** Kool 2019; Ahmadian 2024 (arXiv 2402.14740), section 2.4.
//!
//! **Reference numbers.** Advantages add up to 0. The paper has `k` of 2 and 4, `β` 0.03 (TL;DR) and 0.10 (HH).

/// Advantages of the responses to one prompt. A single response has no others and gets 0.
pub fn advantages(rewards: &[f64]) -> Vec<f64> {
    let sum: f64 = rewards.iter().sum();
    let others = rewards.len().saturating_sub(1) as f64;
    let advantage = |&reward: &f64| if others > 0.0 { reward - (sum - reward) / others } else { 0.0 };
    rewards.iter().map(advantage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(advantages(&[1.0, 2.0, 6.0]), [-3.0, -1.5, 4.5]);
        assert_eq!(advantages(&[7.0]), [0.0]);
        assert_eq!(advantages(&[7.0, 5.0]), [2.0, -2.0]);
        assert!(advantages(&[]).is_empty());
    }

    #[test]
    fn it_is_the_distance_from_the_mean_stretched() {
        let rewards = [0.5, -1.25, 3.0, 0.75];
        for (ours, reward) in advantages(&rewards).into_iter().zip(rewards) {
            assert!((ours - 4.0 / 3.0 * (reward - 0.75)).abs() < 1e-14);
        }
    }
}
