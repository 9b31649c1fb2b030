//! `camelid score`: the log-probability of each token, or a reward model's score of each record, as JSON lines.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use camelid_model::{Engine, Transformer, TransformerOptions, Tuning, Want};
use camelid_objectives::reward::ensemble::Combine;
use camelid_records::{Dataset, ReadOptions, read};
use camelid_text::{Encoded, EncodedSet, Forest, Learn, Overlong, SpanPolicy, Text, encode_all, pack};
use camelid_train::Example;
use serde::Serialize;

use crate::cli::{CombineChoice, ScoreArgs};
use crate::machine;
use crate::reward_models::{self, REPORT, Verdict, is_ensemble};

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

/// One line of the output of reward models.
#[derive(Serialize)]
struct Rewarded {
    source: String,
    row: u64,
    tokens: usize,
    /// Read at the last token; of several models, what they give together.
    reward: f64,
    /// What each of several gives, brought to the scale on which they are combined.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<f64>,
}

pub(crate) fn run(args: &ScoreArgs) -> anyhow::Result<()> {
    let Some((file, models)) = args.models_and_file.split_last().filter(|(_, models)| !models.is_empty()) else {
        bail!("there is a model or a file, not both\n  fix: name a model, or several reward models, and then a file");
    };
    let dataset = read(Path::new(file), &ReadOptions { limit: args.limit, ..ReadOptions::default() })?;
    for reject in &dataset.rejects {
        eprintln!("skipped {}: {}\n  fix: {}", reject.provenance, reject.reason, reject.fix);
    }
    let several = models.len() > 1 || models.iter().any(|model| is_ensemble(model));
    let combine = combination(args, several)?;
    if several {
        return print_rewards(args, models, combine, &dataset);
    }
    let model = crate::models::open(&models[0], &mut |line| eprintln!("{line}"))?;
    if model.has_value_head() {
        return print_rewards(args, models, combine, &dataset);
    }
    let text = Text::new(model.text.clone())?;
    let encoded = encode(args, &text, &dataset)?;
    let backend = machine::open(args.machine.compute, args.machine.threads);
    let options = TransformerOptions { weights: args.weights.weights.into(), ..TransformerOptions::default() };
    let mut engine = Transformer::new(backend, model, Tuning::Frozen, 0, options)?;
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

/// What `--combine` and `--penalty` say; both need something to combine.
fn combination(args: &ScoreArgs, several: bool) -> anyhow::Result<Combine> {
    let set = [("--combine", args.combine.is_some()), ("--penalty", args.penalty.is_some())];
    if let Some((flag, _)) = set.into_iter().find(|(_, is_set)| *is_set && !several) {
        bail!("{flag} is set but there is one model\n  fix: remove it, or name several reward models");
    }
    match (args.combine, args.penalty) {
        (Some(CombineChoice::LowerBound), penalty) => {
            let penalty = penalty.unwrap_or(0.5);
            if !(penalty >= 0.0 && penalty.is_finite()) {
                bail!("--penalty is {penalty}\n  fix: use a number from 0 up");
            }
            Ok(Combine::LowerBound(penalty))
        }
        (_, Some(_)) => bail!("--penalty belongs to the lower bound\n  fix: add --combine lower-bound, or remove it"),
        (Some(CombineChoice::Minimum), None) => Ok(Combine::Minimum),
        (Some(CombineChoice::Mean) | None, None) => Ok(Combine::Mean),
    }
}

fn encode(args: &ScoreArgs, text: &Text, dataset: &Dataset) -> anyhow::Result<EncodedSet> {
    let learn = if args.all_tokens { Learn::Everything } else { Learn::Assistant };
    let spans = SpanPolicy { learn, train_on_prompt: args.all_tokens };
    let encoded = encode_all(text, &dataset.records, &spans, args.max_length, Overlong::Truncate, None)?;
    for (record, reason) in &encoded.rejects {
        eprintln!("skipped {}: {reason}", dataset.records[*record].provenance());
    }
    Ok(encoded)
}

fn print_rewards(args: &ScoreArgs, models: &[String], combine: Combine, dataset: &Dataset) -> anyhow::Result<()> {
    let backend = || machine::open(args.machine.compute, args.machine.threads);
    let mut opened = reward_models::open(models, combine, &backend, &mut |line| eprintln!("{line}"))?;
    match &opened.verdict {
        Verdict::Certified => {}
        Verdict::Objections(objections) => eprintln!("not certified: {}", objections.join("; ")),
        Verdict::Unknown => eprintln!("not certified: there is no {REPORT}"),
    }
    let encoded = encode(args, &opened.text, dataset)?;
    let examples: Vec<Example> = encoded.sequences.into_iter().map(Example::from).collect();
    let examples: Vec<&Example> = examples.iter().collect();
    let by_member = opened.models.rewards_of_members(&examples, TOKENS_AT_ONCE)?;
    let combined = opened.models.combined(&by_member);
    let mut out = std::io::stdout().lock();
    for (index, (example, rewards)) in examples.iter().zip(combined).enumerate() {
        let provenance = dataset.records[example.record() as usize].provenance();
        let members: Vec<f64> = by_member.iter().flat_map(|member| member[index].iter().copied()).collect();
        let line = Rewarded {
            source: provenance.source.clone(),
            row: provenance.row,
            tokens: example.tokens(),
            reward: rewards.iter().sum(),
            members: if members.len() > 1 { members } else { Vec::new() },
        };
        serde_json::to_writer(&mut out, &line)?;
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
