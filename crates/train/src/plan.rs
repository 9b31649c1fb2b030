//! How a stage trains, nothing left open.

use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// Optimiser, schedule and loop of a stage, whatever its objective. Written to the run directory; a checkpoint belongs to exactly one plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingPlan {
    pub seed: u64,
    /// Passes over the training records; may be a fraction.
    pub epochs: f64,
    /// Stop after this many optimiser steps; 0 is no limit.
    pub max_steps: u64,
    /// Records of a step.
    pub batch_size: usize,
    /// Passes over what a step's prompts were answered; more than one is PPO's.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub inner_epochs: usize,
    /// Optimiser updates of each pass, each on its share of the step's examples.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub mini_batches: usize,
    /// Most tokens computed at once.
    pub tokens_per_micro_batch: usize,
    pub schedule: Schedule,
    pub weight_decay: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    /// Infinite is off.
    pub max_grad_norm: f32,
    /// What is saved in the end is the exponential moving average of the trained parameters over the steps, with this decay. It
    /// begins with what they were before the first step, and validation is of the parameters themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f32>,
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

fn one() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_one(value: &usize) -> bool {
    *value == 1
}

impl TrainingPlan {
    /// Records trained on, repeats counted.
    pub fn records(&self, available: usize) -> u64 {
        (self.epochs * available as f64).round() as u64
    }

    /// Steps for this many training records.
    pub fn steps(&self, available: usize) -> u64 {
        let steps = self.records(available).div_ceil(self.batch_size as u64);
        if self.max_steps == 0 { steps } else { steps.min(self.max_steps) }
    }
}
