//! Which curves a report shows, in which order, and what is said of them.
//!
//! Whatever was measured is shown. Curves that are only read together share a figure, a quantity in training and in validation
//! shares one, and what has a prefix stands in a section with the rest of that prefix.

use camelid_report::{Axis, Block, Figure, Marks, Section, Series, Stroke};

use super::History;

/// Curves of one figure: its title, its unit, the names of its metrics and what they are.
struct Known {
    title: &'static str,
    unit: &'static str,
    names: &'static [&'static str],
    meaning: &'static str,
}

const fn known(
    title: &'static str,
    unit: &'static str,
    names: &'static [&'static str],
    meaning: &'static str,
) -> Known {
    Known { title, unit, names, meaning }
}

/// What people look at first.
const FIRST: [Known; 12] = [
    known("Loss", "loss", &["loss"], "What the optimiser lowers, the mean over a step."),
    known("Token accuracy", "share", &["mean_token_accuracy"], "How often the likeliest token is the learned one."),
    known(
        "Rewards of responses",
        "reward",
        &["rewards/chosen", "rewards/rejected"],
        "How much likelier than under the reference a response is. The gap is what counts: both may fall.",
    ),
    known("Reward margin", "reward", &["rewards/margins", "margin"], "Chosen minus rejected."),
    known(
        "Reward accuracy",
        "share of pairs",
        &["rewards/accuracies", "accuracy"],
        "How often the better response has the higher reward; 0.5 is chance.",
    ),
    known(
        "Log-probability of responses",
        "nats",
        &["logps/chosen", "logps/rejected"],
        "Summed over a response's tokens.",
    ),
    known("Reward", "reward", &["reward", "mean_reward"], "Mean reward of the answers."),
    known(
        "Spread of rewards",
        "reward",
        &["reward_std"],
        "Deviation among the answers to one prompt; without any, nothing is learned.",
    ),
    known("KL to the reference policy", "nats", &["kl"], "How far the policy has gone from where it started."),
    known("Entropy", "nats per token", &["entropy"], "How undecided the policy is; a collapse ends exploration."),
    known(
        "Length of answers",
        "tokens",
        &["completions/mean_length", "completions/min_length", "completions/max_length"],
        "Rising length with rising reward may be all that was learned.",
    ),
    known(
        "Answers cut off",
        "share",
        &["completions/clipped_ratio"],
        "Answers that reached the limit of tokens before their end.",
    ),
];

/// What says whether training is sound.
const TRAINING: [Known; 3] = [
    known("Learning rate", "rate", &["learning_rate"], "The schedule."),
    known("Gradient norm", "norm", &["grad_norm"], "Before clipping."),
    known(
        "Speed",
        "tokens per second",
        &["tokens_per_second"],
        "Tokens of records, shared prefixes counted each time.",
    ),
];

/// Counters and clocks.
const NOT_SHOWN: [&str; 3] = ["epoch", "num_tokens", "step_seconds"];

/// More points than this are merged.
const POINTS: usize = 300;

/// Sections of curves.
pub(crate) fn sections(history: &History) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut add = |heading: &str, figures: Vec<Figure>| {
        if !figures.is_empty() {
            sections
                .push(Section { heading: heading.into(), blocks: figures.into_iter().map(Block::Figure).collect() });
        }
    };
    add(
        "Curves",
        FIRST.iter().filter_map(|known| figure(history, known.title, known.unit, known.meaning, known.names)).collect(),
    );
    for (prefix, names) in others(history) {
        let figures = names.iter().filter_map(|name| figure(history, name, "", "", &[name]));
        add(if prefix.is_empty() { "Other measurements" } else { &prefix }, figures.collect());
    }
    add(
        "Training",
        TRAINING
            .iter()
            .filter_map(|known| figure(history, known.title, known.unit, known.meaning, known.names))
            .collect(),
    );
    sections
}

/// Names that no list has, by prefix; those without one first.
fn others(history: &History) -> Vec<(String, Vec<String>)> {
    let listed = |name: &str| {
        FIRST.iter().chain(&TRAINING).any(|known| known.names.contains(&name)) || NOT_SHOWN.contains(&name)
    };
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let mut names: Vec<&str> = history.names().map(|name| name.strip_prefix("eval_").unwrap_or(name)).collect();
    names.sort_unstable();
    names.dedup();
    for name in names.into_iter().filter(|name| !listed(name)) {
        let prefix = name.split_once('/').map_or("", |(prefix, _)| prefix);
        match groups.iter_mut().find(|(known, _)| known == prefix) {
            Some((_, names)) => names.push(name.to_owned()),
            None => groups.push((prefix.to_owned(), vec![name.to_owned()])),
        }
    }
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    groups
}

/// A figure of these metrics and their validation; none if nothing was measured.
fn figure(history: &History, title: &str, unit: &str, meaning: &str, names: &[&str]) -> Option<Figure> {
    let mut series = Vec::new();
    let mut merged = 1;
    for name in names {
        let points = history.get(name);
        if !points.is_empty() {
            let together = points.len().div_ceil(POINTS);
            merged = merged.max(together);
            series.push(Series::of_values(*name, merge(points, together)));
        }
        let validation = format!("eval_{name}");
        let points = history.get(&validation);
        if !points.is_empty() {
            let together = points.len().div_ceil(POINTS);
            merged = merged.max(together);
            series.push(Series::of_values(validation, merge(points, together)).with_stroke(Stroke::Marked));
        }
    }
    if series.is_empty() {
        return None;
    }
    let mut caption = meaning.to_owned();
    if merged > 1 {
        let space = if caption.is_empty() { "" } else { " " };
        caption = format!("{caption}{space}Each point is the mean of {merged} measurements.");
    }
    let y = if unit.is_empty() { title } else { unit };
    Some(Figure {
        title: title.into(),
        caption,
        x: Axis::linear("step"),
        y: Axis::linear(y),
        marks: Marks::Series(series),
    })
}

/// Means of so many neighbours each, at the last one's step.
fn merge(points: &[(f64, f64)], together: usize) -> Vec<(f64, f64)> {
    let mean = |part: &[(f64, f64)]| {
        let step = part.last().map_or(0.0, |point| point.0);
        (step, part.iter().map(|point| point.1).sum::<f64>() / part.len() as f64)
    };
    points.chunks(together).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn history(steps: usize, names: &[&str]) -> History {
        let line = |step: usize| {
            let mut line = serde_json::Map::from_iter([("step".to_owned(), json!(step))]);
            line.extend(names.iter().map(|name| ((*name).to_owned(), json!(step as f64))));
            line
        };
        History::of(&(0..steps).map(line).collect::<Vec<_>>())
    }

    #[test]
    fn everything_measured_is_shown_once() {
        let names = [
            "loss",
            "eval_loss",
            "rewards/chosen",
            "rewards/rejected",
            "epoch",
            "new/a",
            "eval_new/a",
            "new/b",
            "plain",
            "grad_norm",
        ];
        let sections = sections(&history(3, &names));
        let headings: Vec<&str> = sections.iter().map(|section| section.heading.as_str()).collect();
        assert_eq!(headings, ["Curves", "Other measurements", "new", "Training"]);
        let mut shown = Vec::new();
        for block in sections.iter().flat_map(|section| &section.blocks) {
            let Block::Figure(Figure { marks: Marks::Series(series), .. }) = block else { panic!("{block:?}") };
            shown.extend(series.iter().map(|series| series.name.clone()));
        }
        shown.sort();
        let mut expected: Vec<&str> = names.into_iter().filter(|name| *name != "epoch").collect();
        expected.sort_unstable();
        assert_eq!(shown, expected);
    }

    #[test]
    fn long_curves_are_merged_and_say_so() {
        let sections = sections(&history(1000, &["loss"]));
        let Block::Figure(figure) = &sections[0].blocks[0] else { panic!() };
        assert!(figure.caption.ends_with("the mean of 4 measurements."), "{}", figure.caption);
        let Marks::Series(series) = &figure.marks else { panic!() };
        assert_eq!(series[0].points.len(), 250);
        assert_eq!((series[0].points[0].x, series[0].points[0].y), (3.0, 1.5));
    }
}
