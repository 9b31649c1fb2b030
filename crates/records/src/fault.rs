//! Why one row is refused; the pipeline adds the row's place and text to make a [`Reject`](crate::Reject).

use std::fmt::Write;

/// What is wrong with a row, and what its author should change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: String,
    pub(crate) fix: String,
}

impl Fault {
    pub(crate) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { reason: reason.into(), fix: fix.into() }
    }

    /// The same, with the path of the field in front: `messages[2].role: ...`.
    pub(crate) fn at(path: &str, reason: impl std::fmt::Display, fix: impl Into<String>) -> Self {
        Self::new(format!("{path}: {reason}"), fix)
    }
}

/// At most this many bytes of a refused row are kept.
const KEPT_BYTES: usize = 400;

/// The beginning of a row for [`Reject::row`](crate::Reject::row), cut at a character boundary.
pub(crate) fn shorten(raw: &[u8], full_length: u64) -> String {
    let kept = &raw[..raw.len().min(KEPT_BYTES)];
    // A character cut in half by the limit is dropped, so that it does not show up as a broken one.
    let kept = match std::str::from_utf8(kept) {
        Err(error) if error.error_len().is_none() && kept.len() < raw.len() => &kept[..error.valid_up_to()],
        _ => kept,
    };
    let mut text = String::from_utf8_lossy(kept).into_owned();
    if full_length > kept.len() as u64 {
        let _ = write!(text, " … ({} more bytes)", full_length - kept.len() as u64);
    }
    text
}
