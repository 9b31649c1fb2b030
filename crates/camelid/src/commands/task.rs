//! The task of a stage: what `camelid-train` is given to optimise.

use std::path::Path;

use anyhow::Context;
use camelid_model::Engine;
use camelid_text::Text;
use camelid_train::{
    CorrectnessTask, Example, ExpertIterationTask, GroupTask, OnlinePreferenceTask, PpoTask, PreferenceTask, QuarkTask,
    Reference, RewardTask, SftTask, Task, UnpairedTask,
};

use super::prepare::Prepared;
use super::value_model::ppo_task;
use crate::recipe::{Built, BuiltIteration, Objective, Plan, StagePlan};

pub(crate) enum StageTask {
    Sft(SftTask),
    Preference(PreferenceTask),
    Unpaired(UnpairedTask),
    Reward(RewardTask),
    Correctness(CorrectnessTask),
    Group(Box<GroupTask>),
    Ppo(Box<PpoTask>),
    ExpertIteration(Box<ExpertIterationTask>),
    Quark(Box<QuarkTask>),
    OnlinePreference(Box<OnlinePreferenceTask>),
}

impl StageTask {
    /// `model` is what the stage starts from; `run_hash` stands for it, data and template: reference log-probabilities of
    /// another run are not used.
    pub(crate) fn new(
        plan: &Plan,
        stage: &StagePlan,
        directory: &Path,
        model: &str,
        run_hash: &str,
        prepared: &Prepared,
    ) -> anyhow::Result<Self> {
        let text = prepared.text.assets();
        let loss = match &stage.objective {
            Objective::Sft(reduction) => return Ok(Self::Sft(SftTask { reduction: *reduction })),
            Objective::Group(group) => {
                let reference = stage.reference(directory).want();
                return Ok(Self::Group(Box::new(group.task(stage.training.seed, Text::new(text.clone())?, reference))));
            }
            Objective::Ppo(ppo) => return Ok(Self::Ppo(Box::new(ppo_task(plan, stage, ppo, model, prepared)?))),
            Objective::ExpertIteration(iteration) => {
                let text = Text::new(text.clone())?;
                return Ok(match iteration.task(stage.training.seed, text, stage.reference(directory).want()) {
                    BuiltIteration::Rule(task) => Self::ExpertIteration(Box::new(task)),
                    BuiltIteration::Quark(task) => Self::Quark(Box::new(task)),
                });
            }
            Objective::OnlinePreference(online) => {
                let reference = Reference::new(stage.reference(directory), run_hash.to_owned());
                let task = online.task(stage.training.seed, Text::new(text.clone())?, reference);
                let task = task.context("this loss takes single responses\n  fix: use a loss on pairs")?;
                return Ok(Self::OnlinePreference(Box::new(task)));
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
            Self::Ppo(task) => task.as_mut(),
            Self::ExpertIteration(task) => task.as_mut(),
            Self::Quark(task) => task.as_mut(),
            Self::OnlinePreference(task) => task.as_mut(),
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
