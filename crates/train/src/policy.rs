//! What the policy says of sampled answers now, beside what it said when it drew them.

use camelid_model::Scores;
use camelid_objectives::reinforcement::policy_gradient::Sample;
use camelid_objectives::{Metric, Reduced};

use crate::rollout::Rollout;

/// Scores of a forest's targets, by branch and token.
pub(crate) struct Tokens {
    log_probs: Vec<Vec<f32>>,
    /// Empty lists where none were wanted.
    entropies: Vec<Vec<f32>>,
    weights: Vec<Vec<f32>>,
}

impl Tokens {
    /// `targets` as [`crate::task::targets_of_branches`] gives them.
    pub(crate) fn of(scores: &Scores, targets: &[Vec<usize>]) -> Self {
        let pick = |values: &[f32]| -> Vec<Vec<f32>> {
            let of_branch = |targets: &Vec<usize>| match values {
                [] => Vec::new(),
                values => targets.iter().map(|&target| values[target]).collect(),
            };
            targets.iter().map(of_branch).collect()
        };
        Self {
            log_probs: pick(&scores.log_probs),
            entropies: pick(&scores.entropies),
            weights: targets.iter().map(|targets| vec![1.0; targets.len()]).collect(),
        }
    }

    /// The same answers as the policy's loss takes them.
    pub(crate) fn samples<'a>(&'a self, rollouts: &[&'a Rollout]) -> Vec<Sample<'a>> {
        let sample = |(branch, rollout): (usize, &&'a Rollout)| Sample {
            log_probs: &self.log_probs[branch],
            old_log_probs: &rollout.log_probs,
            advantages: &rollout.advantages,
            weights: &self.weights[branch],
            reference: &rollout.reference,
            entropies: &self.entropies[branch],
        };
        rollouts.iter().enumerate().map(sample).collect()
    }

    /// How far log-probabilities are from those of the draw: 0 at the first update of a round, bit for bit.
    pub(crate) fn mismatch(&self, rollouts: &[&Rollout]) -> Metric {
        let (mut sum, mut tokens) = (0.0, 0.0);
        for (log_probs, rollout) in self.log_probs.iter().zip(rollouts) {
            for (new, old) in log_probs.iter().zip(&rollout.log_probs) {
                sum += f64::from((new - old).abs());
                tokens += 1.0;
            }
        }
        Metric::new("sampling/sampling_logp_difference/mean", Reduced::new(sum, tokens))
    }
}
