//! Training: one loop that owns time, and what a run leaves behind.
//!
//! [`Trainer`] takes steps, evaluates, writes checkpoints and resumes; [`SftPlan`] says what it does;
//! [`RunDirectory`] is where it leaves metrics and checkpoints; [`checks`] looks at the first batch before anything is
//! trained. Nothing here prints: whoever runs it passes an [`Observer`].

mod checkpoint;
pub mod checks;
mod error;
mod observer;
mod order;
mod plan;
mod run_directory;
mod schedule;
mod tensorboard;
mod trainer;

pub use camelid_objectives::sft::Reduction;
pub use checkpoint::Progress;
pub use error::TrainError;
pub use observer::{EvaluationReport, Observer, Silent, StepReport};
pub use order::{Order, split, stream};
pub use plan::SftPlan;
pub use run_directory::RunDirectory;
pub use schedule::{Schedule, Shape};
pub use tensorboard::EventFile;
pub use trainer::{Ended, Requests, Trainer, TrainingData, evaluate};
