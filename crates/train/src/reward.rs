//! Reward modelling as a task: every response of a prompt, or every step of a solution, in one tree, a scalar at the end of
//! each.

use camelid_model::{Engine, Values, Want};
use camelid_objectives::Outcome;
use camelid_objectives::reward::bradley_terry::{BradleyTerry, Ranked, loss};
use camelid_objectives::reward::correctness;
use camelid_text::Forest;

use crate::TrainError;
use crate::task::{Example, Label, Task};

/// Ranked responses under a Bradley-Terry model; nothing is predicted, so no logits are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RewardTask {
    pub method: BradleyTerry,
}

impl Task for RewardTask {
    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        let forest = forest.clone().without_targets();
        let values = engine.forward(&forest, Want { values: Values::Ends, ..want })?.values;
        let mut values = values.into_iter();
        let mut prompts = Vec::with_capacity(examples.len());
        for example in examples {
            let Label::Ranked(ranking) = &example.label else {
                return Err(TrainError::Data {
                    reason: format!("record {} has no ranking", example.record() + 1),
                    fix: "give this stage preference data: chosen and rejected, or ranked responses".into(),
                });
            };
            let rewards = values.by_ref().take(example.sequences.len()).collect();
            prompts.push(Ranked { rewards, pairs: ranking.pairs.clone(), margin: ranking.margin });
        }
        Ok(loss(&self.method, &prompts))
    }
}

/// Outcomes or steps that are right or wrong; a value above 0 says right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorrectnessTask;

/// Whether each sequence of an example is right.
pub fn correct(example: &Example) -> Result<Vec<bool>, TrainError> {
    match &example.label {
        Label::Desirable(desirable) => Ok(vec![*desirable]),
        Label::Steps(labels) => Ok(labels.clone()),
        Label::Ranked(_) | Label::None | Label::Prompt(_) | Label::Sampled(_) => Err(TrainError::Data {
            reason: format!("record {} has no label", example.record() + 1),
            fix: "give this stage labelled answers (prompt, completion, label) or steps (prompt, completions, labels)"
                .into(),
        }),
    }
}

impl Task for CorrectnessTask {
    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        let forest = forest.clone().without_targets();
        let values = engine.forward(&forest, Want { values: Values::Ends, ..want })?.values;
        let labels: Result<Vec<Vec<bool>>, TrainError> = examples.iter().map(|example| correct(example)).collect();
        Ok(correctness::loss(&values, &labels?.concat()))
    }
}

/// What a reward model gives each sequence of each example.
pub fn rewards(
    engine: &mut dyn Engine,
    examples: &[&Example],
    token_budget: usize,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let mut rewards = vec![Vec::new(); examples.len()];
    for batch in crate::task::micro_batches(examples, token_budget) {
        let part: Vec<&Example> = batch.iter().map(|&index| examples[index]).collect();
        let forest = crate::task::forest(&part).without_targets();
        let mut values = engine.forward(&forest, Want { values: Values::Ends, ..Want::default() })?.values.into_iter();
        for (&index, example) in batch.iter().zip(&part) {
            rewards[index] = values.by_ref().take(example.sequences.len()).collect();
        }
    }
    Ok(rewards)
}
