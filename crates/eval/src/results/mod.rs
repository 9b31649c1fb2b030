//! What an evaluation leaves: figures by task, and every item with its answer and score.
//!
//! A directory holds `results.json` ([`Evaluation`]) and `items/TASK.jsonl`, one [`Item`] a line. Both are text here: who opens the
//! files is not this crate's business. Errors name the file as the caller calls it, the line and the field.

mod error;
mod evaluation;
mod item;

pub use error::ResultsError;
pub use evaluation::{Evaluation, Group, Model, Secondary, TaskResult};
pub use item::{Extraction, Item, Status, parse_items};
