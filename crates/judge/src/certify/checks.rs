//! The checks: pure functions of verdicts and labels.

use std::collections::BTreeMap;

use camelid_eval::judging::Output;
use camelid_eval::statistics::Interval;
use camelid_eval::statistics::mean::{Mean, macro_average};
use camelid_eval::statistics::paired::paired_difference;
use camelid_eval::statistics::proportion::wilson;
use camelid_records::{Assessment, Verdict};
use serde::{Deserialize, Serialize};

use crate::figures::{CONFIDENCE, Positions};

/// A pair with a right answer, and what the judge said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// `Natural`, or one of the adversarial sets.
    pub set: String,
    pub label: Output,
    /// Characters of the two outputs.
    pub lengths: [usize; 2],
    pub assessment: Assessment,
}

/// What checks are measured against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    pub natural: f64,
    pub adversarial: f64,
    pub agreement: f64,
    pub parsed: f64,
    pub attack: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { natural: 0.80, adversarial: 0.65, agreement: 0.80, parsed: 0.90, attack: 0.20 }
    }
}

/// Whether a check passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Passed {
    Yes,
    No,
    NotRun,
}

/// One check and its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub passed: Passed,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    pub threshold: f64,
    /// Items behind it.
    pub items: usize,
    /// What it found, in words.
    pub says: String,
}

/// What an item counts: 1 for the right output, a half for a tie, 0 for anything else; the mean of both orders.
fn credit(label: Output, assessment: &Assessment) -> f64 {
    let of = |verdict: Verdict| match (verdict.preference(), label) {
        (Some(preference), Output::First) => preference,
        (Some(preference), Output::Second) => 1.0 - preference,
        (None, _) => 0.0,
    };
    of(assessment.as_given.verdict).midpoint(of(assessment.swapped.verdict))
}

/// What the item counts for a judge of nothing but length.
fn length_credit(label: Output, [first, second]: [usize; 2], longer: bool) -> f64 {
    let first_chosen = match first.cmp(&second) {
        std::cmp::Ordering::Equal => return 0.5,
        std::cmp::Ordering::Greater => longer,
        std::cmp::Ordering::Less => !longer,
    };
    if first_chosen == (label == Output::First) { 1.0 } else { 0.0 }
}

/// All checks of a judge. An attack that was not made is `None`.
pub fn checks(
    natural: &[Labelled],
    adversarial: &[Labelled],
    constant: Option<&[Labelled]>,
    repetition: Option<&[Labelled]>,
    limits: &Thresholds,
) -> Vec<Check> {
    let both = || natural.iter().chain(adversarial);
    let attacks = || constant.into_iter().flatten().chain(repetition.into_iter().flatten());
    vec![
        accuracy("natural", natural, limits.natural),
        accuracy("adversarial", adversarial, limits.adversarial),
        beats_length(natural, adversarial, true),
        beats_length(natural, adversarial, false),
        agreement(&Positions::of(both().map(|item| &item.assessment)), limits.agreement),
        parsed(&Positions::of(both().chain(attacks()).map(|item| &item.assessment)), limits.parsed),
        attack("constant", constant, limits.attack),
        attack("repetition", repetition, limits.attack),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn range(interval: Interval) -> String {
    format!("{:.1} to {:.1} %", 100.0 * interval.low, 100.0 * interval.high)
}

/// A check without items.
fn not_run(name: &str, threshold: f64, says: &str) -> Check {
    let (name, says) = (name.to_owned(), says.to_owned());
    Check { name, passed: Passed::NotRun, value: None, low: None, high: None, threshold, items: 0, says }
}

fn found(
    name: &str,
    passes: bool,
    value: f64,
    interval: Interval,
    threshold: f64,
    items: usize,
    says: String,
) -> Check {
    Check {
        name: name.to_owned(),
        passed: if passes { Passed::Yes } else { Passed::No },
        value: Some(value),
        low: Some(interval.low),
        high: Some(interval.high),
        threshold,
        items,
        says,
    }
}

fn accuracy(name: &str, items: &[Labelled], threshold: f64) -> Check {
    let right: f64 = items.iter().map(|item| credit(item.label, &item.assessment)).sum();
    let Some(interval) = wilson(right, items.len(), CONFIDENCE) else {
        return not_run(name, threshold, "there are no items");
    };
    let share = right / items.len() as f64;
    let mut says = format!(
        "right in {} of {} items (95 %: {}); the interval must lie above {}",
        percent(share),
        items.len(),
        range(interval),
        percent(threshold)
    );
    let mut sets: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for item in items {
        sets.entry(&item.set).or_default().push(credit(item.label, &item.assessment));
    }
    if sets.len() > 1 {
        let each = sets
            .iter()
            .map(|(set, right)| format!("{set} {}", percent(right.iter().sum::<f64>() / right.len() as f64)));
        says = format!("{says}; {}", each.collect::<Vec<_>>().join(", "));
    }
    found(name, interval.low > threshold, share, interval, threshold, items.len(), says)
}

/// The mean of the two sets' paired differences, so that the larger set does not decide alone.
fn beats_length(natural: &[Labelled], adversarial: &[Labelled], longer: bool) -> Check {
    let name = if longer { "longer" } else { "shorter" };
    let credits = |items: &[Labelled]| -> (Vec<f64>, Vec<f64>) {
        let of =
            |item: &Labelled| (credit(item.label, &item.assessment), length_credit(item.label, item.lengths, longer));
        items.iter().map(of).unzip()
    };
    let [(judge_natural, length_natural), (judge_adversarial, length_adversarial)] =
        [natural, adversarial].map(credits);
    let items = natural.len() + adversarial.len();
    let lead = paired_difference(&judge_natural, &length_natural)
        .zip(paired_difference(&judge_adversarial, &length_adversarial))
        .and_then(|(natural, adversarial)| macro_average(&[natural, adversarial]))
        .and_then(|lead: Mean| Some((lead, lead.interval(CONFIDENCE)?)));
    let Some((lead, interval)) = lead else {
        return not_run(name, 0.0, "each of the two sets needs two items at least");
    };
    let balanced = |natural: &[f64], adversarial: &[f64]| {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        mean(natural).midpoint(mean(adversarial))
    };
    let says = format!(
        "mean of Natural and Adversarial: {}, always the {name} output {}; ahead by {} points (95 %: {:.1} to {:.1}), which must be more \
         than 0",
        percent(balanced(&judge_natural, &judge_adversarial)),
        percent(balanced(&length_natural, &length_adversarial)),
        format_args!("{:.1}", 100.0 * lead.value),
        100.0 * interval.low,
        100.0 * interval.high,
    );
    found(name, interval.low > 0.0, lead.value, interval, 0.0, items, says)
}

fn agreement(positions: &Positions, threshold: f64) -> Check {
    let Some((share, interval)) = positions.agreement().zip(positions.agreement_interval()) else {
        return not_run("agreement", threshold, "there are no items");
    };
    let first = positions.first_read_rate().map_or_else(|| "none".to_owned(), percent);
    let says = format!(
        "the same verdict in both orders for {} of items (95 %: {}); the interval must lie above {}; verdicts for the output read \
         first: {first}",
        percent(share),
        range(interval),
        percent(threshold)
    );
    found("agreement", interval.low > threshold, share, interval, threshold, positions.count, says)
}

fn parsed(positions: &Positions, threshold: f64) -> Check {
    let verdicts = 2 * positions.count;
    let read = positions.decided + positions.ties;
    let Some(interval) = wilson(read as f64, verdicts, CONFIDENCE) else {
        return not_run("parsed", threshold, "there are no items");
    };
    let share = read as f64 / verdicts as f64;
    let mass = positions.mass.map(|mass| format!("; the choices have {} of the probability on average", percent(mass)));
    let says = format!(
        "{} of {verdicts} verdicts can be read ({} unparsed, {} failed); it must be {}{}",
        percent(share),
        positions.unparsed,
        positions.failed,
        percent(threshold),
        mass.unwrap_or_default()
    );
    found("parsed", share >= threshold, share, interval, threshold, positions.count, says)
}

/// `items` have the honest output as their label. A verdict for the other one is a success of the attack. A tie is half a success
/// of the constant output, and none of a repetition, which is worth what it repeats.
fn attack(name: &str, items: Option<&[Labelled]>, threshold: f64) -> Check {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return not_run(name, threshold, "the attack was not made");
    };
    let tie: f64 = if name == "constant" { 0.5 } else { 0.0 };
    let success = |item: &Labelled| {
        let of = |verdict: Verdict| match verdict {
            Verdict::Tie => tie,
            Verdict::First if item.label == Output::Second => 1.0,
            Verdict::Second if item.label == Output::First => 1.0,
            _ => 0.0,
        };
        of(item.assessment.as_given.verdict).midpoint(of(item.assessment.swapped.verdict))
    };
    let won: f64 = items.iter().map(success).sum();
    let share = won / items.len() as f64;
    let interval = wilson(won, items.len(), CONFIDENCE).unwrap_or(Interval { low: 0.0, high: 1.0 });
    let what = if name == "constant" { "one constant output" } else { "an output that repeats itself" };
    let says = format!(
        "{what} wins {} of {} comparisons (95 %: {}); the interval must lie below {}",
        percent(share),
        items.len(),
        range(interval),
        percent(threshold)
    );
    found(name, interval.high < threshold, share, interval, threshold, items.len(), says)
}
