//! What the user wrote. Nothing here is derived, checked against the disk or defaulted; see `resolve` for that.

use std::collections::BTreeMap;
use std::path::PathBuf;

use camelid_model::MomentType;
use camelid_records::{Condition, Format, PairChoice, Role};
use serde::Deserialize;

use super::either::NameOrTable;
use super::entry::StageEntry;
use super::expert_iteration::SelectSpec;
use super::group::{EvaluationChoice, KlPlace};
use super::monitor::MonitorSpec;
use super::online_preference::SamplerSpec;
use super::ppo::{KlSpec, PretrainingSpec, ScoreScaleSpec};
use super::rewards::RewardSpec;
use super::rollout::RolloutServerSpec;
use crate::cli::ComputeChoice;

/// A recipe file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipeSpec {
    /// Name of the run; its directory is `runs/NAME`. The file's name when left out.
    pub(crate) name: Option<String>,
    /// A known name, a Hugging Face id, a folder or a `.gguf` file.
    pub(crate) model: String,
    /// All randomness of the run comes from this number.
    #[serde(default)]
    pub(crate) seed: u64,
    #[serde(default)]
    pub(crate) compute: ComputeChoice,
    /// All cores when left out.
    pub(crate) threads: Option<usize>,
    /// Instead of `runs/NAME`.
    pub(crate) run_directory: Option<PathBuf>,
    /// One after another; each starts from the model that the one before wrote.
    pub(crate) stage: Vec<StageEntry>,
}

/// What a stage tunes for. Each kind is one file in `camelid-train`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StageKind {
    /// Supervised tuning on demonstrations.
    #[default]
    Sft,
    /// Preference optimisation on ranked or rated responses.
    Preference,
    /// A reward model from ranked responses.
    Reward,
    /// Reinforcement learning on groups of samples with checked rewards.
    Group,
    /// Reinforcement learning on samples with a value model.
    Ppo,
    /// Supervised tuning on the best of the policy's own answers.
    ExpertIteration,
    /// Preference optimisation on the policy's own answers.
    OnlinePreference,
}

impl StageKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Sft,
        Self::Preference,
        Self::Reward,
        Self::Group,
        Self::Ppo,
        Self::ExpertIteration,
        Self::OnlinePreference,
    ];

    /// As recipes and run directories call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sft => "sft",
            Self::Preference => "preference",
            Self::Reward => "reward",
            Self::Group => "group",
            Self::Ppo => "ppo",
            Self::ExpertIteration => "expert-iteration",
            Self::OnlinePreference => "online-preference",
        }
    }

    /// Whether the policy answers prompts.
    pub(crate) fn samples(self) -> bool {
        matches!(self, Self::Group | Self::Ppo | Self::ExpertIteration | Self::OnlinePreference)
    }
}

/// A tuning stage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageSpec {
    /// Read before the other keys, by `entry`.
    #[serde(skip)]
    pub(crate) kind: StageKind,

    /// Of a preference stage: `dpo` (the default), `ipo`, `kto` ...; of a reward stage: `bradley-terry` (the default),
    /// `outcome`, `process`; of a group stage: `grpo` (the default), `dapo` ... The settings below belong to some losses only.
    pub(crate) loss: Option<String>,
    pub(crate) beta: Option<f64>,
    pub(crate) label_smoothing: Option<f64>,
    pub(crate) length_normalised: Option<bool>,
    pub(crate) sft_weight: Option<f64>,
    pub(crate) margin_weight: Option<f64>,
    pub(crate) tau: Option<f64>,
    pub(crate) delta: Option<f64>,
    pub(crate) lambda: Option<f64>,
    pub(crate) gamma: Option<f64>,
    pub(crate) alpha: Option<f64>,
    pub(crate) rank_weight: Option<f64>,
    pub(crate) desirable_weight: Option<f64>,
    pub(crate) undesirable_weight: Option<f64>,
    /// Of a reward stage: how strongly rewards are drawn to a mean of 0.
    pub(crate) centring: Option<f64>,
    /// Of a reward stage: so many models, each from another seed.
    pub(crate) members: Option<usize>,
    /// Which responses of a ranked list are compared.
    pub(crate) pairs: Option<PairChoice>,

    /// Of stages whose policy answers prompts: what an answer's reward is; see `group`, `expert_iteration` and
    /// `online_preference` for these and their defaults.
    pub(crate) reward: Option<RewardSpec>,
    /// Draw answers in another process, which is sent the policy's weights.
    pub(crate) rollout_server: Option<RolloutServerSpec>,
    /// How held-out prompts are answered.
    pub(crate) evaluation: Option<EvaluationChoice>,
    /// Passes over the answers of a step, and optimiser updates of each pass.
    pub(crate) inner_epochs: Option<usize>,
    pub(crate) mini_batches: Option<usize>,
    pub(crate) samples: Option<usize>,
    pub(crate) answer_tokens: Option<usize>,
    pub(crate) kl_coefficient: Option<f64>,
    /// Of a group stage: whether the KL penalty is part of the loss or of the reward.
    pub(crate) kl_in: Option<KlPlace>,
    pub(crate) clip_low: Option<f64>,
    pub(crate) clip_high: Option<f64>,
    pub(crate) entropy_coefficient: Option<f64>,
    pub(crate) missing_end_penalty: Option<f64>,
    /// Of a ppo stage; see `ppo` for these and their defaults.
    pub(crate) kl: Option<KlSpec>,
    pub(crate) value_model: Option<String>,
    pub(crate) value_learning_rate: Option<f64>,
    pub(crate) value_coefficient: Option<f64>,
    pub(crate) value_clip: Option<f64>,
    pub(crate) discount: Option<f64>,
    pub(crate) gae_lambda: Option<f64>,
    pub(crate) whiten_advantages: Option<bool>,
    pub(crate) whiten_rewards: Option<bool>,
    pub(crate) score_scale: Option<ScoreScaleSpec>,
    pub(crate) missing_end_score: Option<f64>,
    pub(crate) target_kl: Option<f64>,
    pub(crate) pretraining: Option<PretrainingSpec>,
    /// Of an expert-iteration stage: which answers are learned, and whether the data's own are too.
    pub(crate) select: Option<NameOrTable<SelectSpec>>,
    pub(crate) demonstrations: Option<bool>,
    /// Of an online-preference stage: which answers are compared.
    pub(crate) sampler: Option<NameOrTable<SamplerSpec>>,
    /// Of a preference stage: let the reference policy follow the policy (TR-DPO).
    pub(crate) reference_update: Option<ReferenceUpdateSpec>,
    /// Of an sft stage on feedback: labels that say how good a response is, in front of its prompt.
    pub(crate) condition: Option<Condition>,

    /// A held-out reward that watches the stage; see `monitor`.
    pub(crate) monitor: Option<MonitorSpec>,

    /// One file, or a list of files and tables.
    pub(crate) data: Sources,
    /// Records held out for validation instead of a share of `data`.
    pub(crate) validation_data: Option<Sources>,
    /// Share of the records held out for validation, from 0 to below 1.
    pub(crate) validation_share: Option<f64>,
    /// Whose turns are trained.
    pub(crate) learn: Option<LearnSpec>,
    /// Train on the prompt of prompt-completion records too.
    pub(crate) train_on_prompt: Option<bool>,
    /// Most tokens of a record.
    pub(crate) max_length: Option<usize>,
    /// What happens to a longer record.
    pub(crate) overlong: Option<OverlongSpec>,
    /// More than this share of rejected rows stops the run.
    pub(crate) max_reject_share: Option<f64>,

    /// Tune all weights (`full`) or an adapter (`lora`, the default). `layers` and `lora` imply it.
    pub(crate) tune: Option<TuneSpec>,
    /// Tune only these layers, counted from 0.
    pub(crate) layers: Option<Vec<usize>>,
    pub(crate) lora: Option<LoraSpec>,
    /// Magnitude of uniform noise on embeddings (`NEFTune`); 5 is usual, 0 is off.
    pub(crate) neftune_alpha: Option<f32>,

    pub(crate) epochs: Option<f64>,
    /// Stop after this many optimiser steps, whatever `epochs` says.
    pub(crate) max_steps: Option<u64>,
    /// Records of an optimiser step.
    pub(crate) batch_size: Option<usize>,
    /// Most tokens computed at once; a step is cut into as many micro-batches as it needs.
    pub(crate) tokens_per_micro_batch: Option<usize>,
    /// `tokens`: each trained token counts the same; `records`: each record does.
    pub(crate) reduction: Option<ReductionSpec>,

    pub(crate) learning_rate: Option<f64>,
    pub(crate) schedule: Option<ScheduleSpec>,
    /// Steps of warm-up: a whole number, or a share below 1 of all steps.
    pub(crate) warmup: Option<f64>,
    /// Learning rate at the end, as a share of the highest.
    pub(crate) final_learning_rate_share: Option<f64>,
    /// Share of the steps over which `wsd` decays at the end.
    pub(crate) decay_share: Option<f64>,
    pub(crate) weight_decay: Option<f32>,
    pub(crate) beta1: Option<f32>,
    pub(crate) beta2: Option<f32>,
    pub(crate) epsilon: Option<f32>,
    /// What the optimiser's moments are kept in: `f32`, or `bf16` at half the memory, rounded at random.
    pub(crate) moments: Option<MomentSpec>,
    /// Keep only each block's input for the backward pass and compute the block again: less memory, more time.
    pub(crate) activation_checkpointing: Option<bool>,
    /// Clip the gradient's global norm to this; 0 is off.
    pub(crate) max_grad_norm: Option<f32>,
    /// Save the exponential moving average of the trained parameters over the steps, with this decay.
    pub(crate) ema: Option<f32>,

    /// Validate each so many steps; 0 validates at the start and the end only.
    pub(crate) eval_every: Option<u64>,
    /// Stop after this many validations without a better loss; 0 is off.
    pub(crate) early_stop_patience: Option<u32>,
    pub(crate) checkpoint_every: Option<u64>,
    pub(crate) keep_checkpoints: Option<usize>,

    /// Prompts answered before and after tuning, to look at.
    pub(crate) sample_prompts: Option<Vec<String>>,
    pub(crate) sample_tokens: Option<usize>,
    /// Also write the adapter merged into its base as a model of its own.
    pub(crate) save_merged: Option<bool>,
}

/// Where records come from.
#[derive(Clone, Debug)]
pub(crate) enum Sources {
    One(Source),
    List(Vec<Source>),
}

impl Sources {
    /// Those that are tables.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &SourceTable> {
        let list = match self {
            Self::One(source) => std::slice::from_ref(source),
            Self::List(list) => list,
        };
        list.iter().filter_map(|source| match source {
            Source::Table(table) => Some(table),
            Source::Path(_) => None,
        })
    }
}

/// One file of records.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Path(PathBuf),
    Table(SourceTable),
}

/// A file with instructions for reading it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceTable {
    pub(crate) path: PathBuf,
    pub(crate) format: Option<Format>,
    /// Our field name = the file's column.
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, String>,
    /// Read at most this many rows.
    pub(crate) limit: Option<usize>,
    /// Factor on the loss of its demonstrations.
    pub(crate) weight: Option<f32>,
    /// Text in front of each of its prompts.
    pub(crate) condition: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum LearnSpec {
    Policy(LearnPolicy),
    Roles(Vec<Role>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LearnPolicy {
    Assistant,
    LastAssistant,
    Everything,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OverlongSpec {
    Reject,
    Truncate,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TuneSpec {
    Full,
    Lora,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MomentSpec {
    F32,
    Bf16,
}

impl From<MomentSpec> for MomentType {
    fn from(spec: MomentSpec) -> Self {
        match spec {
            MomentSpec::F32 => Self::F32,
            MomentSpec::Bf16 => Self::Bf16,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReductionSpec {
    Tokens,
    Records,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ScheduleSpec {
    Constant,
    Linear,
    Cosine,
    Wsd,
}

/// How a reference follows the policy (Gorbatovski 2024, arXiv 2404.09656).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReferenceUpdateSpec {
    /// Steps from one update to the next.
    pub(crate) every: Option<u64>,
    /// How far the reference goes towards the policy; 1 is all the way.
    pub(crate) share: Option<f32>,
}

/// A low-rank adapter (Hu 2021, arXiv 2106.09685).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoraSpec {
    pub(crate) rank: Option<usize>,
    pub(crate) alpha: Option<f32>,
    /// Scale by alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023, arXiv 2312.03732).
    #[serde(default)]
    pub(crate) rslora: bool,
    #[serde(default)]
    pub(crate) dropout: f32,
    /// `["all-linear"]` or names of linear layers such as `q_proj`.
    pub(crate) targets: Option<Vec<String>>,
}
