use std::path::{Path, PathBuf};

use anyhow::Context;
use camelid_eval::overlap::contamination::TaskContamination;
use serde::{Deserialize, Serialize};

/// Written into an evaluation's directory, where comparisons, gates and pages find it.
pub(crate) const FILE: &str = "contamination.json";

/// What was looked for, in which data, and what was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contamination {
    pub(crate) sources: Vec<Source>,
    pub(crate) tasks: Vec<TaskContamination>,
}

/// A file of tuning data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) rows: u64,
    /// Rows that could not be read, in which leaks would not have been seen.
    pub(crate) unread: u64,
}

impl Contamination {
    /// Reads the file if it is there.
    pub(crate) fn beside(path: &Path) -> anyhow::Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let read = serde_json::from_str(&text).with_context(|| {
            format!("{} is damaged\n  fix: run camelid contamination again, or remove the file", path.display())
        })?;
        Ok(Some(read))
    }

    pub(crate) fn task(&self, task: &str) -> Option<&TaskContamination> {
        self.tasks.iter().find(|found| found.task == task)
    }
}
