//! `camelid score`: the log-probability of each token, or a reward model's score of each record, as JSON lines.

use std::io::Write;

use anyhow::Context;
use camelid_model::{Engine, Transformer, TransformerOptions, Tuning, Values, Want};
use camelid_records::{Dataset, ReadOptions, read};
use camelid_text::{Encoded, Forest, Learn, Overlong, SpanPolicy, Text, encode_all, pack};
use serde::Serialize;

use crate::cli::ScoreArgs;
use crate::{machine, models};

/// Tokens computed at once.
const TOKENS_AT_ONCE: usize = 2048;

/// One line of output.
#[derive(Serialize)]
struct Scored {
    source: String,
    row: u64,
    tokens: Vec<u32>,
    /// Natural-log probability of each token given those before it; null where none was asked for.
    log_probs: Vec<Option<f32>>,
    /// Sum over the scored tokens.
    log_prob: f64,
    scored: usize,
}

/// One line of a reward model's output.
#[derive(Serialize)]
struct Rewarded {
    source: String,
    row: u64,
    tokens: usize,
    /// Read at the last token.
    reward: f32,
}

pub(crate) fn run(args: &ScoreArgs) -> anyhow::Result<()> {
    let dataset = read(&args.file, &ReadOptions { limit: args.limit, ..ReadOptions::default() })?;
    for reject in &dataset.rejects {
        eprintln!("skipped {}: {}\n  fix: {}", reject.provenance, reject.reason, reject.fix);
    }
    let model = models::open(&args.model, &mut |line| eprintln!("{line}"))?;
    let text = Text::new(model.text.clone())?;
    let learn = if args.all_tokens { Learn::Everything } else { Learn::Assistant };
    let spans = SpanPolicy { learn, train_on_prompt: args.all_tokens };
    let encoded = encode_all(&text, &dataset.records, &spans, args.max_length, Overlong::Truncate, None)?;
    for (record, reason) in &encoded.rejects {
        eprintln!("skipped {}: {reason}", dataset.records[*record].provenance());
    }
    let backend = machine::open(args.machine.compute, args.machine.threads);
    let options = TransformerOptions {
        value_head: model.has_value_head(),
        weights: args.weights.weights.into(),
        ..TransformerOptions::default()
    };
    let mut engine = Transformer::new(backend, model, Tuning::Frozen, 0, options)?;
    if options.value_head {
        return print_rewards(&mut engine, &dataset, &encoded.sequences);
    }
    let lengths: Vec<usize> = encoded.sequences.iter().map(|s| s.tokens.len()).collect();
    let mut lines: Vec<Option<Scored>> = lengths.iter().map(|_| None).collect();
    for batch in pack(&lengths, TOKENS_AT_ONCE) {
        let sequences: Vec<&Encoded> = batch.iter().map(|&i| &encoded.sequences[i]).collect();
        let forest = Forest::dense(&sequences);
        let scores = engine.forward(&forest, Want::default())?;
        let mut values = scores.log_probs.iter();
        let mut by_branch: Vec<Vec<f32>> = sequences.iter().map(|_| Vec::new()).collect();
        for target in &forest.targets {
            by_branch[target.branch as usize].extend(values.next());
        }
        for ((&index, sequence), log_probs) in batch.iter().zip(&sequences).zip(by_branch) {
            let provenance = dataset.records[sequence.record as usize].provenance();
            lines[index] = Some(scored(provenance, sequence, &log_probs));
        }
    }
    let mut out = std::io::stdout().lock();
    for line in lines.into_iter().flatten() {
        serde_json::to_writer(&mut out, &line)?;
        writeln!(out).context("the output cannot be written")?;
    }
    Ok(())
}

fn print_rewards(engine: &mut dyn Engine, dataset: &Dataset, sequences: &[Encoded]) -> anyhow::Result<()> {
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.tokens.len()).collect();
    let mut rewards = vec![0.0; sequences.len()];
    for batch in pack(&lengths, TOKENS_AT_ONCE) {
        let part: Vec<&Encoded> = batch.iter().map(|&index| &sequences[index]).collect();
        let forest = Forest::from_sequences(&part).without_targets();
        let values = engine.forward(&forest, Want { values: Values::Ends, ..Want::default() })?.values;
        for (index, value) in batch.into_iter().zip(values) {
            rewards[index] = value;
        }
    }
    let mut out = std::io::stdout().lock();
    for (sequence, reward) in sequences.iter().zip(rewards) {
        let provenance = dataset.records[sequence.record as usize].provenance();
        let (source, row) = (provenance.source.clone(), provenance.row);
        serde_json::to_writer(&mut out, &Rewarded { source, row, tokens: sequence.tokens.len(), reward })?;
        writeln!(out).context("the output cannot be written")?;
    }
    Ok(())
}

fn scored(provenance: &camelid_records::Provenance, sequence: &Encoded, log_probs: &[f32]) -> Scored {
    let mut values = log_probs.iter().copied();
    let aligned = sequence.weights.iter().map(|&weight| if weight == 0.0 { None } else { values.next() }).collect();
    Scored {
        source: provenance.source.clone(),
        row: provenance.row,
        tokens: sequence.tokens.clone(),
        log_probs: aligned,
        log_prob: log_probs.iter().map(|&p| f64::from(p)).sum(),
        scored: log_probs.len(),
    }
}
