//! A task's figures.

use serde::{Deserialize, Serialize};

use super::Axis;
use crate::extraction::rate::LOWEST_RATE;

/// One task under one model, as `results.json` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    pub task: String,
    pub version: u32,
    pub axis: Axis,
    pub metric: String,
    /// Items with a score: what `value` is the mean of.
    pub n: usize,
    pub value: Option<f64>,
    /// Of 95 %, with what items of one cluster have in common.
    pub interval: Option<[f64; 2]>,
    /// Items in whose reply an answer was found.
    pub parsed: usize,
    pub truncated: usize,
    pub empty: usize,
    /// Items without a reply. They are in no mean and in the bounds.
    pub errors: usize,
    /// Where the value would lie if all that was not parsed or not answered were wrong, and if all of it were right.
    pub bounds: Option<[f64; 2]>,
    /// Filled in by who measures the time.
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupResult>,
    /// Further figures of the same answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secondary: Vec<Secondary>,
}

/// One subject's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    pub group: String,
    pub n: usize,
    pub value: Option<f64>,
    pub interval: Option<[f64; 2]>,
}

/// Another figure of the same answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Secondary {
    pub metric: String,
    pub value: f64,
    pub interval: Option<[f64; 2]>,
}

impl TaskResult {
    /// The share of replies in which an answer was found.
    pub fn rate(&self) -> Option<f64> {
        (self.n > 0).then(|| self.parsed as f64 / self.n as f64)
    }

    /// Why the value may not be used, if so.
    pub fn objection(&self) -> Option<String> {
        let asked = self.n + self.errors;
        if self.n == 0 {
            return Some(format!("none of {asked} items has an answer"));
        }
        let share = self.parsed as f64 / asked as f64;
        (share < LOWEST_RATE).then(|| {
            let unparsed = self.n - self.parsed - self.truncated - self.empty;
            format!(
                "an answer was found for {:.1} % of {asked} items only ({} cut off, {} empty, {unparsed} without one, {} failed)",
                100.0 * share,
                self.truncated,
                self.empty,
                self.errors
            )
        })
    }
}
