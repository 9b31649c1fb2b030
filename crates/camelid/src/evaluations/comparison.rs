//! Evaluations against the first of them, on the items that both have.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::bail;
use camelid_eval::comparison::{CONFIDENCE, Difference, Joined, join};
use camelid_eval::results::Extraction;
use camelid_eval::statistics::Interval;
use camelid_eval::statistics::mean::{Mean, macro_average};
use camelid_eval::statistics::multiplicity::holm;
use camelid_eval::statistics::power::Design;
use serde_json::{Value as Json, json};

use super::{Loaded, text_table};

/// The difference that needed items are for where nobody says another.
pub(crate) const EFFECT: f64 = 0.02;

/// All tasks of all comparisons.
pub(crate) struct Comparison<'l> {
    pub(crate) before: &'l Loaded,
    pub(crate) after: &'l [Loaded],
    /// By axis, then task, then evaluation.
    pub(crate) rows: Vec<Row>,
    /// Mean differences of the tasks of an axis, where it has several.
    pub(crate) axes: Vec<AxisRow>,
    /// What readers must know: other options, tasks that only one side has.
    pub(crate) notes: Vec<String>,
    design: Design,
    effect: f64,
}

/// One task of one comparison.
pub(crate) struct Row {
    pub(crate) axis: String,
    pub(crate) task: String,
    pub(crate) metric: String,
    /// Which evaluation, of those after the first.
    pub(crate) side: usize,
    /// None where the two have no item in common.
    pub(crate) difference: Option<Difference>,
    /// The p-value after Holm, over all rows.
    pub(crate) adjusted: Option<f64>,
    pub(crate) detectable: Option<f64>,
    pub(crate) needed: Option<usize>,
    pub(crate) only_before: usize,
    pub(crate) only_after: usize,
    pub(crate) unscored: usize,
    pub(crate) changed: usize,
    pub(crate) extraction: [Extraction; 2],
    pub(crate) contamination: [Option<&'static str>; 2],
}

/// The unweighted mean over an axis's tasks.
pub(crate) struct AxisRow {
    pub(crate) axis: String,
    pub(crate) side: usize,
    pub(crate) tasks: usize,
    pub(crate) mean: Mean,
}

impl<'l> Comparison<'l> {
    /// `effect` is the difference that the needed items are for.
    pub(crate) fn of(before: &'l Loaded, after: &'l [Loaded], effect: f64) -> anyhow::Result<Self> {
        let design = Design::default();
        let mut rows = Vec::new();
        let mut notes = Vec::new();
        for (side, other) in after.iter().enumerate() {
            notes.extend(notes_on(before, other));
            for task in &before.evaluation.tasks {
                let Some(same) = other.evaluation.task(&task.task) else { continue };
                if same.version != task.version {
                    bail!(
                        "{}: `{}` is version {} there, {} in {}\n  fix: evaluate both with the same version of the task",
                        other.name,
                        task.task,
                        same.version,
                        task.version,
                        before.name
                    );
                }
                let (first, second) = (before.items(&task.task), other.items(&task.task));
                let joined = join(first, second);
                let difference = Difference::of(&joined.scores());
                let Joined { only_before, only_after, unscored, changed, .. } = joined;
                rows.push(Row {
                    axis: task.axis.clone(),
                    task: task.task.clone(),
                    metric: task.metric.clone(),
                    side,
                    adjusted: None,
                    detectable: difference.as_ref().and_then(|found| found.minimum_detectable_effect(design)),
                    needed: difference.as_ref().and_then(|found| found.needed_count(design, effect)),
                    difference,
                    only_before,
                    only_after,
                    unscored,
                    changed,
                    extraction: [Extraction::of(first), Extraction::of(second)],
                    contamination: [before.label(&task.task), other.label(&task.task)],
                });
            }
        }
        if rows.iter().all(|row| row.difference.is_none()) {
            bail!(
                "{} has no item in common with what it is compared with\n  fix: evaluate the same tasks on both sides",
                before.name
            );
        }
        rows.sort_by(|a, b| (&a.axis, &a.task, a.side).cmp(&(&b.axis, &b.task, b.side)));
        adjust(&mut rows);
        let axes = axes(&rows);
        Ok(Self { before, after, rows, axes, notes, design, effect })
    }

    pub(crate) fn side(&self, side: usize) -> &str {
        self.after.get(side).map_or("", |loaded| loaded.name.as_str())
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("before: {} ({})\n", self.before.name, self.before.evaluation.model.name);
        for other in self.after {
            let _ = writeln!(text, "after:  {} ({})", other.name, other.evaluation.model.name);
        }
        for (side, other) in self.after.iter().enumerate() {
            let heading = [
                "task",
                "axis",
                "items",
                "before",
                "after",
                "difference",
                "95 %",
                "p",
                "Holm",
                "test",
                "detects",
                "needs",
            ];
            let mut table = vec![heading.map(str::to_owned).to_vec()];
            for row in self.rows.iter().filter(|row| row.side == side) {
                table.push(row.cells());
            }
            for axis in self.axes.iter().filter(|axis| axis.side == side) {
                let interval = axis.mean.interval(CONFIDENCE).map(interval_words).unwrap_or_default();
                let mut cells = vec![format!("mean of {}", axis.tasks), axis.axis.clone()];
                cells.extend([String::new(), String::new(), String::new(), signed(axis.mean.value), interval]);
                table.push(cells);
            }
            text += "\n";
            if self.after.len() > 1 {
                let _ = writeln!(text, "{}", other.name);
            }
            text += &text_table(&table);
        }
        let _ = write!(
            text,
            "\nDifferences are after less before on the same items; p after Holm holds for all {} tests together. \
             A comparison of so many items detects the stated difference in {} % of cases; so many would be needed for {}.\n",
            self.rows.iter().filter(|row| row.adjusted.is_some()).count(),
            (self.design.power * 100.0).round(),
            self.effect
        );
        for note in self.notes.iter().cloned().chain(self.rows.iter().flat_map(Row::notes)) {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    pub(crate) fn to_json(&self) -> Json {
        let rows: Vec<Json> = self.rows.iter().map(|row| row.to_json(self.side(row.side))).collect();
        let axes: Vec<Json> = self
            .axes
            .iter()
            .map(|axis| {
                let interval = axis.mean.interval(CONFIDENCE).map(|interval| [interval.low, interval.high]);
                json!({"axis": axis.axis, "after": self.side(axis.side), "tasks": axis.tasks, "difference": axis.mean.value, "interval": interval})
            })
            .collect();
        json!({
            "before": self.before.name, "confidence": CONFIDENCE, "power": self.design.power, "effect": self.effect,
            "tasks": rows, "axes": axes,
            "notes": self.notes.iter().cloned().chain(self.rows.iter().flat_map(Row::notes)).collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.task.clone(), self.axis.clone()];
        let Some(found) = &self.difference else {
            cells.push("0".into());
            return cells;
        };
        let items = match found.groups {
            Some(groups) => format!("{} in {groups}", found.count),
            None => found.count.to_string(),
        };
        let p = |p: Option<f64>| p.map_or_else(|| "–".to_owned(), |p| format!("{p:.3}"));
        cells.extend([
            items,
            format!("{:.3}", found.before),
            format!("{:.3}", found.after),
            signed(found.value),
            found.interval.map_or_else(|| "–".to_owned(), interval_words),
            p(found.p_value),
            p(self.adjusted),
            found.test.name().to_owned(),
            self.detectable.map_or_else(|| "–".to_owned(), |effect| format!("{effect:.3}")),
            self.needed.map_or_else(|| "–".to_owned(), |needed| needed.to_string()),
        ]);
        cells
    }

    /// What cannot be seen from the figures.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let counts = [
            (self.only_before, "only before"),
            (self.only_after, "only after"),
            (self.unscored, "without a score on one side"),
            (self.changed, "whose expected answer changed"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            notes.push(format!("{}: {count} items {what} are not compared", self.task));
        }
        for (when, counts) in ["before", "after"].into_iter().zip(self.extraction) {
            if let Some(rate) = counts.rate().filter(|rate| *rate < camelid_eval::extraction::rate::LOWEST_RATE) {
                notes.push(format!(
                    "{} {when}: {:.1} % of the answers can be read; the score is about the extractor",
                    self.task,
                    rate * 100.0
                ));
            }
        }
        for (when, label) in ["before", "after"].into_iter().zip(self.contamination) {
            notes.extend(label.filter(|label| *label != "clean").map(|label| format!("{} {when}: {label}", self.task)));
        }
        notes
    }

    fn to_json(&self, after: &str) -> Json {
        let mut row = json!({
            "task": self.task, "axis": self.axis, "metric": self.metric, "after_directory": after,
            "only_before": self.only_before, "only_after": self.only_after, "unscored": self.unscored, "changed": self.changed,
            "extraction": {"before": self.extraction[0], "after": self.extraction[1]},
            "contamination": {"before": self.contamination[0], "after": self.contamination[1]},
        });
        if let Some(fields) = row.as_object_mut() {
            fields.extend(difference_json(self.difference.as_ref()));
            fields.insert("p_holm".into(), json!(self.adjusted));
            fields.insert("minimum_detectable_effect".into(), json!(self.detectable));
            fields.insert("needed".into(), json!(self.needed));
        }
        row
    }
}

/// The figures of a difference; no items if there is none.
pub(super) fn difference_json(difference: Option<&Difference>) -> serde_json::Map<String, Json> {
    let fields = match difference {
        None => json!({"n": 0}),
        Some(found) => json!({
            "n": found.count, "groups": found.groups, "design_effect": found.clustering.design_effect,
            "before": found.before, "after": found.after, "difference": found.value,
            "interval": found.interval.map(|interval| [interval.low, interval.high]),
            "p": found.p_value, "test": found.test,
            "only_after_right": found.answers.map(|pairs| pairs.only_first),
            "only_before_right": found.answers.map(|pairs| pairs.only_second),
        }),
    };
    fields.as_object().cloned().unwrap_or_default()
}

fn adjust(rows: &mut [Row]) {
    let tested: Vec<(usize, f64)> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((index, row.difference.as_ref()?.p_value?))).collect();
    let adjusted = holm(&tested.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    for ((index, _), adjusted) in tested.into_iter().zip(adjusted) {
        rows[index].adjusted = Some(adjusted);
    }
}

fn axes(rows: &[Row]) -> Vec<AxisRow> {
    let mut groups: BTreeMap<(String, usize), Vec<Mean>> = BTreeMap::new();
    for row in rows {
        if let Some(mean) = row.difference.as_ref().and_then(|found| found.mean) {
            groups.entry((row.axis.clone(), row.side)).or_default().push(mean);
        }
    }
    let several = groups.into_iter().filter(|(_, means)| means.len() > 1);
    several
        .filter_map(|((axis, side), means)| {
            Some(AxisRow { axis, side, tasks: means.len(), mean: macro_average(&means)? })
        })
        .collect()
}

/// How two evaluations differ besides their scores.
pub(super) fn notes_on(before: &Loaded, after: &Loaded) -> Vec<String> {
    let mut notes = Vec::new();
    let tasks = |one: &Loaded, other: &Loaded| -> Vec<String> {
        let missing = one.evaluation.tasks.iter().filter(|task| other.evaluation.task(&task.task).is_none());
        missing.map(|task| task.task.clone()).collect()
    };
    for (have, lack) in [(before, after), (after, before)] {
        let missing = tasks(have, lack);
        if !missing.is_empty() {
            notes.push(format!("only {} has {}", have.name, missing.join(", ")));
        }
    }
    let (first, second) = (&before.evaluation, &after.evaluation);
    let mut options: Vec<&String> = first.options.keys().chain(second.options.keys()).collect();
    options.sort_unstable();
    options.dedup();
    for option in options {
        let [one, other] = [first, second].map(|side| side.options.get(option).unwrap_or(&Json::Null));
        if one != other {
            notes.push(format!("{option} is {one} before and {other} after ({})", after.name));
        }
    }
    if first.template != second.template {
        notes.push(format!("the chat templates differ ({})", after.name));
    }
    notes
}

pub(super) fn signed(value: f64) -> String {
    format!("{value:+.3}")
}

pub(super) fn interval_words(interval: Interval) -> String {
    format!("{:+.3} to {:+.3}", interval.low, interval.high)
}
