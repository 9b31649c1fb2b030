//! From a stage's files to tokens: read, refuse what is broken, render, encode, hold out.

use std::path::Path;

use anyhow::{Context, bail};
use camelid_records::{Dataset, Record, Reject, read};
use camelid_text::{Encoded, EncodedSet, Forest, Text, encode_all, pack};
use camelid_train::{Order, split};

use crate::models;
use crate::recipe::{DataSource, Plan, StagePlan};

/// A stage's data as tokens.
pub(crate) struct Prepared {
    pub(crate) text: Text,
    pub(crate) training: Vec<Encoded>,
    pub(crate) validation: Vec<Encoded>,
    /// `source:row` of each record, by its index.
    pub(crate) names: Vec<String>,
    pub(crate) rejects: Vec<Reject>,
    /// Rows read, refused ones included.
    pub(crate) rows: usize,
}

/// Reads and encodes a stage's records with the vocabulary of `text`, or of the plan's model.
pub(crate) fn prepare(
    plan: &Plan,
    stage: &StagePlan,
    text: Option<Text>,
    report: &mut dyn FnMut(&str),
) -> anyhow::Result<Prepared> {
    let mut rejects = Vec::new();
    let (records, read_rows) = read_sources(&stage.data, &mut rejects, report)?;
    let (held_out, held_out_rows) = read_sources(&stage.validation_data, &mut rejects, report)?;
    let rows = read_rows + held_out_rows;
    let text = match text {
        Some(text) => text,
        None => Text::new(models::open(&plan.model, report)?.text)?,
    };
    let mut names: Vec<String> = records.iter().map(|record| record.provenance().to_string()).collect();
    let mut training = encode(plan, stage, &text, &records, &mut rejects)?;
    let mut validation = encode(plan, stage, &text, &held_out, &mut rejects)?;
    for encoded in &mut validation {
        encoded.record += names.len() as u32;
    }
    names.extend(held_out.iter().map(|record| record.provenance().to_string()));
    check_rejects(stage, rows, &rejects)?;
    if stage.validation_data.is_empty() && stage.training.validation_share > 0.0 {
        let (kept, held_out) = split(plan.seed, training.len(), stage.training.validation_share);
        validation = held_out.into_iter().map(|index| training[index].clone()).collect();
        training = kept.into_iter().map(|index| training[index].clone()).collect();
    }
    if training.is_empty() {
        bail!(
            "no record is left to train on: {}\n  fix: see rejects.jsonl, or camelid inspect data",
            summary(&rejects)
        );
    }
    Ok(Prepared { text, training, validation, names, rejects, rows })
}

/// The records of all files, and the number of their rows.
fn read_sources(
    sources: &[DataSource],
    rejects: &mut Vec<Reject>,
    report: &mut dyn FnMut(&str),
) -> anyhow::Result<(Vec<Record>, usize)> {
    let (mut records, mut rows) = (Vec::new(), 0);
    for source in sources {
        let Dataset { format, records: read, rejects: refused } = read(&source.path, &source.read_options())?;
        report(&format!(
            "{}: {} records as {format}, {} rows refused",
            source.path.display(),
            read.len(),
            refused.len()
        ));
        rows += read.len() + refused.len();
        records.extend(read);
        rejects.extend(refused);
    }
    Ok((records, rows))
}

fn encode(
    plan: &Plan,
    stage: &StagePlan,
    text: &Text,
    records: &[Record],
    rejects: &mut Vec<Reject>,
) -> anyhow::Result<Vec<Encoded>> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    // Runs leave a cache beside them; only looking leaves nothing.
    let runs = plan.directory.parent().filter(|runs| !runs.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cache = runs.is_dir().then(|| runs.join(".tokens"));
    let EncodedSet { sequences, rejects: refused, .. } =
        encode_all(text, records, &stage.spans, stage.max_length, stage.overlong, cache.as_deref())?;
    rejects.extend(refused.into_iter().map(|(index, reason)| Reject {
        provenance: records[index].provenance().clone(),
        reason: reason.reason,
        fix: reason.fix,
        row: serde_json::to_string(&records[index]).unwrap_or_default().chars().take(500).collect(),
    }));
    Ok(sequences)
}

fn summary(rejects: &[Reject]) -> String {
    match rejects.first() {
        Some(first) => format!("{} rows refused, the first {}: {}", rejects.len(), first.provenance, first.reason),
        None => "the files hold none".into(),
    }
}

fn check_rejects(stage: &StagePlan, rows: usize, rejects: &[Reject]) -> anyhow::Result<()> {
    let share = rejects.len() as f64 / rows.max(1) as f64;
    if share <= stage.max_reject_share {
        return Ok(());
    }
    let first = rejects.first().map(|reject| format!("{}\n  fix: {}", summary(rejects), reject.fix));
    bail!(
        "{:.1} % of the rows cannot be trained on, max_reject_share allows {:.1} %: {}",
        share * 100.0,
        stage.max_reject_share * 100.0,
        first.unwrap_or_default()
    )
}

/// Writes the refused rows, all of them, where the run can be inspected.
pub(crate) fn write_rejects(directory: &Path, rejects: &[Reject]) -> anyhow::Result<()> {
    let path = directory.join("rejects.jsonl");
    let lines = rejects.iter().map(|reject| serde_json::to_string(reject).map(|line| line + "\n"));
    let text: String = lines.collect::<Result<_, _>>()?;
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// The first micro-batch of the first step.
pub(crate) fn first_batch(stage: &StagePlan, prepared: &Prepared) -> Forest {
    let records = first_records(stage, prepared);
    let lengths: Vec<usize> = records.iter().map(|record| record.tokens.len()).collect();
    let batch = pack(&lengths, stage.training.tokens_per_micro_batch).into_iter().next().unwrap_or_default();
    Forest::from_sequences(&batch.into_iter().map(|index| records[index]).collect::<Vec<_>>())
}

/// The records of the first step.
pub(crate) fn first_records<'a>(stage: &StagePlan, prepared: &'a Prepared) -> Vec<&'a Encoded> {
    let count = prepared.training.len();
    let mut order = Order::new(stage.training.seed, count);
    (0..stage.training.batch_size.min(count) as u64).map(|place| &prepared.training[order.record(place)]).collect()
}
