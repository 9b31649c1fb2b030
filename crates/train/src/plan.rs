//! What a supervised stage will do, nothing left open.

use camelid_objectives::sft::Reduction;
use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// A resolved supervised stage. Written to the run directory; a checkpoint belongs to exactly one plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SftPlan {
    pub seed: u64,
    /// Passes over the training records; may be a fraction.
    pub epochs: f64,
    /// Stop after this many optimiser steps; 0 is no limit.
    pub max_steps: u64,
    /// Records of an optimiser step.
    pub batch_size: usize,
    /// Most tokens computed at once.
    pub tokens_per_micro_batch: usize,
    #[serde(with = "reduction")]
    pub reduction: Reduction,
    pub schedule: Schedule,
    pub weight_decay: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    /// Infinite is off.
    pub max_grad_norm: f32,
    /// Share of the records held out when no validation data is given.
    pub validation_share: f64,
    /// Validate each so many steps; 0 at the start and the end only.
    pub eval_every: u64,
    /// Stop after this many validations without a better loss, and take the state that validated best; 0 is off.
    pub early_stop_patience: u32,
    /// Steps between checkpoints; 0 writes one at the end only.
    pub checkpoint_every: u64,
    pub keep_checkpoints: usize,
}

impl SftPlan {
    /// Records trained on, repeats counted.
    pub fn records(&self, available: usize) -> u64 {
        (self.epochs * available as f64).round() as u64
    }

    /// Optimiser steps for this many training records.
    pub fn steps(&self, available: usize) -> u64 {
        let steps = self.records(available).div_ceil(self.batch_size as u64);
        if self.max_steps == 0 { steps } else { steps.min(self.max_steps) }
    }
}

mod reduction {
    use camelid_objectives::sft::Reduction;
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub(super) fn serialize<S: Serializer>(reduction: &Reduction, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match reduction {
            Reduction::Tokens => "tokens",
            Reduction::Records => "records",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reduction, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "tokens" => Ok(Reduction::Tokens),
            "records" => Ok(Reduction::Records),
            other => Err(de::Error::unknown_variant(other, &["tokens", "records"])),
        }
    }
}
