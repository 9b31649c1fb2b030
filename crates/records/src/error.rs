//! Errors that stop the reading of a whole file. A single bad row is a [`Reject`](crate::Reject) instead.

use std::path::PathBuf;

/// Every case names the file and ends with the fix.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{}: cannot be read: {source}\n  fix: {fix}", path.display())]
    Io { path: PathBuf, source: std::io::Error, fix: String },
    #[error("{}: cannot be written: {source}\n  fix: {fix}", path.display())]
    Write { path: PathBuf, source: std::io::Error, fix: String },
    /// The file as a whole is not what its name or first bytes promise.
    #[error("{}: {what}\n  fix: {fix}", path.display())]
    File { path: PathBuf, what: String, fix: String },
    /// The columns fit no format, several formats, or not the one asked for.
    #[error("{}: {what}\n  fix: {fix}", path.display())]
    Format { path: PathBuf, what: String, fix: String },
    /// The column mapping and the file do not fit together.
    #[error("{}: {what}\n  fix: {fix}", path.display())]
    Column { path: PathBuf, what: String, fix: String },
}
