//! What a reward stage says of its model at the end: `reward_report.json`, and the same in a few lines.

use camelid_model::Engine;
use camelid_objectives::reward::correctness_report::{CorrectnessReport, Solution, correctness_report};
use camelid_objectives::reward::report::{Judged, Report, report};
use camelid_train::{Example, Label, correct, rewards};
use serde_json::{Value as Json, json};

use super::prepare::Prepared;

/// By what the model was taught.
pub(crate) enum RewardReport {
    Ranking(Report),
    Correctness(CorrectnessReport),
}

/// Scores the held-out comparisons or labels; nothing without any.
pub(crate) fn reward_report(
    engine: &mut dyn Engine,
    prepared: &Prepared,
    token_budget: usize,
) -> anyhow::Result<Option<RewardReport>> {
    let examples: Vec<&Example> = prepared.validation.iter().collect();
    let rewards = rewards(engine, &examples, token_budget)?;
    judge(&examples, rewards)
}

/// What the reward of each sequence of each example is worth; nothing without any.
pub(crate) fn judge(examples: &[&Example], rewards: Vec<Vec<f32>>) -> anyhow::Result<Option<RewardReport>> {
    let Some(first) = examples.first() else { return Ok(None) };
    if !matches!(first.label, Label::Ranked(_)) {
        let solutions = examples.iter().zip(rewards).map(|(example, values)| -> anyhow::Result<Solution> {
            Ok(Solution { values, labels: correct(example)? })
        });
        let report = correctness_report(&solutions.collect::<Result<Vec<_>, _>>()?);
        return Ok(Some(RewardReport::Correctness(report)));
    }
    let judged = examples.iter().zip(rewards).map(|(example, rewards)| Judged {
        rewards,
        lengths: example.sequences.iter().map(camelid_text::Encoded::trained).collect(),
        pairs: match &example.label {
            Label::Ranked(ranking) => ranking.pairs.clone(),
            _ => Vec::new(),
        },
    });
    Ok(Some(RewardReport::Ranking(report(&judged.collect::<Vec<_>>()))))
}

impl RewardReport {
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Ranking(report) => ranking_json(report),
            Self::Correctness(report) => correctness_json(report),
        }
    }

    pub(crate) fn to_text(&self) -> String {
        let (mut lines, objections) = match self {
            Self::Ranking(report) => (ranking_lines(report), &report.objections),
            Self::Correctness(report) => (correctness_lines(report), &report.objections),
        };
        if objections.is_empty() {
            lines.push("  certified".into());
        } else {
            lines.push("  not certified:".into());
            lines.extend(objections.iter().map(|objection| format!("    - {objection}")));
        }
        lines.join("\n")
    }
}

fn correctness_json(report: &CorrectnessReport) -> Json {
    let CorrectnessReport { accuracy, .. } = report;
    json!({
        "certified": report.objections.is_empty(), "objections": report.objections,
        "solutions": report.solutions, "labels": report.labels,
        "accuracy": { "value": accuracy.value, "low": accuracy.low, "high": accuracy.high },
        "majority": report.majority, "area_under_curve": report.area,
        "calibration_error": report.calibration_error,
    })
}

fn correctness_lines(report: &CorrectnessReport) -> Vec<String> {
    let CorrectnessReport { accuracy, .. } = report;
    vec![
        format!(
            "\nreward model on {} held-out solutions ({} labels)\n  accuracy          {:.3} (95 % {:.3} to {:.3})",
            report.solutions, report.labels, accuracy.value, accuracy.low, accuracy.high
        ),
        format!("  more frequent label always {:.3}", report.majority),
        format!(
            "  area under curve  {}",
            report.area.map_or_else(|| "none: one label only".into(), |area| format!("{area:.3}"))
        ),
        format!("  calibration error {:.3}", report.calibration_error),
    ]
}

fn ranking_json(report: &Report) -> Json {
    let Report { accuracy, .. } = report;
    json!({
        "certified": report.objections.is_empty(), "objections": report.objections,
        "prompts": report.prompts, "pairs": report.pairs,
        "accuracy": { "value": accuracy.value, "low": accuracy.low, "high": accuracy.high },
        "calibration_error": report.calibration_error,
        "length_correlation": { "within_prompts": report.length_within, "between_prompts": report.length_between },
        "length_only": { "longer_wins": report.longer_wins, "shorter_wins": report.shorter_wins },
        "reward": { "mean": report.mean, "deviation": report.deviation, "drift": report.drift },
    })
}

fn ranking_lines(report: &Report) -> Vec<String> {
    let Report { accuracy, .. } = report;
    let correlation = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:+.2}"));
    vec![
        format!(
            "\nreward model on {} held-out prompts ({} pairs)\n  accuracy          {:.3} (95 % {:.3} to {:.3})",
            report.prompts, report.pairs, accuracy.value, accuracy.low, accuracy.high
        ),
        format!("  longer always     {:.3}, shorter always {:.3}", report.longer_wins, report.shorter_wins),
        format!("  calibration error {:.3}", report.calibration_error),
        format!(
            "  length            correlation {} within prompts, {} between",
            correlation(report.length_within),
            correlation(report.length_between)
        ),
        format!(
            "  rewards           mean {:.3}, deviation {:.3}: {:.1} deviations from the 0 they started at",
            report.mean, report.deviation, report.drift
        ),
    ]
}
