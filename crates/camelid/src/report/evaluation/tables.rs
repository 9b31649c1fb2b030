//! Figures and tables of scores.

use std::collections::BTreeMap;

use camelid_eval::comparison::CONFIDENCE;
use camelid_eval::results::Extraction;
use camelid_report::{Axis, BarGroup, Block, Cell, Figure, Marks, Measured, Section, Table};

use crate::evaluations::{Comparison, Gates, Loaded, Row};

/// More groups of bars than this do not fit beside each other.
pub(super) const GROUPS_IN_FIGURE: usize = 6;

fn columns<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

fn optional(value: Option<f64>) -> Cell {
    value.map_or(Cell::Missing, Cell::Number)
}

/// To three decimals, as scores are read.
fn score(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

pub(super) fn measured(value: f64, interval: Option<[f64; 2]>) -> Cell {
    Cell::measured(score(value), interval.map(|[low, high]| (score(low), score(high))))
}

/// What a side is called in figures: the model, with the directory where two have one name.
pub(super) fn side_names(sides: &[&Loaded]) -> Vec<String> {
    let name = |side: &Loaded| side.evaluation.model.name.clone();
    let is_unique = |side: &Loaded| sides.iter().filter(|other| name(other) == name(side)).count() == 1;
    sides.iter().map(|side| if is_unique(side) { name(side) } else { side.name.clone() }).collect()
}

/// Scores by task, drawn and as a table.
pub(super) fn tasks(before: &Loaded, after: &[Loaded]) -> Section {
    let sides: Vec<&Loaded> = std::iter::once(before).chain(after).collect();
    let mut axes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for task in sides.iter().flat_map(|side| &side.evaluation.tasks) {
        let tasks = axes.entry(&task.axis).or_default();
        if !tasks.contains(&task.task.as_str()) {
            tasks.push(&task.task);
        }
    }
    let all: Vec<(&str, &str)> =
        axes.iter().flat_map(|(axis, tasks)| tasks.iter().map(|task| (*axis, *task))).collect();
    let names = side_names(&sides);
    let group = |&(_, task): &(&str, &str)| BarGroup {
        label: task.to_owned(),
        values: sides
            .iter()
            .map(|side| {
                let result = side.evaluation.task(task)?;
                let interval = result.interval.map(|[low, high]| (low, high));
                Some(Measured { value: result.value?, interval })
            })
            .collect(),
    };
    let figures = all.chunks(GROUPS_IN_FIGURE).map(|part| {
        let mut shown: Vec<&str> = part.iter().map(|(axis, _)| *axis).collect();
        shown.dedup();
        Block::Figure(Figure {
            title: shown.join(", "),
            caption: "Mean scores with their 95 % intervals. Intervals of one model each: whether two differ is in the comparison."
                .into(),
            x: Axis::linear("task"),
            y: Axis::linear("score"),
            marks: Marks::Groups { series: names.clone(), groups: part.iter().map(group).collect() },
        })
    });
    let mut blocks: Vec<Block> = figures.collect();
    let data = "tuning data".to_owned();
    let heading = columns(["ability", "task", "metric"]).into_iter().chain(names).chain([data]).collect();
    let row = |&(axis, task): &(&str, &str)| {
        let metric = sides.iter().find_map(|side| side.evaluation.task(task)).map_or("", |result| &result.metric);
        let cell = |side: &&Loaded| {
            let result = side.evaluation.task(task);
            let value = result.and_then(|result| Some((result.value?, result.interval)));
            value.map_or(Cell::Missing, |(value, interval)| measured(value, interval))
        };
        let label = contamination_words(&sides, task);
        [axis, task, metric]
            .map(Cell::text)
            .into_iter()
            .chain(sides.iter().map(cell))
            .chain([Cell::Text(label)])
            .collect()
    };
    let rows = all.iter().map(row).collect();
    blocks.push(Block::Table(Table { caption: "Over all items of each side.".into(), columns: heading, rows }));
    Section { heading: "Tasks".into(), blocks }
}

/// What is known of a task's items in the data that each side was tuned on.
fn contamination_words(sides: &[&Loaded], task: &str) -> String {
    let mut words: Vec<&str> = sides.iter().map(|side| side.label(task).unwrap_or("not checked")).collect();
    words.dedup();
    words.join(" → ")
}

/// Other figures of the same answers, folded up.
pub(super) fn secondary(loaded: &Loaded, named: bool) -> Option<Section> {
    let tasks = loaded.evaluation.tasks.iter();
    let rows = tasks.flat_map(|task| {
        task.secondary
            .iter()
            .map(|other| vec![Cell::text(&task.task), Cell::text(&other.metric), measured(other.value, other.interval)])
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    if rows.is_empty() {
        return None;
    }
    let heading = if named { format!("Other figures, {}", loaded.name) } else { "Other figures".into() };
    let caption = "Of the same answers, with 95 % intervals where they have one.".into();
    let table = Table { caption, columns: columns(["task", "figure", "value"]), rows };
    Some(Section { heading, blocks: vec![Block::Table(table)] })
}

/// How many answers were read, and what the score would be if the others were wrong or right.
pub(super) fn extraction(before: &Loaded, after: &[Loaded]) -> Section {
    let mut rows = Vec::new();
    for side in std::iter::once(before).chain(after) {
        for task in &side.evaluation.tasks {
            let counts = Extraction::of(side.items(&task.task));
            let percent = counts.rate().map(|rate| (rate * 1e3).round() / 10.0);
            let bounds =
                task.bounds.map_or(Cell::Missing, |[low, high]| Cell::Interval { low: score(low), high: score(high) });
            let mut cells = Vec::new();
            if !after.is_empty() {
                cells.push(Cell::text(&side.name));
            }
            cells.extend([Cell::text(&task.task), optional(percent)]);
            let numbers = [counts.unparsed, counts.empty, counts.truncated, counts.errors];
            cells.extend(numbers.map(|count| Cell::Number(count as f64)));
            cells.push(bounds);
            rows.push(cells);
        }
    }
    let mut heading =
        columns(["task", "read, %", "without answer", "empty", "cut off", "failed", "score if those wrong or right"]);
    if !after.is_empty() {
        heading.insert(0, "evaluation".into());
    }
    let caption =
        "Below 90 % a score is about the extractor, not the model. Answers that cannot be read count as wrong.".into();
    Section { heading: "Extraction".into(), blocks: vec![Block::Table(Table { caption, columns: heading, rows })] }
}

/// Differences with their tests.
pub(super) fn differences(comparison: &Comparison<'_>) -> Section {
    let names: Vec<&Loaded> = comparison.after.iter().collect();
    let names = side_names(&names);
    let name = |row: &Row| names.get(row.side).cloned().unwrap_or_default();
    let compared: Vec<&Row> = comparison.rows.iter().filter(|row| row.difference.is_some()).collect();
    let mut tasks: Vec<&str> = compared.iter().map(|row| row.task.as_str()).collect();
    tasks.dedup();
    let figures = tasks.chunks(GROUPS_IN_FIGURE).map(|part| {
        let value = |task: &str, side: usize| {
            let row = compared.iter().find(|row| row.task == task && row.side == side)?;
            let found = row.difference.as_ref()?;
            Some(Measured { value: found.value, interval: found.interval.map(|interval| (interval.low, interval.high)) })
        };
        let group = |task: &&str| BarGroup {
            label: (*task).to_owned(),
            values: (0..names.len()).map(|side| value(task, side)).collect(),
        };
        Block::Figure(Figure {
            title: "Difference on the same items".into(),
            caption: "After less before, with 95 % intervals. An interval that holds 0 shows neither a change nor that there is none."
                .into(),
            x: Axis::linear("task"),
            y: Axis::linear("difference"),
            marks: Marks::Groups { series: names.clone(), groups: part.iter().map(group).collect() },
        })
    });
    let mut blocks: Vec<Block> = figures.collect();
    let rows = compared.iter().filter_map(|row| {
        let found = row.difference.as_ref()?;
        let interval = found.interval.map(|interval| [interval.low, interval.high]);
        let count = |count: Option<u64>| optional(count.map(|count| count as f64));
        let items = match found.groups {
            Some(groups) => Cell::Text(format!("{} in {groups} groups", found.count)),
            None => Cell::Number(found.count as f64),
        };
        let three = |value: Option<f64>| optional(value.map(score));
        Some(vec![
            Cell::Text(name(row)),
            Cell::text(&row.task),
            items,
            Cell::Number(score(found.before)),
            Cell::Number(score(found.after)),
            measured(found.value, interval),
            count(found.answers.map(|pairs| pairs.only_second)),
            count(found.answers.map(|pairs| pairs.only_first)),
            three(found.p_value),
            three(row.adjusted),
            Cell::text(found.test.name()),
            three(row.detectable),
            optional(row.needed.map(|needed| needed as f64)),
        ])
    });
    let table = Table {
        caption: format!(
            "At {} %; Holm's p holds for all rows together. Detects: the true difference that so many items find in 80 % of cases.",
            CONFIDENCE * 100.0
        ),
        columns: columns([
            "after",
            "task",
            "items",
            "before",
            "after",
            "difference",
            "lost",
            "won",
            "p",
            "Holm",
            "test",
            "detects",
            "items needed",
        ]),
        rows: rows.collect(),
    };
    blocks.push(Block::Table(table));
    let axes = comparison.axes.iter().map(|axis| {
        let interval = axis.mean.interval(CONFIDENCE).map(|interval| [interval.low, interval.high]);
        let side = names.get(axis.side).cloned().unwrap_or_default();
        vec![
            Cell::Text(side),
            Cell::text(&axis.axis),
            Cell::Number(axis.tasks as f64),
            measured(axis.mean.value, interval),
        ]
    });
    let axes: Vec<Vec<Cell>> = axes.collect();
    if !axes.is_empty() {
        let caption = "Unweighted means over the tasks of an ability.".into();
        blocks.push(Block::Table(Table {
            caption,
            columns: columns(["after", "ability", "tasks", "difference"]),
            rows: axes,
        }));
    }
    for note in compared.iter().flat_map(|row| row.notes()) {
        blocks.push(Block::Paragraph(format!("Note: {note}.")));
    }
    Section { heading: "Comparison".into(), blocks }
}

/// Verdicts of gates.
pub(super) fn gates(gates: &Gates) -> Section {
    let mut blocks = vec![Block::Verdict { good: gates.passed(), text: gates.sentence() }];
    let row = |row: &crate::evaluations::GateRow| {
        let outcome = &row.outcome;
        vec![
            Cell::text(&row.task),
            Cell::Text(row.words()),
            Cell::Number(outcome.difference.count as f64),
            Cell::Number(score(outcome.difference.value)),
            optional(outcome.largest_loss.map(score)),
            Cell::Number(outcome.margin),
            Cell::Number(score(outcome.test.p_value)),
            optional(outcome.needed.map(|needed| needed as f64)),
            Cell::text(row.data_words()),
        ]
    };
    let table = Table {
        caption: format!(
            "Kept: the loss is shown to be below the margin, one-sided at {} %. Not shown: so many items cannot tell.",
            gates.design.alpha * 100.0
        ),
        columns: columns([
            "task",
            "verdict",
            "items",
            "difference",
            "loss at most",
            "margin",
            "p",
            "items needed",
            "tuning data",
        ]),
        rows: gates.rows.iter().map(row).collect(),
    };
    blocks.push(Block::Table(table));
    for row in &gates.rows {
        for objection in &row.outcome.objections {
            blocks.push(Block::Paragraph(format!("Objection: {}, {objection}.", row.task)));
        }
    }
    Section { heading: "Gate".into(), blocks }
}

/// Scores by subject, folded up.
pub(super) fn groups(loaded: &Loaded, named: bool) -> Option<Section> {
    let tasks = loaded.evaluation.tasks.iter().filter(|task| !task.groups.is_empty());
    let blocks: Vec<Block> = tasks
        .map(|task| {
            let rows = task.groups.iter().map(|group| {
                let value = group.value.map_or(Cell::Missing, |value| measured(value, group.interval));
                vec![Cell::text(&group.group), Cell::Number(group.n as f64), value]
            });
            let table =
                Table { caption: String::new(), columns: columns(["part", "items", "score"]), rows: rows.collect() };
            let summary = format!("{}: {} parts", task.task, task.groups.len());
            Block::Folded { summary, blocks: vec![Block::Table(table)] }
        })
        .collect();
    let heading = if named { format!("Parts of tasks, {}", loaded.name) } else { "Parts of tasks".into() };
    (!blocks.is_empty()).then_some(Section { heading, blocks })
}

/// What was found of the items in the tuning data.
pub(super) fn contamination(loaded: &Loaded, named: bool) -> Option<Section> {
    let found = loaded.contamination.as_ref()?;
    let number = |count: usize| Cell::Number(count as f64);
    let rows = found.tasks.iter().map(|task| {
        let (test, train) = (task.test, task.train);
        let mut cells = vec![Cell::text(&task.task), Cell::text(task.label.name())];
        cells.extend([test.items, test.leaked, test.verbatim, test.near, test.unjudged, train.leaked].map(number));
        cells
    });
    let table = Table {
        caption: "Leaked: 13 words in a row, or a shorter item whole, stand in the tuning data.".into(),
        columns: columns(["task", "label", "items", "leaked", "verbatim", "8 words", "not judged", "train items used"]),
        rows: rows.collect(),
    };
    let mut blocks = vec![Block::Table(table)];
    for task in found.tasks.iter().filter(|task| !task.examples.is_empty()) {
        let lines = task.examples.iter().map(|example| {
            let percent = example.coverage * 100.0;
            format!(
                "{} ({percent:.0} % of it), {}:{}\n  {}",
                example.item, example.place.source, example.place.row, example.text
            )
        });
        let summary = format!("{}: {} leaks", task.task, task.examples.len());
        blocks.push(Block::Raw { summary, text: lines.collect::<Vec<_>>().join("\n\n") });
    }
    let heading = if named { format!("Tuning data, {}", loaded.name) } else { "Tuning data".into() };
    Some(Section { heading, blocks })
}
