//! Supervised fine-tuning as a task; the objective is [`camelid_objectives::sft`].

use camelid_model::{Engine, Want};
use camelid_objectives::Outcome;
use camelid_objectives::sft::{self, Reduction};
use camelid_text::Forest;

use crate::TrainError;
use crate::task::{Example, Task};

/// Demonstrations, by tokens or by records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SftTask {
    pub reduction: Reduction,
}

impl Task for SftTask {
    fn score(
        &mut self,
        engine: &mut dyn Engine,
        _examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        let scores = engine.forward(forest, want)?;
        let weights: Vec<f32> = forest.targets.iter().map(|target| target.weight).collect();
        let branches: Vec<u32> = forest.targets.iter().map(|target| target.branch).collect();
        let targets = sft::Targets {
            log_probs: &scores.log_probs,
            weights: &weights,
            branches: &branches,
            hits: &scores.hits,
            entropies: &scores.entropies,
            records: forest.branches as usize,
        };
        Ok(sft::loss(targets, self.reduction))
    }
}
