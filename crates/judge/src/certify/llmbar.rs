//! LLMBar as its authors publish it, and the verdicts that they recorded.
//!
//! A folder holds `Natural/dataset.json` and `Adversarial/{Neighbor,GPTInst,GPTOut,Manual}/dataset.json`, each a list of `input`,
//! `output_1`, `output_2`, `label` (1 or 2). Verdicts lie beside them, as the authors keep them (`evaluators/JUDGE/METHOD/result.json`, a
//! list) or packed (`recorded/JUDGE.jsonl.gz`, a line each with `method` and `i`); the last element of `results` has the verdicts of both
//! orders, and names outputs in the order of the data.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use camelid_eval::judging::Output;
use camelid_records::{Assessment, Verdict};
use serde_json::Value as Json;

use super::checks::Labelled;
use crate::case::Case;
use crate::error::FileError;

/// An item with its right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub set: String,
    pub case: Case,
    pub label: Output,
}

/// The sets, Natural first.
pub const SETS: [&str; 5] =
    ["Natural", "Adversarial/Neighbor", "Adversarial/GPTInst", "Adversarial/GPTOut", "Adversarial/Manual"];

const FETCH: &str = "name the folder Dataset/LLMBar of github.com/princeton-nlp/LLMBar";

/// The folder that has the sets: the one named, or one below it.
fn root(folder: &Path) -> Result<PathBuf, FileError> {
    let places = [folder.to_owned(), folder.join("LLMBar"), folder.join("Dataset/LLMBar")];
    let found = places.into_iter().find(|place| place.join("Natural/dataset.json").is_file());
    found.ok_or_else(|| FileError::new(folder, None, "there is no Natural/dataset.json", FETCH))
}

/// All items, set by set.
pub fn read(folder: &Path) -> Result<Vec<Item>, FileError> {
    let root = root(folder)?;
    let mut items = Vec::new();
    for set in SETS {
        let path = root.join(set).join("dataset.json");
        let name = set.trim_start_matches("Adversarial/");
        for (place, row) in list(&path)?.iter().enumerate() {
            let wrong = |field: &str| {
                FileError::new(&path, None, format!("item {}: `{field}` is missing or no such value", place + 1), FETCH)
            };
            let text = |field: &str| row[field].as_str().map(str::to_owned).ok_or_else(|| wrong(field));
            let label = match row["label"].as_u64() {
                Some(1) => Output::First,
                Some(2) => Output::Second,
                _ => return Err(wrong("label")),
            };
            let case =
                Case::single(format!("llmbar/{name}/{place}"), text("input")?, [text("output_1")?, text("output_2")?]);
            items.push(Item { set: name.to_owned(), case, label });
        }
    }
    Ok(items)
}

impl Item {
    pub fn is_natural(&self) -> bool {
        self.set == "Natural"
    }

    /// The right output.
    pub fn better(&self) -> String {
        self.case.output(self.label)
    }

    pub fn judged(&self, assessment: Assessment) -> Labelled {
        Labelled { set: self.set.clone(), label: self.label, lengths: self.case.lengths(), assessment }
    }
}

fn list(path: &Path) -> Result<Vec<Json>, FileError> {
    let text = std::fs::read_to_string(path).map_err(|error| FileError::new(path, None, error.to_string(), FETCH))?;
    serde_json::from_str(&text).map_err(|error| FileError::new(path, None, format!("no list ({error})"), FETCH))
}

/// The recorded verdicts of a judge under one of the authors' methods, in the order of [`read`]. Errors: no such recording, or one that has
/// another number of items.
pub fn recorded(folder: &Path, judge: &str, method: &str, items: &[Item]) -> Result<Vec<Assessment>, FileError> {
    let root = root(folder)?;
    let mut all = Vec::new();
    for set in SETS {
        let name = set.trim_start_matches("Adversarial/");
        let expected = items.iter().filter(|item| item.set == name).count();
        let published = root.join(set).join("evaluators").join(judge).join(method).join("result.json");
        let packed = root.join(set).join("recorded").join(format!("{judge}.jsonl.gz"));
        let (path, rows) = if published.is_file() {
            let rows = list(&published)?;
            (published, rows)
        } else {
            let rows = packed_rows(&packed, method)?;
            (packed, rows)
        };
        if rows.len() != expected {
            let reason = format!("{} verdicts of {method} for {expected} items", rows.len());
            return Err(FileError::new(
                path,
                None,
                reason,
                "name a judge and a method that were recorded on all items",
            ));
        }
        all.extend(rows.iter().map(verdicts));
    }
    Ok(all)
}

/// The rows of one method, by their place.
fn packed_rows(path: &Path, method: &str) -> Result<Vec<Json>, FileError> {
    let wrong = |line: Option<usize>, reason: String| {
        FileError::new(path, line, reason, "name a judge that was recorded, such as GPT-4")
    };
    let file = std::fs::File::open(path).map_err(|error| wrong(None, error.to_string()))?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).map_err(|error| wrong(None, error.to_string()))?;
    let mut rows = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let row: Json = serde_json::from_str(line).map_err(|error| wrong(Some(index + 1), error.to_string()))?;
        if row["method"] == method {
            let place = row["i"].as_u64().ok_or_else(|| wrong(Some(index + 1), "`i` is no number".into()))?;
            rows.insert(place, row);
        }
    }
    Ok(rows.into_values().collect())
}

/// The last verdicts of a recorded row. A grade of both outputs that ties is written there as a verdict against the output read first, so
/// that a tie is half right and never agrees, as the authors count it.
fn verdicts(row: &Json) -> Assessment {
    let last = row["results"].as_array().and_then(|results| results.last()).unwrap_or(&Json::Null);
    let of = |order: &str| match last[order]["winner"].as_str() {
        Some("1") => Verdict::First,
        Some("2") => Verdict::Second,
        _ => Verdict::Unparsed,
    };
    Assessment::of(of("swap = False").into(), of("swap = True").into())
}
