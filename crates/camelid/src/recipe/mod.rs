//! Recipes: what the user wrote (`spec`), how it is read (`parse`) and what will be done (`resolve`).

mod either;
mod entry;
mod expert_iteration;
mod group;
mod judge_reward;
mod loss;
mod monitor;
mod online_preference;
mod parse;
mod plan;
mod ppo;
mod resolve;
mod reward;
mod rewards;
mod rollout;
mod sources;
mod spec;
mod steps_reward;
mod training;
mod view;

pub(crate) use expert_iteration::BuiltIteration;
pub(crate) use judge_reward::{JudgePlace, JudgePlan};
pub(crate) use loss::Built;
pub(crate) use parse::{read, read_toml};
pub(crate) use plan::{Objective, Plan, Stage, StagePlan};
pub(crate) use ppo::PpoPlan;
pub(crate) use resolve::resolve;
pub(crate) use reward::RewardPlan;
pub(crate) use rewards::{ModelPlan, RewardSpec, TermKind, TermPlan, needs_expected, refuse_per_step, resolve_rewards};
pub(crate) use rollout::{Company, RolloutServerPlan};
pub(crate) use sources::{DataSource, resolve_sources, tuning_files};
pub(crate) use spec::{MomentSpec, Sources};
pub(crate) use steps_reward::StepsPlan;
pub(crate) use view::{plan_text, plan_view, stage_view, view};

/// A recipe that cannot be run: where, what and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}\n  fix: {fix}")]
pub(crate) struct RecipeError {
    place: String,
    what: String,
    fix: String,
}

impl RecipeError {
    pub(crate) fn new(place: String, what: String, fix: impl Into<String>) -> Self {
        Self { place, what, fix: fix.into() }
    }

    /// With what the place is part of.
    pub(crate) fn within(self, whole: &str) -> Self {
        Self { place: format!("{whole}: {}", self.place), ..self }
    }
}
