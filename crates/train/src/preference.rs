//! Preference optimisation as a task: ranked responses through any [`Method`].

use camelid_model::{Engine, Want};
use camelid_objectives::Outcome;
use camelid_objectives::preference::{Group, Method, Response, loss};
use camelid_text::Forest;

use crate::TrainError;
use crate::reference::Reference;
use crate::task::{Example, Label, Purpose, Ranking, Task, targets_of_branches};

/// Groups of responses under a method and, where it needs one, a reference policy.
pub struct PreferenceTask {
    pub method: Method,
    pub reference: Reference,
}

impl Task for PreferenceTask {
    fn begin(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        token_budget: usize,
        _purpose: Purpose,
    ) -> Result<(), TrainError> {
        if !self.method.uses_reference() {
            return Ok(());
        }
        let missing: Vec<&Example> =
            examples.iter().copied().filter(|example| own_reference(example).is_none()).collect();
        self.reference.prepare(engine, &missing, token_budget)
    }

    fn stepped(&mut self, engine: &mut dyn Engine, step: u64) -> Result<(), TrainError> {
        self.reference.follow(engine, step)
    }

    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        let scores = engine.forward(forest, want)?;
        let targets = targets_of_branches(forest);
        let groups = groups(examples, forest, &targets, &scores.log_probs, |example, sequence| {
            match own_reference(example).and_then(|sums| sums.get(sequence)) {
                _ if !self.method.uses_reference() => Ok(0.0),
                Some(&sum) => Ok(sum),
                None => self.reference.of(example, sequence),
            }
        })?;
        let outcome = loss(&self.method, &groups);
        Ok(in_target_order(outcome, &targets))
    }
}

/// What an example's responses brought with them.
fn own_reference(example: &Example) -> Option<&[f64]> {
    match &example.label {
        Label::Ranked(Ranking { reference, .. }) if !reference.is_empty() => Some(reference),
        _ => None,
    }
}

/// The responses of each example as the objective takes them.
fn groups(
    examples: &[&Example],
    forest: &Forest,
    targets: &[Vec<usize>],
    log_probs: &[f32],
    reference: impl Fn(&Example, usize) -> Result<f64, TrainError>,
) -> Result<Vec<Group>, TrainError> {
    let mut branches = targets.iter();
    let mut groups = Vec::with_capacity(examples.len());
    for example in examples {
        let Label::Ranked(ranking) = &example.label else {
            return Err(TrainError::Data {
                reason: format!("record {} has no ranking", example.record() + 1),
                fix: "give this stage preference data: chosen and rejected, or ranked responses".into(),
            });
        };
        let mut responses = Vec::with_capacity(example.sequences.len());
        for (index, targets) in branches.by_ref().take(example.sequences.len()).enumerate() {
            responses.push(Response {
                log_probs: targets.iter().map(|&target| log_probs[target]).collect(),
                weights: targets.iter().map(|&target| forest.targets[target].weight).collect(),
                reference: reference(example, index)?,
                score: ranking.scores.get(index).copied().flatten(),
            });
        }
        let reference_answer = if ranking.has_reference_answer { responses.pop() } else { None };
        groups.push(Group { responses, pairs: ranking.pairs.clone(), reference_answer, margin: ranking.margin });
    }
    Ok(groups)
}

/// Derivatives that are in the order of branches and their tokens, in that of the forest's targets.
pub(crate) fn in_target_order(mut outcome: Outcome, targets: &[Vec<usize>]) -> Outcome {
    for slopes in [&mut outcome.d_log_probs, &mut outcome.d_entropies, &mut outcome.d_values] {
        let mut ordered = vec![0.0; slopes.len()];
        for (&target, &slope) in targets.iter().flatten().zip(slopes.iter()) {
            ordered[target] = slope;
        }
        *slopes = ordered;
    }
    outcome
}
