//! What a run tells whoever watches.

use std::collections::BTreeMap;

use serde::Serialize;

/// Means over a step or an evaluation under the field's names, such as `rewards/margins`.
pub type Metrics = BTreeMap<String, f64>;

/// One optimiser step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: u64,
    pub epoch: f64,
    pub loss: f64,
    pub grad_norm: f64,
    pub learning_rate: f64,
    /// Tokens of all steps so far, shared prefixes counted for each record.
    pub num_tokens: u64,
    /// The objective's own figures.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Tokens of records a second, shared ones counted each time.
    pub tokens_per_second: f64,
    pub step_seconds: f64,
    /// Floating-point operations of the step.
    #[serde(skip)]
    pub flops: f64,
    #[serde(skip)]
    pub memory_bytes: usize,
}

/// One pass over the validation examples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluationReport {
    /// Optimiser steps taken before it.
    pub step: u64,
    pub eval_loss: f64,
    /// The objective's own figures, each name after `eval_`.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// What a held-out reward says of the policy's answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonitorReport {
    /// Optimiser steps taken before it.
    pub step: u64,
    /// Means over prompts, each name after `monitor/`.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Whether the reward is lower for sure than it was at its highest.
    #[serde(skip)]
    pub falls: bool,
}

/// Callbacks; all may be left out.
pub trait Observer {
    /// Training starts at `first_step` (above 0 when resumed) of `total_steps`.
    fn started(&mut self, _first_step: u64, _total_steps: u64) {}
    fn stepped(&mut self, _report: &StepReport) {}
    fn evaluated(&mut self, _report: &EvaluationReport) {}
    fn monitored(&mut self, _report: &MonitorReport) {}
    fn saved_checkpoint(&mut self, _path: &std::path::Path) {}
    /// Training is over and the engine holds the state after this step, which validated best, or which the
    /// monitor's reward was highest at.
    fn took_best(&mut self, _step: u64) {}
    /// Something the user should know but need not act on.
    fn warned(&mut self, _message: &str) {}
}

/// Watches nothing.
pub struct Silent;

impl Observer for Silent {}
