//! Self-checks on the first answers that a stage samples: before the first update there are figures that are known.

use camelid_model::{Cotangents, Engine, Want};
use camelid_objectives::{Metric, Reduced};
use camelid_text::Text;

use super::{CheckReport, REFERENCE, TOKENS, timed};
use crate::TrainError;
use crate::round::answers;
use crate::task::{Example, Label, Purpose, Rolled, Round, Task, forest};

const REWARDS: &str = "rewards of tokens";
const ADVANTAGES: &str = "advantages";
const UPDATE: &str = "first update";

/// Prompts that are answered for the checks.
const PROMPTS: usize = 8;

/// Whether a method's advantages have mean 0 and deviation 1 over the tokens of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalised {
    Yes,
    No,
}

/// Answers some prompts of the first step and checks what is known of a first round: an answer's score stands at its true last
/// token; the reference policy's log-probabilities are those that came with the samples, bit for bit; advantages are
/// normalised over all learned tokens and no others; and for the first update every ratio is 1 and nothing is clipped.
/// Gradients are zero afterwards and nothing else has changed.
pub fn first_round(
    engine: &mut dyn Engine,
    task: &mut dyn Task,
    text: &Text,
    examples: &[&Example],
    normalised: Normalised,
) -> Result<Vec<CheckReport>, TrainError> {
    let sample: Vec<&Example> = examples.iter().copied().take(PROMPTS).collect();
    let round = Round { examples: &sample, step: 0, purpose: Purpose::Training, token_budget: TOKENS };
    let Some(rolled) = task.roll_out(engine, &round)? else { return Ok(Vec::new()) };
    let mut reports = vec![timed(|| rewards_are_at_the_end(text, &rolled.examples))?];
    if answers(&rolled.examples).any(|rollout| !rollout.reference.is_empty()) {
        reports.push(timed(|| reference_is_policy(&rolled.examples))?);
    }
    if normalised == Normalised::Yes {
        reports.push(timed(|| advantages_are_normalised(&rolled))?);
    }
    reports.push(timed(|| nothing_has_moved(engine, task, &rolled.examples))?);
    engine.zero_gradients();
    task.companions().into_iter().for_each(|(_, companion)| companion.zero_gradients());
    Ok(reports)
}

fn failed(name: &'static str, detail: String, fix: &str) -> TrainError {
    TrainError::Check { name, detail, fix: fix.to_owned() }
}

const DEFECT: &str = "this is a defect of the trainer: please report it";

/// Nothing but steps' scores before the last token, which is a stop token where the answer ended; there is no KL yet.
fn rewards_are_at_the_end(text: &Text, examples: &[Example]) -> Result<(&'static str, String), TrainError> {
    let (mut count, mut ends, mut scored) = (0, 0, 0);
    for example in examples {
        let Label::Sampled(rollouts) = &example.label else { continue };
        for (sequence, rollout) in example.sequences.iter().zip(rollouts) {
            let place = format!("an answer to record {}", example.record() + 1);
            let learned = sequence.trained();
            let last = sequence.tokens.last().filter(|_| sequence.weights.last().is_some_and(|&weight| weight > 0.0));
            if learned != rollout.rewards.len()
                || last.is_none_or(|last| text.stop_tokens().contains(last) != rollout.ended)
            {
                let detail = format!(
                    "{place} has {learned} learned tokens and {} rewards, and {} with a stop token",
                    rollout.rewards.len(),
                    if rollout.ended { "should end" } else { "should not end" }
                );
                return Err(failed(REWARDS, detail, DEFECT));
            }
            let mut expected = vec![0.0; learned];
            for &(token, score) in &rollout.given.steps {
                expected[token.min(learned - 1)] += score;
            }
            let early = (0..learned - 1).find(|&token| (rollout.rewards[token] - expected[token]).abs() > 1e-9);
            let sum: f64 = rollout.rewards.iter().sum();
            if early.is_some() || (sum - rollout.reward).abs() > 1e-9 {
                let token = early.unwrap_or(learned - 1);
                let detail = format!("{place}: token {} of {learned} earns {}", token + 1, rollout.rewards[token]);
                return Err(failed(REWARDS, detail, DEFECT));
            }
            (count, ends) = (count + 1, ends + usize::from(rollout.ended));
            scored += usize::from(rollout.rewards[learned - 1] != 0.0);
        }
    }
    Ok((REWARDS, format!("{count} answers, {ends} ended by themselves; {scored} earn something at their last token")))
}

fn reference_is_policy(examples: &[Example]) -> Result<(&'static str, String), TrainError> {
    let pairs = || answers(examples).flat_map(|rollout| rollout.log_probs.iter().zip(&rollout.reference));
    let missing = answers(examples).any(|rollout| rollout.log_probs.len() != rollout.reference.len());
    let different = pairs().filter(|(policy, reference)| policy.to_bits() != reference.to_bits()).count();
    let kl: f64 = pairs().map(|(&policy, &reference)| f64::from(policy) - f64::from(reference)).sum();
    let detail = format!("{different} of {} log-probabilities differ; KL {kl:.1e}", pairs().count());
    if different == 0 && !missing {
        return Ok((REFERENCE, detail));
    }
    Err(failed(REFERENCE, detail, "the reference is not the model this stage starts from: run it again with --restart"))
}

fn advantages_are_normalised(rolled: &Rolled) -> Result<(&'static str, String), TrainError> {
    let all: Vec<f64> = answers(&rolled.examples).flat_map(|rollout| rollout.advantages.iter().copied()).collect();
    let tokens: usize = answers(&rolled.examples).map(|rollout| rollout.log_probs.len()).sum();
    let count = all.len().max(1) as f64;
    let mean = all.iter().sum::<f64>() / count;
    let deviation = (all.iter().map(|advantage| (advantage - mean).powi(2)).sum::<f64>() / count).sqrt();
    // Whitening adds 1e-8 to the variance, which shows where there is next to none.
    let before = rolled.metrics.iter().find(|metric| metric.name == "critic/advantages/std");
    let expected = match before.and_then(|metric| metric.value.mean()) {
        Some(before) => before / (before * before + 1e-8).sqrt(),
        None if all.iter().all(|&advantage| advantage == 0.0) => 0.0,
        None => 1.0,
    };
    let detail = format!("{} of {tokens} tokens; mean {mean:.1e}, deviation {deviation:.4}", all.len());
    if all.len() == tokens && mean.abs() < 1e-6 && (deviation - expected).abs() < 1e-3 {
        return Ok((ADVANTAGES, detail));
    }
    Err(failed(ADVANTAGES, detail, DEFECT))
}

/// What the loss says of its first update.
fn nothing_has_moved(
    engine: &mut dyn Engine,
    task: &mut dyn Task,
    examples: &[Example],
) -> Result<(&'static str, String), TrainError> {
    let examples: Vec<&Example> = examples.iter().take(2).collect();
    task.begin(engine, &examples, TOKENS, Purpose::Evaluation)?;
    let mut metrics: Vec<Metric> = Vec::new();
    for example in examples {
        let want = Want { gradients: true, ..Want::default() };
        let outcome = task.score(engine, &[example], &forest(&[example]), want)?;
        engine.backward(&Cotangents {
            log_probs: outcome.d_log_probs,
            entropies: outcome.d_entropies,
            values: outcome.d_values,
        })?;
        metrics.extend(outcome.metrics);
    }
    let mean = |name: &str| {
        let mut sum = Reduced::default();
        metrics.iter().filter(|metric| metric.name == name).for_each(|metric| sum += metric.value);
        sum.mean()
    };
    let ratio = mean("val/ratio");
    let distance = mean("policy/approxkl_avg");
    let clipped = [mean("policy/clipfrac_avg"), mean("val/clipfrac_avg")];
    let shown = |figure: Option<f64>| figure.map_or_else(|| "none".to_owned(), |figure| figure.to_string());
    let detail = format!(
        "ratio {}, approximate KL {}, clipped {} of the policy's tokens and {} of the values",
        shown(ratio),
        shown(distance),
        shown(clipped[0]),
        shown(clipped[1])
    );
    let still = |figure: Option<f64>| figure.is_none_or(|figure| figure == 0.0);
    if ratio.is_none_or(|ratio| ratio == 1.0) && still(distance) && clipped.into_iter().all(still) {
        return Ok((UPDATE, detail));
    }
    Err(failed(UPDATE, detail, DEFECT))
}
