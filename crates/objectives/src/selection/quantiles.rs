//! Quark: rewards in quantiles, each with a token of its own.
//!
//! **What it optimises.** The likelihood of each sample given the token of its bin; asked for the best bin's token, the model
//! writes as the best samples were. Bad samples teach too, without being unlearned.
//!
//! **When to use it.** In a loop: sample with the best bin's token, score, put all samples so far into bins, fine-tune with
//! the bin's token before each prompt and a KL penalty to the first policy.
//!
//! **Formula.** `L = -E[log π(y | bin(r), x)] + β KL(π_0‖π)`, over tokens; `π_0` sees no token of a bin. At samples of the policy
//! the expected gradient of `k3` is that of this KL (see [`kl`](crate::reinforcement::kl)). The bin of the sample of rank `i` of `n` is `⌊K i / n⌋`, 0 the
//! worst. Samples of equal reward share the bin of their middle rank: different tokens for the same reward would be noise.
//!
//! **Source.** Lu 2022 (arXiv 2205.13636), section 2.
//!
//! **Reference numbers.** `K` 5, `β` 0.05, learning rate 3e-6 (AlpacaFarm).

use super::ascending;
use crate::reinforcement::kl::Estimator;
use crate::{Metric, Outcome, Reduced};

/// The bin of each reward, from 0, the worst, to `bins - 1`.
pub fn assign(rewards: &[f64], bins: usize) -> Vec<usize> {
    let order = ascending(rewards);
    let mut assigned = vec![0; rewards.len()];
    let mut below = 0;
    for tied in order.chunk_by(|&a, &b| rewards[a] == rewards[b]) {
        // Twice the middle rank, which may end in a half.
        let middle = 2 * below + tied.len() - 1;
        for &sample in tied {
            assigned[sample] = bins * middle / (2 * rewards.len());
        }
        below += tied.len();
    }
    assigned
}

/// Loss, metrics and derivatives over the tokens of a micro-batch. `log_probs` are those behind the bin's token, `reference`
/// those of `π_0` without it, one for each or none at all; `coefficient` is `β`.
pub fn loss(log_probs: &[f32], reference: &[f32], coefficient: f64) -> Outcome {
    let count = log_probs.len() as f64;
    let (mut likelihood, mut divergence) = (0.0, 0.0);
    let slope = |(token, &log_prob): (usize, &f32)| {
        likelihood -= f64::from(log_prob);
        let Some(&reference) = reference.get(token) else { return -1.0 };
        let log_ratio = f64::from(log_prob) - f64::from(reference);
        divergence += Estimator::K3.value(log_ratio);
        (coefficient * Estimator::K3.slope(log_ratio) - 1.0) as f32
    };
    let d_log_probs = log_probs.iter().enumerate().map(slope).collect();
    let mut metrics = vec![Metric::new("nll", Reduced::new(likelihood, count))];
    if !reference.is_empty() {
        metrics.push(Metric::new("kl", Reduced::new(divergence, count)));
    }
    Outcome {
        loss: Reduced::new(likelihood + coefficient * divergence, count),
        metrics,
        d_log_probs,
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihood_and_divergence_by_hand() {
        let (log_probs, reference) = ([-1.0, -3.0], [-1.0, -2.0]);
        let plain = loss(&log_probs, &[], 0.05);
        assert_eq!((plain.loss, plain.d_log_probs), (Reduced::new(4.0, 2.0), vec![-1.0, -1.0]));
        // k3 is 0 where the two agree and e - 2 at one nat below the reference.
        let held = loss(&log_probs, &reference, 0.05);
        assert!((held.loss.sum - 4.0 - 0.05 * (std::f64::consts::E - 2.0)).abs() < 1e-12);
        assert_eq!(held.d_log_probs[0], -1.0);
        for token in 0..2 {
            let moved = |by: f32| {
                let mut log_probs = log_probs;
                log_probs[token] += by;
                loss(&log_probs, &reference, 0.05).loss.sum
            };
            let difference = (moved(1.0 / 1024.0) - moved(-1.0 / 1024.0)) * 512.0;
            assert!((difference - f64::from(held.d_log_probs[token])).abs() < 1e-6, "{token}");
        }
    }

    /// Token by token over a policy of three, the mean gradient of the penalty is that of `KL(π_0‖π)`: `π - π_0`.
    #[test]
    fn the_penalty_draws_to_the_first_policy() {
        let (policy, first) = ([0.7_f32, 0.2, 0.1], [0.3_f32, 0.3, 0.4]);
        let (log_probs, reference) = (policy.map(f32::ln), first.map(f32::ln));
        let with = loss(&log_probs, &reference, 1.0).d_log_probs;
        for logit in 0..3 {
            let mean: f32 = (0..3)
                .map(|token| {
                    let d_log_prob = f32::from(u8::from(token == logit)) - policy[logit];
                    policy[token] * (with[token] + 1.0) * d_log_prob
                })
                .sum();
            assert!((mean - (policy[logit] - first[logit])).abs() < 1e-6, "{logit}: {mean}");
        }
    }

    #[test]
    fn equal_parts() {
        let rewards = [0.9, 0.1, 0.5, 0.3, 0.7, 0.2, 0.6, 0.4, 0.8, 0.0];
        assert_eq!(assign(&rewards, 5), [4, 0, 2, 1, 3, 1, 3, 2, 4, 0]);
        assert_eq!(assign(&[3.0, 1.0], 5), [2, 0]);
        assert!(assign(&[], 5).is_empty());
    }

    #[test]
    fn equal_rewards_are_in_one_bin() {
        // Ranks 0, 1 to 4 with middle 2.5, 5.
        assert_eq!(assign(&[2.0, 1.0, 2.0, 2.0, 3.0, 2.0], 3), [1, 0, 1, 1, 2, 1]);
        assert_eq!(assign(&[1.0; 4], 5), [1; 4]);
        // What could not be scored is no example of the best.
        assert_eq!(assign(&[f64::NAN, 1.0], 2), [0, 1]);
        // A pass rate of a half: the two classes keep apart.
        assert_eq!(assign(&[0.0, 1.0, 0.0, 1.0], 2), [0, 1, 0, 1]);
    }
}
