//! Self-checks on the first real batch: what would otherwise be silently wrong for a whole run.

mod round;

use std::time::Instant;

use camelid_model::{Cotangents, Engine, StateTensor, Want};
use camelid_text::{Encoded, Forest, Text};

use crate::TrainError;
use crate::task::{Example, Purpose, Round, Task, forest, targets_of_branches};

pub use round::{Normalised, first_round};

/// A check that passed; one that fails is an error.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckReport {
    pub name: &'static str,
    pub detail: String,
    pub seconds: f64,
}

/// How far two ways of computing the same thing may differ, by precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Largest difference of a log-probability, in nats.
    pub log_prob: f32,
    /// Norm of the gradients' difference as a share of the gradient's norm.
    pub gradient: f64,
}

impl Tolerance {
    pub const F32: Self = Self { log_prob: 1e-3, gradient: 1e-3 };
    /// bf16 keeps 8 bits: a few parts in a hundred after thirty layers.
    pub const BF16: Self = Self { log_prob: 0.25, gradient: 0.1 };
}

/// Records up to about this many tokens are checked; the cost is that of a small step.
const TOKENS: usize = 160;

/// Runs all checks on the first records of a run. Gradients are zero afterwards and nothing else has changed.
pub fn first_step(
    engine: &mut dyn Engine,
    text: &Text,
    records: &[&Encoded],
    tolerance: Tolerance,
) -> Result<Vec<CheckReport>, TrainError> {
    let mut budget = TOKENS;
    let sample: Vec<&Encoded> = records
        .iter()
        .copied()
        .take_while(|record| {
            let fits = record.tokens.len() <= budget;
            budget = budget.saturating_sub(record.tokens.len());
            fits
        })
        .collect();
    // One long record is cut rather than skipped.
    let cut = records.first().map(|record| Encoded {
        tokens: record.tokens.iter().copied().take(TOKENS).collect(),
        weights: record.weights.iter().copied().take(TOKENS).collect(),
        record: record.record,
    });
    let sample = if sample.is_empty() { cut.iter().collect() } else { sample };
    let reports = vec![
        timed(|| spans(text, records))?,
        timed(|| forest_equals_dense(engine, &sample, tolerance))?,
        timed(|| decoding_equals_scoring(engine, &sample, tolerance))?,
    ];
    engine.zero_gradients();
    Ok(reports)
}

fn timed(check: impl FnOnce() -> Result<(&'static str, String), TrainError>) -> Result<CheckReport, TrainError> {
    let start = Instant::now();
    let (name, detail) = check()?;
    Ok(CheckReport { name, detail, seconds: start.elapsed().as_secs_f64() })
}

/// Before the first step of a preference stage, policy and reference are the same: every log-probability bit for bit,
/// every implied reward 0, and the loss what it must then be, where that is known. `reference` is the forward pass that the
/// reference comes from.
pub fn policy_is_reference(
    engine: &mut dyn Engine,
    task: &mut dyn Task,
    examples: &[&Example],
    reference: Want,
    loss_at_start: Option<f64>,
) -> Result<CheckReport, TrainError> {
    timed(|| {
        let mut rows = 0;
        let sample: Vec<&Example> = examples
            .iter()
            .copied()
            .take_while(|example| {
                let first = rows == 0;
                rows += example.rows();
                first || rows <= TOKENS
            })
            .collect();
        let forest = forest(&sample);
        let policy = engine.forward(&forest, Want::default())?.log_probs;
        let reference = engine.forward(&forest, reference)?.log_probs;
        finite(REFERENCE, &policy)?;
        task.begin(engine, &sample, TOKENS, Purpose::Evaluation)?;
        let outcome = task.score(engine, &sample, &forest, Want::default())?;
        let loss = outcome.loss.mean().unwrap_or(f64::NAN);
        let reward = |name| outcome.metrics.iter().find(|metric| metric.name == name).and_then(|m| m.value.mean());
        let (chosen, rejected) = (reward("rewards/chosen").unwrap_or(0.0), reward("rewards/rejected").unwrap_or(0.0));
        let different = policy.iter().zip(&reference).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        let detail = format!(
            "{different} of {} log-probabilities differ; rewards {chosen:.1e} and {rejected:.1e}; loss {loss:.4}",
            policy.len()
        );
        let expected = loss_at_start.is_none_or(|expected| (loss - expected).abs() < 1e-9);
        if different == 0 && chosen.abs() < 1e-9 && rejected.abs() < 1e-9 && expected {
            return Ok((REFERENCE, detail));
        }
        let fix = "the reference is not the model this stage starts from: run it again with --restart";
        Err(TrainError::Check { name: REFERENCE, detail, fix: fix.into() })
    })
}

/// Before the first step of a stage whose policy answers prompts, the log-probabilities that came with the answers are those
/// that training computes, bit for bit: every ratio is 1.
pub fn generator_is_trainer(
    engine: &mut dyn Engine,
    task: &mut dyn Task,
    examples: &[&Example],
) -> Result<CheckReport, TrainError> {
    timed(|| {
        let sample: Vec<&Example> = examples.iter().copied().take(2).collect();
        let round = Round { examples: &sample, step: 0, purpose: Purpose::Training, token_budget: TOKENS };
        let report = "this is a defect of the trainer: please report it";
        let Some(rollouts) = task.rollouts() else {
            let detail = "the stage draws no answers".to_owned();
            return Err(TrainError::Check { name: GENERATOR, detail, fix: report.into() });
        };
        let (mut tokens, mut different) = (0, 0);
        // All that was drawn, whatever the method would choose of it.
        for group in rollouts.sample(engine, &round)?.groups {
            let forest = Forest::from_sequences(&group.iter().map(|answer| &answer.sequence).collect::<Vec<_>>());
            let log_probs = engine.forward(&forest, Want::default())?.log_probs;
            finite(GENERATOR, &log_probs)?;
            for (targets, answer) in targets_of_branches(&forest).iter().zip(&group) {
                tokens += answer.log_probs.len();
                let pairs = targets.iter().zip(&answer.log_probs);
                different += pairs.filter(|(target, old)| log_probs[**target].to_bits() != old.to_bits()).count();
            }
        }
        let detail = format!("{different} of {tokens} log-probabilities of samples differ from the trainer's");
        if different == 0 {
            return Ok((GENERATOR, detail));
        }
        let fix = "this is a defect of the engine: please report it".to_owned();
        Err(TrainError::Check { name: GENERATOR, detail, fix })
    })
}

const GENERATOR: &str = "generator equals trainer";
const REFERENCE: &str = "policy is reference";
const SPANS: &str = "trained spans";
const FOREST: &str = "forest equals dense";
const DECODING: &str = "decoding equals scoring";

/// Each record trains something, what it trains ends with a stop token, and BOS stands once at the start.
fn spans(text: &Text, records: &[&Encoded]) -> Result<(&'static str, String), TrainError> {
    let failed = |record: &Encoded, detail: String, fix: &str| TrainError::Check {
        name: SPANS,
        detail: format!("record {}: {detail}", record.record + 1),
        fix: fix.to_owned(),
    };
    let mut trained = 0;
    let mut ended = 0;
    for record in records {
        let learned = record.trained();
        trained += learned;
        if learned == 0 || record.weights[0] != 0.0 {
            return Err(failed(record, "trains no token, or its first".into(), "report this record"));
        }
        let spans = record.learned_spans();
        ended += spans.iter().filter(|span| text.stop_tokens().contains(&record.tokens[span.end - 1])).count();
        let doubled = record.tokens.len() > 1 && record.tokens[0] == record.tokens[1];
        if doubled && Some(record.tokens[0]) == text.bos() {
            return Err(failed(record, "starts with two BOS tokens".into(), "remove one from the chat template"));
        }
    }
    if ended == 0 && !records.is_empty() {
        let fix = "use a chat template that ends answers with one of the model's stop tokens";
        return Err(failed(records[0], "no trained span ends with a stop token".into(), fix));
    }
    Ok((SPANS, format!("{trained} trained tokens in {} records, {ended} stop tokens among them", records.len())))
}

/// Prefix sharing changes nothing: same log-probabilities and gradients as one sequence a tree.
fn forest_equals_dense(
    engine: &mut dyn Engine,
    sample: &[&Encoded],
    tolerance: Tolerance,
) -> Result<(&'static str, String), TrainError> {
    // Responses to one prompt share it; beside its own first half any record shares a prefix.
    let shares = Forest::from_sequences(sample).tokens.len() < sample.iter().map(|record| record.tokens.len()).sum();
    let halves: Vec<Encoded> = sample
        .iter()
        .map(|record| {
            let half = (record.tokens.len() / 2).max(1);
            let mut weights = record.weights[..half].to_vec();
            weights.iter_mut().skip(1).for_each(|weight| *weight = 1.0);
            Encoded { tokens: record.tokens[..half].to_vec(), weights, record: record.record }
        })
        .collect();
    let halves = if shares { &[] } else { halves.as_slice() };
    let sequences: Vec<&Encoded> = sample.iter().copied().chain(halves).collect();
    let shared = Forest::from_sequences(&sequences);
    let dense = Forest::dense(&sequences);
    let (forest_scores, forest_gradients) = scores_and_gradients(engine, &shared)?;
    let (dense_scores, dense_gradients) = scores_and_gradients(engine, &dense)?;
    let furthest = furthest(&forest_scores, &dense_scores);
    let (mut difference, mut norm) = (0.0, 0.0);
    for (a, b) in forest_gradients.iter().zip(&dense_gradients) {
        for (a, b) in a.values.iter().zip(&b.values) {
            difference += f64::from(a - b).powi(2);
            norm += f64::from(*b).powi(2);
        }
    }
    let share = (difference / norm.max(f64::MIN_POSITIVE)).sqrt();
    let detail = format!(
        "{} rows instead of {}; log-probabilities within {furthest:.1e}, gradients within {share:.1e} of their norm",
        shared.tokens.len(),
        dense.tokens.len()
    );
    if furthest <= tolerance.log_prob && share <= tolerance.gradient && forest_scores.len() == dense_scores.len() {
        return Ok((FOREST, detail));
    }
    Err(TrainError::Check { name: FOREST, detail, fix: "this is a defect of the engine: please report it".into() })
}

/// A NaN would pass every comparison of differences.
fn finite(name: &'static str, log_probs: &[f32]) -> Result<(), TrainError> {
    if log_probs.iter().all(|log_prob| log_prob.is_finite()) {
        return Ok(());
    }
    let detail = "a log-probability is not finite".to_owned();
    let fix = "the model's weights are damaged or overflow: take another checkpoint of it".to_owned();
    Err(TrainError::Check { name, detail, fix })
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Log-probabilities in the order of (branch, depth), and the gradients of their sum.
fn scores_and_gradients(engine: &mut dyn Engine, forest: &Forest) -> Result<(Vec<f32>, Vec<StateTensor>), TrainError> {
    engine.zero_gradients();
    let scores = engine.forward(forest, Want { gradients: true, ..Want::default() })?;
    finite(FOREST, &scores.log_probs)?;
    engine.backward(&Cotangents { log_probs: vec![1.0; scores.log_probs.len()], ..Cotangents::default() })?;
    let positions = forest.positions();
    let mut placed: Vec<((u32, u32), f32)> = forest
        .targets
        .iter()
        .zip(&scores.log_probs)
        .map(|(target, &log_prob)| ((target.branch, positions[target.row as usize]), log_prob))
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    let mut gradients = Vec::new();
    engine.visit_gradients(&mut |gradient| {
        gradients.push(gradient);
        Ok(())
    })?;
    Ok((placed.into_iter().map(|(_, log_prob)| log_prob).collect(), gradients))
}

/// Tokens a generation would add one by one from its cache get the log-probabilities that training sees.
fn decoding_equals_scoring(
    engine: &mut dyn Engine,
    sample: &[&Encoded],
    tolerance: Tolerance,
) -> Result<(&'static str, String), TrainError> {
    /// Decoded one at a time.
    const LAST: usize = 8;
    let Some(shortest) = sample.iter().filter(|r| r.tokens.len() > 1).min_by_key(|r| r.tokens.len()) else {
        return Ok((DECODING, "no record is long enough".into()));
    };
    let tokens = &shortest.tokens;
    let from = tokens.len().saturating_sub(LAST).max(1);
    let mut weights = vec![0.0; tokens.len()];
    weights[from..].fill(1.0);
    let record = Encoded { tokens: tokens.clone(), weights, record: shortest.record };
    let scored = engine.forward(&Forest::dense(&[&record]), Want::default())?.log_probs;
    let decoded = engine.decode_log_probs(tokens, from)?;
    finite(DECODING, &decoded)?;
    let furthest = furthest(&scored, &decoded);
    let detail = format!("{} tokens, log-probabilities within {furthest:.1e}", decoded.len());
    if furthest <= tolerance.log_prob && scored.len() == decoded.len() {
        return Ok((DECODING, detail));
    }
    Err(TrainError::Check { name: DECODING, detail, fix: "this is a defect of the engine: please report it".into() })
}
