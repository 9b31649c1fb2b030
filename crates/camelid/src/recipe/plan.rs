//! What will be done: a recipe with nothing left open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use camelid_kernels::Compute;
use camelid_model::{MomentType, TransformerOptions, Tuning, Want};
use camelid_records::Condition;
use camelid_text::{Overlong, SpanPolicy};
use camelid_train::{Reduction, ReferenceSource, ReferenceUpdate};

use super::expert_iteration::ExpertIterationPlan;
use super::group::GroupPlan;
use super::loss::LossPlan;
use super::monitor::MonitorPlan;
use super::online_preference::OnlinePreferencePlan;
use super::ppo::PpoPlan;
use super::reward::RewardPlan;
use super::rewards::TermPlan;
use super::rollout::{RolloutPlan, RolloutServerPlan};
use super::sources::DataSource;
use super::spec::StageKind;
use crate::actions::Action;

/// A run, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) seed: u64,
    pub(crate) compute: Compute,
    pub(crate) threads: Option<usize>,
    pub(crate) directory: PathBuf,
    pub(crate) stages: Vec<Stage>,
}

impl Plan {
    /// The stages that tune.
    pub(crate) fn tuning(&self) -> impl Iterator<Item = &StagePlan> {
        self.stages.iter().filter_map(Stage::tuning)
    }

    /// A run of one stage is its own directory; several have one each inside it.
    pub(crate) fn stage_directory(&self, index: usize) -> PathBuf {
        match self.stages.as_slice() {
            [_] => self.directory.clone(),
            stages => {
                let kind = stages.get(index).map_or("", Stage::kind);
                self.directory.join(format!("stage-{}-{kind}", index + 1))
            }
        }
    }
}

/// A stage, resolved.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Tuning(Box<StagePlan>),
    /// Trains nothing: the next stage goes on with the model that this one was given.
    Action(Arc<dyn Action>),
}

impl Stage {
    /// As recipes and run directories call it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Tuning(stage) => stage.kind.name(),
            Self::Action(action) => action.kind().name(),
        }
    }

    /// The plan of a stage that tunes.
    pub(crate) fn tuning(&self) -> Option<&StagePlan> {
        match self {
            Self::Tuning(stage) => Some(stage),
            Self::Action(_) => None,
        }
    }
}

/// A stage that tunes, resolved.
#[derive(Clone, Debug)]
pub(crate) struct StagePlan {
    pub(crate) kind: StageKind,
    pub(crate) data: Vec<DataSource>,
    /// Empty: a share of `data` is held out.
    pub(crate) validation_data: Vec<DataSource>,
    pub(crate) spans: SpanPolicy,
    pub(crate) max_length: usize,
    pub(crate) overlong: Overlong,
    pub(crate) max_reject_share: f64,
    pub(crate) tuning: Tuning,
    pub(crate) neftune_alpha: f32,
    pub(crate) moments: MomentType,
    pub(crate) activation_checkpointing: bool,
    pub(crate) objective: Objective,
    /// Models that a reward stage trains, each from another seed; 1 for other kinds.
    pub(crate) members: usize,
    /// Another process that draws the policy's answers.
    pub(crate) rollout_server: Option<RolloutServerPlan>,
    /// When the reference policy moves; absent: never.
    pub(crate) reference_update: Option<ReferenceUpdate>,
    /// Demonstrations are responses behind labels that say how good they are.
    pub(crate) condition: Option<Condition>,
    pub(crate) training: camelid_train::TrainingPlan,
    pub(crate) monitor: Option<MonitorPlan>,
    pub(crate) sample_prompts: Vec<String>,
    pub(crate) sample_tokens: usize,
    pub(crate) save_merged: bool,
}

impl StagePlan {
    /// Where the reference policy's log-probabilities come from.
    pub(crate) fn reference(&self, directory: &Path) -> ReferenceSource {
        let scores_new_responses = match &self.objective {
            Objective::Preference(loss) => loss.name == "kto",
            Objective::Sft(_) | Objective::Reward(_) => false,
            Objective::Group(_)
            | Objective::Ppo(_)
            | Objective::ExpertIteration(_)
            | Objective::OnlinePreference(_) => true,
        };
        match (&self.tuning, self.reference_update) {
            (_, Some(update)) => ReferenceSource::Copy(Some(update)),
            (Tuning::LowRank(_), None) => ReferenceSource::AdapterOff,
            _ if scores_new_responses => ReferenceSource::Copy(None),
            _ => ReferenceSource::File(directory.join("reference.jsonl")),
        }
    }

    /// What answers are rewarded for; nothing where none are sampled.
    pub(crate) fn rewards(&self) -> &[TermPlan] {
        match &self.objective {
            Objective::Group(group) => &group.reward,
            Objective::ExpertIteration(iteration) => &iteration.rollout.reward,
            Objective::OnlinePreference(online) => &online.rollout.reward,
            Objective::Ppo(ppo) => &ppo.rollout.reward,
            Objective::Sft(_) | Objective::Preference(_) | Objective::Reward(_) => &[],
        }
    }

    /// Answers to each prompt and the most tokens of one; nothing where none are sampled.
    pub(crate) fn answers(&self) -> Option<(usize, usize)> {
        let of = |rollout: &RolloutPlan| Some((rollout.samples, rollout.answer_tokens));
        match &self.objective {
            Objective::Group(group) => Some((group.samples, group.answer_tokens)),
            Objective::ExpertIteration(iteration) => of(&iteration.rollout),
            Objective::OnlinePreference(online) => of(&online.rollout),
            Objective::Ppo(ppo) => of(&ppo.rollout),
            Objective::Sft(_) | Objective::Preference(_) | Objective::Reward(_) => None,
        }
    }

    pub(crate) fn transformer_options(&self) -> TransformerOptions {
        TransformerOptions {
            neftune_alpha: self.neftune_alpha,
            moments: self.moments,
            activation_checkpointing: self.activation_checkpointing,
            value_head: self.objective.is_reward(),
            // Either is the engine's one copy.
            keep_reference: self.copies_reference()
                || self.training.ema.is_some()
                || self.monitor_reference().is_some_and(|want| want.reference),
            ..TransformerOptions::default()
        }
    }

    /// Whether the engine keeps a copy of the starting parameters to compare with.
    pub(crate) fn copies_reference(&self) -> bool {
        matches!(self.reference(Path::new("")), ReferenceSource::Copy(_)) && self.has_reference()
    }

    /// The forward pass that is the starting policy, with which a monitor compares; nothing where the engine's one copy is something
    /// else or moves.
    pub(crate) fn monitor_reference(&self) -> Option<Want> {
        self.monitor.as_ref()?;
        match self.tuning {
            Tuning::LowRank(_) => Some(ReferenceSource::AdapterOff.want()),
            _ if self.training.ema.is_some() || self.reference_update.is_some() => None,
            _ => Some(ReferenceSource::Copy(None).want()),
        }
    }

    /// The forward pass that is the reference policy of a stage with rewards, if there is one.
    pub(crate) fn policy_reference(&self) -> Option<Want> {
        let source = self.reference(Path::new(""));
        (self.has_reference() || source == ReferenceSource::AdapterOff).then(|| source.want())
    }

    fn has_reference(&self) -> bool {
        match &self.objective {
            Objective::Preference(loss) => loss.uses_reference(),
            Objective::OnlinePreference(online) => online.loss.uses_reference(),
            Objective::ExpertIteration(iteration) => iteration.uses_reference(),
            Objective::Group(group) => group.kl_coefficient > 0.0,
            Objective::Ppo(ppo) => ppo.uses_reference(),
            Objective::Sft(_) | Objective::Reward(_) => false,
        }
    }
}

/// What a stage optimises.
#[derive(Clone, Debug)]
pub(crate) enum Objective {
    Sft(Reduction),
    Preference(LossPlan),
    Reward(RewardPlan),
    Group(GroupPlan),
    Ppo(PpoPlan),
    ExpertIteration(ExpertIterationPlan),
    OnlinePreference(OnlinePreferencePlan),
}

impl Objective {
    /// Whether the stage trains a scalar head.
    pub(crate) fn is_reward(&self) -> bool {
        matches!(self, Self::Reward(_))
    }
}
