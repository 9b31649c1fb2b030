//! Best-of-n: the response with the highest reward of n samples.
//!
//! **What it optimises.** The reward, by choosing instead of learning. Fine-tuning on what was chosen is expert iteration
//! (RAFT, "FeedME" where people chose).
//!
//! **When to use it.** As the baseline that every method has to beat at the same KL, and to see over-optimisation without
//! training ([`over_optimisation`](crate::over_optimisation)). It costs n samples an answer, and its KL grows as `log n` only.
//!
//! **Formula.** `P_n(y) ∝` the share of draws in which `y` is chosen: with `F` the probability of a reward of at most
//! `r(y)` and `F⁻` of less, `P_n(level) = Fⁿ - (F⁻)ⁿ`, ties within a level going to each in proportion to `π`.
//! `KL(P_n‖π) ≤ log n - (n - 1)/n`, equal only where no two samples ever tie. From `N` samples sorted by proxy reward,
//! ascending, the gold reward at `n` is `Σ_i C(i - 1, n - 1)/C(N, n) gold_i`, without bias.
//!
//! **Source.** Stiennon 2020 (arXiv 2009.01325), appendix G.3; Nakano 2021 (arXiv 2112.09332), appendix I; the bound:
//! Beirami 2024 (arXiv 2401.01879).
//!
//! **Reference numbers.** KL at n = 1: 0; 4: 0.636; 16: 1.835; 64: 3.174; 256: 4.549; 1,000: 5.909.

use super::{ascending, ranked};

/// `log n - (n - 1)/n` nats: the KL of best-of-n without ties, and the most it can be with them.
pub fn kl_bound(n: usize) -> f64 {
    let n = n.max(1) as f64;
    n.ln() - (n - 1.0) / n
}

/// The index of the highest score, the first of several. One that is not a number is never chosen.
pub fn best(scores: &[f64]) -> Option<usize> {
    let numbers = scores.iter().enumerate().filter(|(_, score)| !score.is_nan());
    numbers.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(index, _)| index)
}

/// The indices of the `count` highest scores, the highest first, of equal ones the first. None that is not a number.
pub fn top(scores: &[f64], count: usize) -> Vec<usize> {
    let numbers = ranked(scores).into_iter().map(|(index, _)| index).filter(|&index| !scores[index].is_nan());
    numbers.take(count).collect()
}

/// What best-of-n makes of a policy over few enough answers to list them.
pub fn distribution(probabilities: &[f64], rewards: &[f64], n: usize) -> Vec<f64> {
    let mut chosen = vec![0.0; probabilities.len()];
    for (level, before) in levels(probabilities, rewards) {
        let mass: f64 = level.iter().map(|&answer| probabilities[answer]).sum();
        let of_level = power_difference(before, mass, n);
        for answer in level {
            chosen[answer] = if mass > 0.0 { of_level * probabilities[answer] / mass } else { 0.0 };
        }
    }
    chosen
}

/// `KL(P_n‖π)` of a policy over few enough answers to list them; ties make it smaller than [`kl_bound`].
pub fn exact_kl(probabilities: &[f64], rewards: &[f64], n: usize) -> f64 {
    let chosen = distribution(probabilities, rewards, n);
    let terms = chosen.iter().zip(probabilities).filter(|&(&chosen, _)| chosen > 0.0);
    terms.map(|(chosen, probability)| chosen * (chosen / probability).ln()).sum()
}

/// `KL(P_n‖π)` from samples of one prompt by their proxy rewards. Samples that tie are one level, which is all that the KL depends on:
/// `Σ P_n(level) log(P_n(level)/π(level))`. Taken of the samples themselves it is too small as `n` comes near to their number, by
/// as much for levels as for samples that all differ, whose KL is known; so the law is multiplied with the ratio of the two. Without
/// ties it is [`kl_bound`], where all tie 0.
pub fn kl_estimate(proxy: &[f64], n: usize) -> f64 {
    let count = proxy.len();
    if n < 2 || count < 2 {
        return 0.0;
    }
    let uniform = vec![1.0 / count as f64; count];
    let all_differ: Vec<f64> = (0..count).map(|rank| rank as f64).collect();
    kl_bound(n) * exact_kl(&uniform, proxy, n) / exact_kl(&uniform, &all_differ, n)
}

/// Answers of equal reward, ascending, each with the probability of a lower reward.
fn levels(probabilities: &[f64], rewards: &[f64]) -> Vec<(Vec<usize>, f64)> {
    let order = ascending(rewards);
    let mut before = 0.0;
    let levels = order.chunk_by(|&a, &b| rewards[a] == rewards[b]).map(|level| {
        let here = before;
        before += level.iter().map(|&answer| probabilities[answer]).sum::<f64>();
        (level.to_vec(), here)
    });
    levels.collect()
}

/// `(before + mass)ⁿ - beforeⁿ` without cancellation.
fn power_difference(before: f64, mass: f64, n: usize) -> f64 {
    let n = n.max(1) as f64;
    if before <= 0.0 { mass.powf(n) } else { before.powf(n) * (n * (mass / before).ln_1p()).exp_m1() }
}

/// The expected gold reward of best-of-n by proxy reward, from all samples of one prompt. Samples that tie by proxy share
/// their places. `None` unless `1 ≤ n ≤` their number.
pub fn expected_gold(proxy: &[f64], gold: &[f64], n: usize) -> Option<f64> {
    let count = proxy.len();
    if n == 0 || n > count {
        return None;
    }
    let order = ascending(proxy);
    // C(i - 1, n - 1)/C(N, n) from the top down: n/N, then times (i - n)/(i - 1) from i to i - 1.
    let mut share = n as f64 / count as f64;
    let mut end = count;
    let mut sum = 0.0;
    for level in order.chunk_by(|&a, &b| proxy[a] == proxy[b]).rev() {
        let start = end - level.len();
        let mut shares = 0.0;
        for i in (start + 1..=end).rev() {
            shares += share;
            share *= i.saturating_sub(n) as f64 / i.saturating_sub(1).max(1) as f64;
        }
        sum += shares * level.iter().map(|&sample| gold[sample]).sum::<f64>() / level.len() as f64;
        end = start;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `visit` with every subset of `size` of `0..count`.
    fn subsets(count: usize, size: usize, visit: &mut dyn FnMut(&[usize])) {
        for bits in 0..1_u32 << count {
            if bits.count_ones() as usize == size {
                let subset: Vec<usize> = (0..count).filter(|&index| bits >> index & 1 == 1).collect();
                visit(&subset);
            }
        }
    }

    #[test]
    fn the_law_has_the_published_values() {
        for (n, nats) in [(1, 0.0), (4, 0.636), (16, 1.835), (64, 3.174), (256, 4.549), (512, 5.240), (1000, 5.909)] {
            assert!((kl_bound(n) - nats).abs() < 6e-4, "{n}: {}", kl_bound(n));
        }
    }

    /// O1.
    #[test]
    fn the_exact_kl_reaches_the_law_as_atoms_shrink() {
        for n in [2, 4, 16] {
            let mut gap = f64::INFINITY;
            for atoms in [3, 30, 3000] {
                // Not uniform, with rewards in no order.
                let weights: Vec<f64> = (0..atoms).map(|y| 1.0 + 0.5 * f64::from(y).sin()).collect();
                let total: f64 = weights.iter().sum();
                let policy: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
                let rewards: Vec<f64> = (0..atoms).map(|y| f64::from(y * 7 % atoms) + f64::from(y) / 1e4).collect();
                assert!((distribution(&policy, &rewards, n).iter().sum::<f64>() - 1.0).abs() < 1e-12);
                let smaller = kl_bound(n) - exact_kl(&policy, &rewards, n);
                assert!(smaller > 0.0 && smaller < gap, "{n}, {atoms}: {smaller}");
                gap = smaller;
                let tied: Vec<f64> = rewards.iter().map(|reward| (reward / 3.0).floor()).collect();
                assert!(exact_kl(&policy, &tied, n) < exact_kl(&policy, &rewards, n) - 1e-12, "{n}, {atoms}");
            }
            assert!(gap < 0.01, "{n}: {gap}");
        }
        assert_eq!(exact_kl(&[0.25, 0.75], &[1.0, 1.0], 8), 0.0);
        assert!(exact_kl(&[0.25, 0.75], &[1.0, 2.0], 1).abs() < 1e-15);
    }

    #[test]
    fn the_distribution_is_that_of_all_draws() {
        // Every triple of answers, the best of it, ties shared among its draws.
        let (policy, rewards) = ([0.1, 0.2, 0.3, 0.4], [1.0, 3.0, 3.0, 2.0]);
        let mut chosen = [0.0; 4];
        for draw in 0..64 {
            let draw = [draw % 4, draw / 4 % 4, draw / 16];
            let probability: f64 = draw.iter().map(|&y| policy[y]).product();
            let most = draw.iter().map(|&y| rewards[y]).fold(f64::MIN, f64::max);
            let ties: Vec<usize> = draw.into_iter().filter(|&y| rewards[y] == most).collect();
            for &y in &ties {
                chosen[y] += probability / ties.len() as f64;
            }
        }
        for (ours, enumerated) in distribution(&policy, &rewards, 3).into_iter().zip(chosen) {
            assert!((ours - enumerated).abs() < 1e-15);
        }
    }

    #[test]
    fn ties_make_the_estimated_kl_smaller() {
        let distinct: Vec<f64> = (0..64).map(|y| f64::from(y * 37 % 64)).collect();
        for n in [1, 2, 8, 64] {
            assert!((kl_estimate(&distinct, n) - kl_bound(n)).abs() < 1e-12, "{n}");
            assert_eq!(kl_estimate(&[1.0; 64], n), 0.0);
        }
        // Half of the mass is best: 1 - 2⁻ⁿ of the choices fall there.
        let halves: Vec<f64> = (0..4096).map(|y| f64::from(y % 2)).collect();
        for n in [2, 4, 16] {
            let (best, rest) = (1.0 - 0.5_f64.powi(n), 0.5_f64.powi(n));
            let expected = best * (best / 0.5).ln() + rest * (rest / 0.5).ln();
            let estimate = kl_estimate(&halves, n as usize);
            assert!((estimate / expected - 1.0).abs() < 0.01, "{n}: {estimate} is not {expected}");
        }
    }

    /// Draws of a policy over few answers say what its listed probabilities do.
    #[test]
    fn the_estimated_kl_is_that_of_the_policy_drawn_from() {
        let (policy, rewards) = ([0.05, 0.15, 0.3, 0.1, 0.4], [4.0, 1.0, 3.0, 3.0, 2.0]);
        let mut state = 7_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut uniform = (state >> 11) as f64 / (1_u64 << 53) as f64;
            let answer = policy.iter().position(|probability| {
                uniform -= probability;
                uniform < 0.0
            });
            rewards[answer.unwrap_or(4)]
        };
        let proxy: Vec<f64> = (0..20_000).map(|_| draw()).collect();
        for n in [2, 4, 16] {
            let (estimate, exact) = (kl_estimate(&proxy, n), exact_kl(&policy, &rewards, n));
            assert!((estimate / exact - 1.0).abs() < 0.02, "{n}: {estimate} is not {exact}");
        }
    }

    /// O10.
    #[test]
    fn the_estimate_is_the_mean_over_all_subsets() {
        let gold = [0.3, -1.0, 2.5, 0.75, 4.0, -2.0, 1.25];
        for proxy in [[0.1, 0.9, -0.4, 0.5, 2.0, 1.5, -3.0], [1.0, 2.0, 2.0, 0.0, 2.0, 0.0, 1.0]] {
            for n in 1..=7 {
                let (mut sum, mut count) = (0.0, 0.0);
                subsets(7, n, &mut |subset| {
                    let most = subset.iter().map(|&sample| proxy[sample]).fold(f64::MIN, f64::max);
                    let ties = || subset.iter().filter(|&&sample| proxy[sample] == most);
                    sum += ties().map(|&sample| gold[sample]).sum::<f64>() / ties().count() as f64;
                    count += 1.0;
                });
                let ours = expected_gold(&proxy, &gold, n).unwrap();
                assert!((ours - sum / count).abs() < 1e-12, "{n}: {ours} is not {}", sum / count);
            }
        }
        assert_eq!([expected_gold(&gold, &gold, 0), expected_gold(&gold, &gold, 8)], [None, None]);
    }

    #[test]
    fn many_samples_stay_numbers() {
        let rewards: Vec<f64> = (0..2048).map(f64::from).collect();
        // The expected maximum of n of 0..N is n (N + 1)/(n + 1) - 1.
        for n in [1, 64, 1024, 2048] {
            let expected = n as f64 * 2049.0 / (n as f64 + 1.0) - 1.0;
            assert!((expected_gold(&rewards, &rewards, n).unwrap() - expected).abs() < 1e-8, "{n}");
        }
    }

    #[test]
    fn the_best() {
        assert_eq!(best(&[1.0, 3.0, f64::NAN, 3.0]), Some(1));
        assert_eq!(best(&[f64::NAN, f64::NEG_INFINITY]), Some(1));
        assert_eq!([best(&[]), best(&[f64::NAN])], [None, None]);
        assert_eq!(top(&[1.0, 3.0, f64::NAN, 3.0], 2), [1, 3]);
        assert_eq!(top(&[1.0, 3.0, f64::NAN, 3.0], 9), [1, 3, 0]);
        assert!(top(&[], 1).is_empty());
    }
}
