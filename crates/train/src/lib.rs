//! Training: one loop that owns time, and what a run leaves behind.
//!
//! [`Trainer`] takes steps, evaluates, writes checkpoints and resumes; [`TrainingPlan`] says how, and a [`Task`] what a
//! micro-batch is worth: [`SftTask`], [`PreferenceTask`], [`UnpairedTask`], [`RewardTask`], and those whose policy answers first:
//! [`GroupTask`], [`PpoTask`], [`ExpertIterationTask`], [`QuarkTask`], [`OnlinePreferenceTask`];
//! [`RunDirectory`] is where it leaves metrics and checkpoints; [`checks`] looks at the first batch before anything is
//! trained. Nothing here prints: whoever runs it passes an [`Observer`].

mod answerer;
mod checkpoint;
pub mod checks;
mod critic;
mod error;
mod expert_iteration;
mod group;
mod monitor;
mod observer;
mod online_preference;
mod order;
mod plan;
mod policy;
mod ppo;
mod preference;
mod pretraining;
mod quark;
mod reference;
mod reward;
mod reward_models;
pub mod rewards;
mod rollout;
mod round;
mod run_directory;
mod schedule;
mod sft;
mod task;
mod tensorboard;
mod trainer;
mod unpaired;

pub use answerer::{Answerer, RolloutServer};
pub use camelid_objectives::sft::Reduction;
pub use checkpoint::Progress;
pub use critic::Critic;
pub use error::TrainError;
pub use expert_iteration::ExpertIterationTask;
pub use group::{Baseline, GroupTask};
pub use monitor::{Monitor, MonitorReference};
pub use observer::{EvaluationReport, Metrics, MonitorReport, Observer, Silent, StepReport};
pub use online_preference::{OnlinePreferenceTask, Pairing, Sampler};
pub use order::{Order, below, split, stream};
pub use plan::TrainingPlan;
pub use ppo::{Controller, PpoMethod, PpoTask, ScoreScale};
pub use preference::PreferenceTask;
pub use pretraining::Pretraining;
pub use quark::QuarkTask;
pub use reference::{Reference, ReferenceUpdate, Source as ReferenceSource};
pub use reward::{CorrectnessTask, RewardTask, correct, rewards};
pub use reward_models::RewardModels;
pub use rollout::{Drawing, Evaluation, RolledOut, Rollout, Rollouts, Sampled};
pub use run_directory::{DISTANCES, METRICS, RunDirectory};
pub use schedule::{Schedule, Shape};
pub use sft::SftTask;
pub use task::{Asked, Example, Label, Prompt, Purpose, Ranking, Rolled, Round, Task};
pub use tensorboard::EventFile;
pub use trainer::{Ended, Requests, Trainer, TrainingData, evaluate};
pub use unpaired::{UnpairedMethod, UnpairedTask};
