//! From items to a task's figures.
//!
//! **Formula.** The value is `R = Σ w_i s_i / Σ w_i` over items with a score, all `w_i = 1` but for perplexity. Its error is
//! that of the mean of `w_i (s_i - R)`, clustered, over the mean weight (the delta method). Without clusters, shares of right
//! items have Wilson's interval.
//!
//! **Source.** Miller 2024 (arXiv 2411.00640); Cochran 1977, section 6.4, for the ratio.

use std::collections::BTreeMap;

use super::{Item, Scored, Task};
use crate::results::{Group, Secondary, Status, TaskResult};
use crate::statistics::clustered::clustered_mean;
use crate::statistics::mean::{Mean, macro_average};
use crate::statistics::proportion::wilson;

const CONFIDENCE: f64 = 0.95;

/// The figures of all items of a task. `seconds` is left to the caller.
pub fn summarise(task: &Task, lines: &[(&Item, &Scored)]) -> TaskResult {
    let definition = &task.definition;
    let bounded = definition.score.metric() != "bits_per_byte";
    let counted: Vec<(&Item, &Scored, f64)> =
        lines.iter().filter_map(|(item, scored)| Some((*item, *scored, scored.score?))).collect();
    let with = |status: Status| lines.iter().filter(|(_, scored)| scored.status == status).count();
    let clusters: Vec<Option<&str>> = counted.iter().map(|(item, ..)| item.cluster.as_deref()).collect();
    let main: Vec<(f64, f64)> =
        counted.iter().map(|(_, scored, score)| (score * scored.weight, scored.weight)).collect();
    let (value, interval) = ratio(&main, &clusters, bounded).unzip();
    let mut by_group: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for ((item, ..), part) in counted.iter().zip(&main) {
        if let Some(group) = &item.group {
            by_group.entry(group).or_default().push(*part);
        }
    }
    let groups: Vec<Group> = by_group
        .iter()
        .map(|(group, parts)| {
            let (value, interval) = ratio(parts, &vec![None; parts.len()], bounded).unzip();
            Group { group: (*group).to_owned(), n: parts.len(), value, interval: interval.flatten() }
        })
        .collect();
    let mut secondary = Vec::new();
    if by_group.len() > 1 {
        secondary.push(over_groups(by_group.values()));
    }
    let names: std::collections::BTreeSet<&str> =
        counted.iter().flat_map(|(_, scored, _)| scored.also.keys().copied()).collect();
    for name in names {
        let (parts, clusters): (Vec<_>, Vec<_>) = counted
            .iter()
            .filter_map(|(item, scored, _)| Some((*scored.also.get(name)?, item.cluster.as_deref())))
            .unzip();
        let figure = ratio(&parts, &clusters, bounded);
        secondary.extend(figure.map(|(value, interval)| Secondary { metric: name.to_owned(), value, interval }));
    }
    TaskResult {
        task: definition.name.clone(),
        version: definition.version.to_string(),
        axis: definition.axis.name().to_owned(),
        metric: definition.score.metric().to_owned(),
        n: lines.len(),
        value,
        interval: interval.flatten(),
        parsed: with(Status::Ok),
        truncated: with(Status::Truncated),
        empty: with(Status::Empty),
        errors: with(Status::Error),
        bounds: bounds(lines, bounded.then_some(()), value),
        seconds: 0.0,
        groups,
        secondary,
    }
}

/// What is not parsed or not answered as all wrong, and as all right.
fn bounds(lines: &[(&Item, &Scored)], bounded: Option<()>, value: Option<f64>) -> Option<[f64; 2]> {
    if bounded.is_none() {
        return value.map(|value| [value, value]);
    }
    let right: f64 = lines.iter().filter_map(|(_, scored)| scored.score).sum();
    let open =
        lines.iter().filter(|(_, scored)| scored.status != Status::Ok).map(|(_, s)| 1.0 - s.score.unwrap_or(0.0));
    let (open, count) = (open.sum::<f64>(), lines.len() as f64);
    (!lines.is_empty()).then(|| [right / count, (right + open) / count])
}

/// A ratio of sums with its interval. `None` without items.
fn ratio(parts: &[(f64, f64)], clusters: &[Option<&str>], bounded: bool) -> Option<(f64, Option<[f64; 2]>)> {
    let (above, below): (f64, f64) = parts.iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    let value = above / below;
    if parts.is_empty() || !value.is_finite() {
        return None;
    }
    let clip = |low: f64, high: f64| if bounded { [low.max(0.0), high.min(1.0)] } else { [low, high] };
    let shares = parts.iter().all(|(part, weight)| *weight == 1.0 && (*part == 0.0 || *part == 1.0));
    let residuals: Vec<f64> = parts.iter().map(|(part, weight)| part - value * weight).collect();
    let grouped = clusters.iter().any(Option::is_some);
    let mean = if grouped {
        // An item without a cluster is one of its own.
        let named: Vec<(Option<&str>, usize)> = clusters
            .iter()
            .enumerate()
            .map(|(place, cluster)| (*cluster, if cluster.is_some() { 0 } else { place }))
            .collect();
        clustered_mean(&residuals, &named)
    } else {
        Mean::of(&residuals)
    };
    // Wilson's interval stays open where all items agree.
    let plain = || wilson(above, parts.len(), CONFIDENCE).map(|interval| [interval.low, interval.high]);
    let interval = match mean {
        Some(mean) if mean.standard_error > 0.0 && (grouped || !shares) => {
            let scaled = Mean { value, standard_error: mean.standard_error * parts.len() as f64 / below, ..mean };
            scaled.interval(CONFIDENCE).map(|interval| clip(interval.low, interval.high))
        }
        _ if shares => plain(),
        _ => None,
    };
    Some((value, interval))
}

/// The mean over groups, each counting the same.
fn over_groups<'p>(groups: impl Iterator<Item = &'p Vec<(f64, f64)>>) -> Secondary {
    let (mut means, mut values) = (Vec::new(), Vec::new());
    for parts in groups {
        let scores: Vec<f64> = parts.iter().map(|(part, weight)| part / weight).collect();
        values.push(scores.iter().sum::<f64>() / scores.len() as f64);
        means.extend(Mean::of(&scores));
    }
    let value = values.iter().sum::<f64>() / values.len() as f64;
    // A group of one item has no error of its own, and then neither has the mean over groups.
    let interval = if means.len() == values.len() {
        macro_average(&means).and_then(|mean| mean.interval(CONFIDENCE)).map(|interval| [interval.low, interval.high])
    } else {
        None
    };
    Secondary { metric: "mean_over_groups".into(), value, interval }
}
