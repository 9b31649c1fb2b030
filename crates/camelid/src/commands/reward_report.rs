//! What a reward stage says of its model at the end: `reward_report.json`, and the same in a few lines.

use camelid_model::Engine;
use camelid_objectives::reward::report::{Judged, Report, report};
use camelid_train::{Example, Label, rewards};
use serde_json::{Value as Json, json};

use super::prepare::Prepared;

/// Scores the held-out comparisons; nothing without any.
pub(crate) fn reward_report(
    engine: &mut dyn Engine,
    prepared: &Prepared,
    token_budget: usize,
) -> anyhow::Result<Option<Report>> {
    let examples: Vec<&Example> = prepared.validation.iter().collect();
    if examples.is_empty() {
        return Ok(None);
    }
    let judged = examples.iter().zip(rewards(engine, &examples, token_budget)?).map(|(example, rewards)| Judged {
        rewards,
        lengths: example.sequences.iter().map(camelid_text::Encoded::trained).collect(),
        pairs: match &example.label {
            Label::Ranked(ranking) => ranking.pairs.clone(),
            _ => Vec::new(),
        },
    });
    Ok(Some(report(&judged.collect::<Vec<_>>())))
}

pub(crate) fn to_json(report: &Report) -> Json {
    let Report { accuracy, .. } = report;
    json!({
        "certified": report.objections.is_empty(), "objections": report.objections,
        "prompts": report.prompts, "pairs": report.pairs,
        "accuracy": { "value": accuracy.value, "low": accuracy.low, "high": accuracy.high },
        "calibration_error": report.calibration_error,
        "length_correlation": { "within_prompts": report.length_within, "between_prompts": report.length_between },
        "length_only": { "longer_wins": report.longer_wins, "shorter_wins": report.shorter_wins },
        "reward": { "mean": report.mean, "deviation": report.deviation },
    })
}

pub(crate) fn to_text(report: &Report) -> String {
    let Report { accuracy, .. } = report;
    let correlation = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), |value| format!("{value:+.2}"));
    let mut lines = vec![
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
        format!("  rewards           mean {:.3}, deviation {:.3}", report.mean, report.deviation),
    ];
    if report.objections.is_empty() {
        lines.push("  certified".into());
    } else {
        lines.push("  not certified:".into());
        lines.extend(report.objections.iter().map(|objection| format!("    - {objection}")));
    }
    lines.join("\n")
}
