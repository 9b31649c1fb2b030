use std::path::{Path, PathBuf};

use camelid_model::ModelError;

/// Why a run ended early. Nothing already written is lost: the last checkpoint stands.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("{path}: {reason}\n  fix: {fix}", path = path.display())]
    File { path: PathBuf, reason: String, fix: String },
    #[error(
        "step {step}: the {quantity} is {value}\n  records: {records}\n  fix: lower learning_rate, or look at these records"
    )]
    Diverged { step: u64, quantity: &'static str, value: f64, records: String },
    #[error("first-step check \"{name}\" failed: {detail}\n  fix: {fix}")]
    Check { name: &'static str, detail: String, fix: String },
    #[error("{reason}\n  fix: {fix}")]
    Data { reason: String, fix: String },
}

impl TrainError {
    pub(crate) fn file(path: &Path, reason: impl std::fmt::Display, fix: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.to_string(), fix: fix.into() }
    }

    /// A failed write: most often no room or no permission.
    pub(crate) fn write(path: &Path, error: &std::io::Error) -> Self {
        let fix = match error.kind() {
            std::io::ErrorKind::StorageFull => {
                "make room on the disk and run the recipe again; it goes on from the last checkpoint"
            }
            std::io::ErrorKind::PermissionDenied => "make the run directory writable, or set run_directory",
            std::io::ErrorKind::NotADirectory => "set run_directory to a path without a file in it",
            _ => "see that the disk is there and has room, then run the recipe again",
        };
        Self::file(path, error, fix)
    }
}
