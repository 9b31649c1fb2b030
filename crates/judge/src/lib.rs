//! Language models as judges of other models' outputs.
//!
//! A [`strategy`] says how a judge is asked and reads its verdicts: pure functions, one file each. [`run`] takes cases through a strategy
//! with any generator, in both orders. [`figures`] are what the verdicts say of models, and how far the judge can be trusted with them;
//! [`certify`] asks whether the judge may be trusted at all: on LLMBar, against judges of nothing but length, and under attack.
//!
//! Verdicts that cannot be read and calls that fail are counted as what they are. They are neither dropped nor ties.

mod ask;
mod baseline;
mod case;
pub mod certify;
mod error;
pub mod figures;
mod identity;
mod judgements;
mod parse;
pub mod people;
mod run;
mod strategies;
mod strategy;

pub use ask::{Asker, LogProbs};
pub use baseline::Baseline;
pub use case::{Case, Order};
pub use error::{FileError, UnknownStrategy};
pub use identity::Identity;
pub use judgements::{JudgementFile, NamedJudgement, read_judgements, read_named};
pub use run::{GROUP, Judge, key};
pub use strategies::{Alone, FairEval};
pub use strategy::{Expected, Grader, MOST_ROUNDS, Question, Step, Strategy, all, by_name, fingerprint};
