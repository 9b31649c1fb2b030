//! What a reader is asked for and what it returns.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};

use crate::{Format, PreferenceSet, PromptSet, Provenance, Record};

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

impl Dataset {
    /// A few lines for people: the format, how many rows, and the refused ones by reason, most frequent first.
    pub fn describe(&self) -> String {
        describe(self.format, self.records.len(), &self.rejects)
    }
}

impl PreferenceSet {
    /// As [`Dataset::describe`].
    pub fn describe(&self) -> String {
        describe(self.format, self.records.len(), &self.rejects)
    }
}

impl PromptSet {
    /// As [`Dataset::describe`]; prompts that are there more than once are counted.
    pub fn describe(&self) -> String {
        let text = describe(self.format, self.records.len(), &self.rejects);
        match self.repeated() {
            0 => text,
            count => text.replacen(" records", &format!(" records ({count} repeat the prompt of an earlier one)"), 1),
        }
    }
}

pub(crate) fn describe(format: Format, records: usize, rejects: &[Reject]) -> String {
    let mut text = format!("format {format}, {records} records");
    if rejects.is_empty() {
        return text;
    }
    let mut reasons: BTreeMap<String, (usize, &Reject)> = BTreeMap::new();
    for reject in rejects {
        reasons.entry(general(&reject.reason)).or_insert((0, reject)).0 += 1;
    }
    let mut reasons: Vec<_> = reasons.into_values().collect();
    reasons.sort_by_key(|&(count, first)| (std::cmp::Reverse(count), &first.provenance));
    let _ = write!(text, ", {} rows refused", rejects.len());
    for (count, first) in reasons.iter().take(REASONS_SHOWN) {
        let _ = write!(text, "\n  {count:>6}  {}  (first: {})", first.reason, first.provenance);
    }
    if reasons.len() > REASONS_SHOWN {
        let _ = write!(text, "\n          and {} other reasons", reasons.len() - REASONS_SHOWN);
    }
    text
}

const REASONS_SHOWN: usize = 8;

/// A reason without its particulars (numbers and quoted words), so that equal mistakes count together.
fn general(reason: &str) -> String {
    let mut general = String::with_capacity(reason.len());
    for (index, part) in reason.split('"').enumerate() {
        if index % 2 == 1 {
            general.push('"');
            continue;
        }
        for character in part.chars() {
            match character {
                '0'..='9' if general.ends_with('#') => {}
                '0'..='9' => general.push('#'),
                other => general.push(other),
            }
        }
    }
    general
}
