//! The task of a stage: what `camelid-train` is given to optimise.

use std::path::Path;

use camelid_model::Engine;
use camelid_text::{Text, TextAssets};
use camelid_train::{
    CorrectnessTask, Example, GroupTask, PreferenceTask, Reference, RewardTask, SftTask, Task, UnpairedTask,
};

use super::prepare::Prepared;
use crate::recipe::{Built, Objective, StagePlan};

pub(crate) enum StageTask {
    Sft(SftTask),
    Preference(PreferenceTask),
    Unpaired(UnpairedTask),
    Reward(RewardTask),
    Correctness(CorrectnessTask),
    Group(Box<GroupTask>),
}

impl StageTask {
    /// `run_hash` stands for model, data and template: reference log-probabilities of another run are not used.
    pub(crate) fn new(stage: &StagePlan, directory: &Path, run_hash: &str, text: &TextAssets) -> anyhow::Result<Self> {
        let loss = match &stage.objective {
            Objective::Sft(reduction) => return Ok(Self::Sft(SftTask { reduction: *reduction })),
            Objective::Group(group) => {
                return Ok(Self::Group(Box::new(group.task(stage.training.seed, Text::new(text.clone())?))));
            }
            Objective::Reward(reward) => {
                return Ok(match reward.bradley_terry() {
                    Some(method) => Self::Reward(RewardTask { method }),
                    None => Self::Correctness(CorrectnessTask),
                });
            }
            Objective::Preference(loss) => loss,
        };
        let reference = Reference::new(stage.reference(directory), run_hash.to_owned());
        Ok(match loss.build() {
            Built::Groups(method) => Self::Preference(PreferenceTask { method, reference }),
            Built::Single(method) => Self::Unpaired(UnpairedTask::new(method, reference)),
        })
    }

    pub(crate) fn as_task(&mut self) -> &mut dyn Task {
        match self {
            Self::Sft(task) => task,
            Self::Preference(task) => task,
            Self::Unpaired(task) => task,
            Self::Reward(task) => task,
            Self::Correctness(task) => task,
            Self::Group(task) => task.as_mut(),
        }
    }

    /// Scores all examples under the starting model where training will change all of it.
    pub(crate) fn record_reference(
        &mut self,
        engine: &mut dyn Engine,
        prepared: &Prepared,
        token_budget: usize,
    ) -> anyhow::Result<()> {
        let reference = match self {
            Self::Preference(task) if task.method.uses_reference() => &mut task.reference,
            Self::Unpaired(task) => &mut task.reference,
            _ => return Ok(()),
        };
        let examples: Vec<&Example> = prepared.training.iter().chain(&prepared.validation).collect();
        let mut last = std::time::Instant::now();
        Ok(reference.record(engine, &examples, token_budget, &mut |done, all| {
            if done == all || last.elapsed().as_secs() >= 5 {
                eprintln!("reference log-probabilities: {done} of {all}");
                last = std::time::Instant::now();
            }
        })?)
    }
}
