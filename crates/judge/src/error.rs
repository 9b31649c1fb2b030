//! What can be wrong with a judge's settings and files.

use std::path::PathBuf;

/// There is no such strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no strategy of judging\n  fix: use one of {known}")]
pub struct UnknownStrategy {
    pub name: String,
    pub known: String,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {reason}\n  fix: {fix}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct FileError {
    pub path: PathBuf,
    /// Counted from 1.
    pub line: Option<usize>,
    pub reason: String,
    pub fix: String,
}

impl FileError {
    pub(crate) fn new(path: impl Into<PathBuf>, line: Option<usize>, reason: impl Into<String>, fix: &str) -> Self {
        Self { path: path.into(), line, reason: reason.into(), fix: fix.to_owned() }
    }
}
