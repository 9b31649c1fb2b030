//! What judgements say of models, and what they say of the judge.

mod compare;
mod position;
mod rank;
mod rate;
mod replies;

pub use compare::{CONFIDENCE, Comparison, LengthControl, compare};
pub use position::Positions;
pub use rank::{Match, Placing, Ranking, rank};
pub use rate::{Rates, rate};
pub use replies::Replies;

/// Draws of a bootstrap.
pub const RESAMPLES: usize = 1000;
