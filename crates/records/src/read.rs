//! From files to a [`Dataset`].

use std::path::Path;

use serde_json::{Map, Value};

use crate::{
    Dataset, Format, PreferenceSet, PromptSet, Provenance, ReadOptions, RecordError, Reject,
    convert::{convert, convert_feedback, convert_prompts},
    dataset::describe,
    fault::Fault,
    layout::Layout,
    rows::{Row, Rows, open, open_bytes},
};

/// The format is decided from this many rows.
const SAMPLE_ROWS: usize = 256;

/// After this many refused rows the file is given up: it is not what it is taken for, and the refusals fill the memory.
const REJECT_LIMIT: usize = 100_000;

/// Reads one file: JSONL, JSON, CSV or Parquet, plain or compressed with gzip or zstd.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Dataset, RecordError> {
    collect(path, open(path)?, options)
}

/// As [`read`], for a file that is in memory. `path` names it in messages and, by its extension, tells CSV from JSON.
pub fn read_bytes(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, RecordError> {
    collect(path, open_bytes(path, bytes)?, options)
}

/// Reads several files into one dataset, in the order given. They must agree in their format.
pub fn read_files<P: AsRef<Path>>(paths: &[P], options: &ReadOptions) -> Result<Dataset, RecordError> {
    let mut whole: Option<Dataset> = None;
    for path in paths.iter().map(AsRef::as_ref) {
        let so_far = whole.as_ref().map_or(0, |dataset| dataset.records.len());
        let limit = options.limit.map(|limit| limit.saturating_sub(so_far));
        if limit == Some(0) && whole.is_some() {
            break;
        }
        let part = read(path, &ReadOptions { limit, ..options.clone() })?;
        match &mut whole {
            None => whole = Some(part),
            Some(whole) if whole.format == part.format => {
                whole.records.extend(part.records);
                whole.rejects.extend(part.rejects);
            }
            Some(whole) => {
                return Err(RecordError::Format {
                    path: path.to_owned(),
                    what: format!("this file is {}, the ones before it are {}", part.format, whole.format),
                    fix: "read files of different formats as separate sources, or set `format` for all".into(),
                });
            }
        }
    }
    whole.ok_or_else(|| RecordError::File {
        path: "data".into(),
        what: "no files are named".into(),
        fix: "name at least one data file".into(),
    })
}

/// As [`read`], for feedback: ranked or rated responses, labelled steps.
pub fn read_preferences(path: &Path, options: &ReadOptions) -> Result<PreferenceSet, RecordError> {
    collect_preferences(path, open(path)?, options)
}

/// As [`read_preferences`], for a file that is in memory.
pub fn read_preferences_bytes(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<PreferenceSet, RecordError> {
    collect_preferences(path, open_bytes(path, bytes)?, options)
}

/// As [`read`], for prompts: of files that hold nothing else, of demonstrations and of feedback, whose answers may be missing.
pub fn read_prompts(path: &Path, options: &ReadOptions) -> Result<PromptSet, RecordError> {
    collect_prompts(path, open(path)?, options)
}

/// As [`read_prompts`], for a file that is in memory.
pub fn read_prompts_bytes(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<PromptSet, RecordError> {
    collect_prompts(path, open_bytes(path, bytes)?, options)
}

fn collect(path: &Path, rows: Rows<'_>, options: &ReadOptions) -> Result<Dataset, RecordError> {
    let one = |layout: &Layout, row, provenance| convert(layout, row, provenance).map(|record| vec![record]);
    let Collected { format, records, rejects } = collect_with(path, rows, options, &Format::ALL, one)?;
    Ok(Dataset { format, records, rejects })
}

fn collect_preferences(path: &Path, rows: Rows<'_>, options: &ReadOptions) -> Result<PreferenceSet, RecordError> {
    let Collected { format, records, rejects } =
        collect_with(path, rows, options, &Format::PREFERENCES, convert_feedback)?;
    Ok(PreferenceSet { format, records, rejects })
}

fn collect_prompts(path: &Path, rows: Rows<'_>, options: &ReadOptions) -> Result<PromptSet, RecordError> {
    let Collected { format, records, rejects } = collect_with(path, rows, options, &Format::PROMPTS, convert_prompts)?;
    Ok(PromptSet { format, records, rejects })
}

struct Collected<T> {
    format: Format,
    records: Vec<T>,
    rejects: Vec<Reject>,
}

/// Finds the layout among `formats` and converts row by row.
fn collect_with<T>(
    path: &Path,
    mut rows: Rows<'_>,
    options: &ReadOptions,
    formats: &'static [Format],
    convert: impl Fn(&Layout, Map<String, Value>, Provenance) -> Result<Vec<T>, Fault>,
) -> Result<Collected<T>, RecordError> {
    let sample: Vec<Row> = rows.by_ref().take(SAMPLE_ROWS).collect::<Result<_, _>>()?;
    let layout = Layout::decide(path, &sample, options, formats)?;
    let limit = options.limit.unwrap_or(usize::MAX);
    let source = path.display().to_string();

    let mut dataset = Collected { format: layout.format, records: Vec::new(), rejects: Vec::new() };
    for row in sample.into_iter().map(Ok).chain(rows) {
        if dataset.records.len() >= limit {
            break;
        }
        let Row { number, fields, raw } = row?;
        let provenance = Provenance { source: source.clone(), row: number };
        match fields.and_then(|fields| convert(&layout, fields, provenance.clone())) {
            Ok(records) => dataset.records.extend(records),
            Err(Fault { reason, fix }) => dataset.rejects.push(Reject { provenance, reason, fix, row: raw }),
        }
        if dataset.rejects.len() >= REJECT_LIMIT {
            return Err(RecordError::File {
                path: path.to_owned(),
                what: format!(
                    "{REJECT_LIMIT} rows cannot be used, {} can:\n{}",
                    dataset.records.len(),
                    describe(dataset.format, dataset.records.len(), &dataset.rejects)
                ),
                fix: "check that this is the right file, and its `format` and `columns`".into(),
            });
        }
    }
    // A row may give several records.
    dataset.records.truncate(limit);
    Ok(dataset)
}
