//! Quark: rewards in quantiles, each with a token of its own.
//!
//! **What it optimises.** The likelihood of each sample given the token of its bin; asked for the best bin's token, the model
//! writes as the best samples were. Bad samples teach too, without being unlearned.
//!
//! **When to use it.** In a loop: sample with the best bin's token, score, put all samples so far into bins, fine-tune with
//! the bin's token before each prompt and a KL penalty to the first policy.
//!
//! **Formula.** `L = -E[log π(y | bin(r), x)] + β KL(π_0‖π)`; the bin of the sample of rank `i` of `n` is `⌊K i / n⌋`, 0 the
//! worst. Samples of equal reward share the bin of their middle rank: different tokens for the same reward would be noise.
//!
//! **Source.** Lu 2022 (arXiv 2205.13636), section 2.
//!
//! **Reference numbers.** `K` 5, `β` 0.05, learning rate 3e-6 (AlpacaFarm).

use super::ascending;

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

#[cfg(test)]
mod tests {
    use super::*;

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
