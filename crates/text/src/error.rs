//! What can go wrong between a record and its tokens.

use camelid_records::Provenance;

/// A vocabulary, template or cache that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}\n  fix: {fix}")]
pub struct TextError {
    /// The file, or the template's line.
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
///
/// Shown without the provenance, which whoever reports it puts in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}\n  fix: {fix}")]
pub struct Untrainable {
    /// File and row of the record.
    pub provenance: Provenance,
    pub reason: String,
    pub fix: String,
}

/// What is wrong with a record, before anybody says which record it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: String,
    pub(crate) fix: String,
}

impl Fault {
    pub(crate) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { reason: reason.into(), fix: fix.into() }
    }

    pub(crate) fn of(self, provenance: &Provenance) -> Untrainable {
        Untrainable { provenance: provenance.clone(), reason: self.reason, fix: self.fix }
    }
}

impl From<TextError> for Fault {
    fn from(error: TextError) -> Self {
        Self { reason: format!("{}: {}", error.place, error.reason), fix: error.fix }
    }
}
