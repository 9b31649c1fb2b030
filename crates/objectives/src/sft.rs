//! Supervised fine-tuning.
//!
//! **What it optimises.** The log-likelihood of the answers given their prompts.
//!
//! **When to use it.** To teach a pre-trained model to follow instructions from demonstrations; first stage of most
//! recipes.
//!
//! **Formula.** With targets `t`, weights `w_t` and log-probabilities `log π(y_t | x, y_<t)`:
//! by tokens `L = -Σ_t w_t log π_t / Σ_t w_t`; by records `L = -1/R Σ_r (Σ_{t∈r} w_t log π_t / Σ_{t∈r} w_t)`.
//!
//! **Source.** Teacher-forced maximum likelihood; masking of prompts as in Ouyang et al. 2022 (arXiv 2203.02155),
//! section 3.5. The sums run over the whole optimiser step, never over a micro-batch: a mean of means weighs short
//! batches too much (transformers issue 34191).
//!
//! **Reference numbers.** An untrained model over `V` tokens has a loss of `ln V`, 10.80 for 49,152.

use crate::{Metric, Outcome, Reduced};

/// What counts the same: each token or each record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    #[default]
    Tokens,
    Records,
}

/// The targets of a micro-batch; all slices have one entry for each.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    pub log_probs: &'a [f32],
    pub weights: &'a [f32],
    /// Which record a target belongs to, below `records`.
    pub branches: &'a [u32],
    pub hits: &'a [bool],
    /// Empty, or the entropy at each target.
    pub entropies: &'a [f32],
    pub records: usize,
}

/// Loss, metrics and derivatives of a micro-batch.
pub fn loss(targets: Targets<'_>, reduction: Reduction) -> Outcome {
    let Targets { log_probs, weights, branches, hits, entropies, records } = targets;
    let mut record_weights = vec![0.0_f64; records];
    for (&branch, &weight) in branches.iter().zip(weights) {
        record_weights[branch as usize] += f64::from(weight);
    }
    let factor = |target: usize| {
        let weight = f64::from(weights[target]);
        match reduction {
            Reduction::Tokens => weight,
            Reduction::Records => weight / record_weights[branches[target] as usize],
        }
    };
    let sum = (0..log_probs.len()).map(|target| -factor(target) * f64::from(log_probs[target])).sum();
    let count = match reduction {
        Reduction::Tokens => record_weights.iter().sum(),
        Reduction::Records => record_weights.iter().filter(|&&weight| weight > 0.0).count() as f64,
    };
    let targets_count = log_probs.len() as f64;
    let hit_count = hits.iter().filter(|&&hit| hit).count() as f64;
    let mut metrics = vec![Metric::new("mean_token_accuracy", Reduced::new(hit_count, targets_count))];
    if !entropies.is_empty() {
        let sum = entropies.iter().map(|&entropy| f64::from(entropy)).sum();
        metrics.push(Metric::new("entropy", Reduced::new(sum, targets_count)));
    }
    Outcome {
        loss: Reduced::new(sum, count),
        metrics,
        d_log_probs: (0..log_probs.len()).map(|target| -factor(target) as f32).collect(),
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG_PROBS: [f32; 3] = [-1.0, -2.0, -4.0];
    const WEIGHTS: [f32; 3] = [1.0, 1.0, 0.5];
    const BRANCHES: [u32; 3] = [0, 0, 1];

    fn outcome(log_probs: &[f32], reduction: Reduction) -> Outcome {
        let hits = [true, false, true];
        let targets =
            Targets { log_probs, weights: &WEIGHTS, branches: &BRANCHES, hits: &hits, entropies: &[], records: 2 };
        loss(targets, reduction)
    }

    #[test]
    fn by_tokens_each_weight_counts() {
        // 1·1 + 1·2 + 0.5·4 = 5 over 2.5.
        let outcome = outcome(&LOG_PROBS, Reduction::Tokens);
        assert_eq!(outcome.loss, Reduced::new(5.0, 2.5));
        assert_eq!(outcome.d_log_probs, [-1.0, -1.0, -0.5]);
        assert_eq!(outcome.metrics[0].value.mean(), Some(2.0 / 3.0));
    }

    #[test]
    fn by_records_each_record_counts_once() {
        // Record 0: (1 + 2) / 2 = 1.5; record 1: 4; over 2.
        let outcome = outcome(&LOG_PROBS, Reduction::Records);
        assert_eq!(outcome.loss, Reduced::new(5.5, 2.0));
        assert_eq!(outcome.d_log_probs, [-0.5, -0.5, -1.0]);
    }

    #[test]
    fn the_derivative_is_that_of_the_sum() {
        for reduction in [Reduction::Tokens, Reduction::Records] {
            let analytic = outcome(&LOG_PROBS, reduction).d_log_probs;
            for target in 0..3 {
                let moved = |by: f32| {
                    let mut log_probs = LOG_PROBS;
                    log_probs[target] += by;
                    outcome(&log_probs, reduction).loss.sum
                };
                let difference = (moved(0.5) - moved(-0.5)) / 1.0;
                assert!((difference - f64::from(analytic[target])).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn two_halves_add_up_to_the_whole() {
        let part = |range: std::ops::Range<usize>| {
            let (log_probs, weights) = (&LOG_PROBS[range.clone()], &WEIGHTS[range.clone()]);
            let branches = vec![0; log_probs.len()];
            let hits = vec![false; log_probs.len()];
            let targets = Targets { log_probs, weights, branches: &branches, hits: &hits, entropies: &[], records: 1 };
            loss(targets, Reduction::Tokens).loss
        };
        let mut sum = part(0..1);
        sum += part(1..3);
        assert_eq!(sum, outcome(&LOG_PROBS, Reduction::Tokens).loss);
    }
}
