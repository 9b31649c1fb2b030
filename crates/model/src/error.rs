use std::path::PathBuf;

/// Why a model could not be read, run or written. Each message names the place and the fix.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("{path}: {reason}\n  fix: {fix}", path = path.display())]
    File { path: PathBuf, reason: String, fix: String },
    #[error("{reason}\n  fix: {fix}")]
    Invalid { reason: String, fix: String },
}
