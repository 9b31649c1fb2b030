//! What a reader is asked for and what it returns.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Format, Provenance, Record};

/// How to read a data file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReadOptions {
    /// `None`: decided from the columns of the first rows.
    pub format: Option<Format>,
    /// Our field name -> the column of the file that holds it.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Stop after this many good records.
    pub limit: Option<usize>,
}

/// The records of one or several files, and the rows that were refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    pub format: Format,
    /// In the order of the file.
    pub records: Vec<Record>,
    /// In the order of the file.
    pub rejects: Vec<Reject>,
}

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    pub provenance: Provenance,
    /// What is wrong, with the path of the field.
    pub reason: String,
    /// What to change.
    pub fix: String,
    /// The row as it stands in the file, shortened.
    pub row: String,
}
