//! What can go wrong between a record and its tokens.

/// A vocabulary, template or cache that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}\n  fix: {fix}")]
pub struct TextError {
    pub place: String,
    pub reason: String,
    pub fix: String,
}

impl TextError {
    pub(crate) fn new(place: impl Into<String>, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into(), fix: fix.into() }
    }
}

/// Why one record cannot be trained on. The run goes on without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}\n  fix: {fix}")]
pub struct Untrainable {
    pub reason: String,
    pub fix: String,
}

impl Untrainable {
    pub(crate) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { reason: reason.into(), fix: fix.into() }
    }
}
