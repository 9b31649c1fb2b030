//! Training: one loop that owns time, and what a run leaves behind.
//!
//! [`Trainer`] takes steps, evaluates, writes checkpoints and resumes; [`TrainingPlan`] says how, and a [`Task`] what a
//! micro-batch is worth: [`SftTask`], [`PreferenceTask`], [`UnpairedTask`];
//! [`RunDirectory`] is where it leaves metrics and checkpoints; [`checks`] looks at the first batch before anything is
//! trained. Nothing here prints: whoever runs it passes an [`Observer`].

mod checkpoint;
pub mod checks;
mod error;
mod group;
mod observer;
mod order;
mod plan;
mod preference;
mod reference;
mod reward;
mod reward_models;
mod run_directory;
mod schedule;
mod sft;
mod task;
mod tensorboard;
mod trainer;
mod unpaired;

pub use camelid_objectives::sft::Reduction;
pub use checkpoint::Progress;
pub use error::TrainError;
pub use group::{Baseline, GroupTask, Rollout, Rollouts};
pub use observer::{EvaluationReport, Metrics, Observer, Silent, StepReport};
pub use order::{Order, below, split, stream};
pub use plan::TrainingPlan;
pub use preference::PreferenceTask;
pub use reference::{Reference, ReferenceUpdate, Source as ReferenceSource};
pub use reward::{CorrectnessTask, RewardTask, correct, rewards};
pub use reward_models::RewardModels;
pub use run_directory::RunDirectory;
pub use schedule::{Schedule, Shape};
pub use sft::SftTask;
pub use task::{Example, Label, Purpose, Ranking, Task};
pub use tensorboard::EventFile;
pub use trainer::{Ended, Requests, Trainer, TrainingData, evaluate};
pub use unpaired::{UnpairedMethod, UnpairedTask};
