//! What is wrong with a task or its data.

/// A definition that cannot be used, or data that it does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {what}\n  fix: {fix}")]
pub struct TaskError {
    /// The file, or the task and the item.
    pub origin: String,
    pub what: String,
    pub fix: String,
}
