//! `ReST`: keep the samples above a threshold.
//!
//! **What it optimises.** The likelihood of the policy's own samples that scored well, after supervised fine-tuning on them.
//!
//! **When to use it.** In rounds of sampling (grow) and fine-tuning with a rising threshold (improve). Weaker than losses that
//! also learn from what is bad.
//!
//! **Formula.** `r' = (r - min)/(max - min)` over the data set, keep `r' > t`. With all rewards equal, all are 1.
//!
//! **Source.** Gulcehre 2023 (arXiv 2308.08998), section 3.
//!
//! **Reference numbers.** `t` 0.7 in the comparison of RSO (arXiv 2309.06657).

/// Rewards from 0 to 1.
pub fn normalised(rewards: &[f64]) -> Vec<f64> {
    let least = rewards.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let normal = |reward: &f64| if most > least { (reward - least) / (most - least) } else { 1.0 };
    rewards.iter().map(normal).collect()
}

/// The samples whose normalised reward is above `threshold`.
pub fn keep(rewards: &[f64], threshold: f64) -> Vec<usize> {
    let above = normalised(rewards).into_iter().enumerate().filter(|&(_, reward)| reward > threshold);
    above.map(|(sample, _)| sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(normalised(&[-2.0, 2.0, 0.0, 1.0]), [0.0, 1.0, 0.5, 0.75]);
        assert_eq!(keep(&[-2.0, 2.0, 0.0, 1.0], 0.7), [1, 3]);
        // At the threshold is not above it.
        assert_eq!(keep(&[-2.0, 2.0, 0.0, 1.0], 0.75), [1]);
        assert_eq!(keep(&[5.0, 5.0], 0.7), [0, 1]);
        assert!(keep(&[], 0.7).is_empty());
    }
}
