//! Two evaluations of the same items: what differs, and what was kept.
//!
//! [`join`] finds the items that both have, [`Difference`] says how far their scores differ with an interval and a test,
//! [`gate`] whether an ability's loss is below a margin, and [`simulate`] how often gates of a given size say what is true.

mod difference;
pub mod gate;
mod join;
pub mod simulate;

pub use difference::{CONFIDENCE, Difference, PairedScores, Test};
pub use join::{Joined, Pair, join};
