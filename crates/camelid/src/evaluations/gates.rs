//! Gates on abilities: which may lose how much, and whether they lost less.

use anyhow::bail;
use camelid_eval::comparison::gate::{GateDesign, Outcome, gate};
use camelid_eval::comparison::join;
use camelid_eval::results::Extraction;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

use super::comparison::{difference_json, interval_words, notes_on, signed};
use super::{Loaded, text_table};

/// Exit code of a gate that does not pass, so that scripts can tell it from one that could not be held.
pub(crate) const NOT_PASSED: u8 = 3;

/// Which task may lose how much.
pub(crate) type Margins = Vec<(String, f64)>;

/// Reads `mmlu=0.02,gsm8k=0.03`.
pub(crate) fn read_margins(text: &str) -> Result<Margins, String> {
    let mut margins = Margins::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((task, margin)) = part.split_once('=') else {
            return Err(format!("`{part}` has no margin; write TASK=MARGIN, such as gsm8k=0.03"));
        };
        let (task, margin) = (task.trim(), margin.trim());
        let margin: f64 = margin.parse().map_err(|_| format!("the margin of {task} is `{margin}`, not a number"))?;
        check_margin(margin).map_err(|fault| format!("the margin of {task} {fault}"))?;
        if margins.iter().any(|(known, _)| known == task) {
            return Err(format!("{task} has two margins"));
        }
        margins.push((task.to_owned(), margin));
    }
    if margins.is_empty() { Err("no task is named; write TASK=MARGIN, such as gsm8k=0.03".into()) } else { Ok(margins) }
}

/// Reads `0.02`.
pub(crate) fn read_margin(text: &str) -> Result<f64, String> {
    let margin = text.trim().parse().map_err(|_| "it is not a number; 2 points are 0.02".to_owned())?;
    check_margin(margin).map_err(|fault| format!("it {fault}"))?;
    Ok(margin)
}

/// What is wrong with a margin, as the end of a sentence about it.
pub(crate) fn check_margin(margin: f64) -> Result<(), String> {
    if margin > 0.0 && margin < 1.0 {
        return Ok(());
    }
    let hint = if margin >= 1.0 { "; 2 points are 0.02" } else { "" };
    Err(format!("is {margin}; it must lie between 0 and 1{hint}"))
}

/// All abilities of a gate.
pub(crate) struct Gates {
    pub(crate) rows: Vec<GateRow>,
    pub(crate) design: GateDesign,
    pub(crate) names: [String; 2],
    /// What readers must know: other options, tasks that only one side has.
    pub(crate) notes: Vec<String>,
}

/// One of them.
pub(crate) struct GateRow {
    pub(crate) task: String,
    pub(crate) outcome: Outcome,
    pub(crate) contamination: [Option<&'static str>; 2],
}

impl Gates {
    /// `margin` is for the tasks of `before` that `keep` does not name; `alpha` is how often a loss of the margin may pass, `power`
    /// what the needed items are for.
    pub(crate) fn of(
        before: &Loaded,
        after: &Loaded,
        keep: &[(String, f64)],
        margin: Option<f64>,
        alpha: f64,
        power: f64,
    ) -> anyhow::Result<Self> {
        let mut margins = keep.to_vec();
        for task in before.evaluation.tasks.iter().filter(|task| keep.iter().all(|(named, _)| *named != task.task)) {
            margins.extend(margin.map(|margin| (task.task.clone(), margin)));
        }
        if margins.is_empty() {
            bail!("{}: there is no task to keep\n  fix: evaluate some tasks first", before.name);
        }
        let mut rows = Vec::new();
        for (task, margin) in &margins {
            for side in [before, after] {
                if side.evaluation.task(task).is_none() {
                    let known: Vec<&str> = side.evaluation.tasks.iter().map(|task| task.task.as_str()).collect();
                    bail!(
                        "{}: `{task}` shall be kept but was not evaluated\n  fix: evaluate it, or name one of {}",
                        side.name,
                        known.join(", ")
                    );
                }
            }
            let versions = [before, after].map(|side| side.evaluation.task(task).map(|task| &task.version));
            if versions[0] != versions[1] {
                bail!(
                    "`{task}` has other versions before and after\n  fix: evaluate both with the same version of the task"
                );
            }
            let sides = [before.items(task), after.items(task)];
            let design = GateDesign { margin: *margin, alpha, power };
            let Some(outcome) = gate(&join(sides[0], sides[1]), sides, design) else {
                bail!(
                    "`{task}`: {} and {} have no scored item in common\n  fix: evaluate the same items on both sides",
                    before.name,
                    after.name
                );
            };
            let contamination = [before.label(task), after.label(task)];
            rows.push(GateRow { task: task.clone(), outcome, contamination });
        }
        let design = GateDesign { margin: 0.0, alpha, power };
        let notes = notes_on(before, after);
        Ok(Self { rows, design, names: [before.name.clone(), after.name.clone()], notes })
    }

    pub(crate) fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.outcome.passed())
    }

    /// The verdict in a sentence.
    pub(crate) fn sentence(&self) -> String {
        if self.passed() {
            return format!("passed: all {} abilities are kept", self.rows.len());
        }
        let failed = self.rows.iter().filter(|row| !row.outcome.passed());
        let words: Vec<String> = failed.map(|row| format!("{} {}", row.task, row.words())).collect();
        format!("not passed: {}", words.join(", "))
    }

    pub(crate) fn to_text(&self) -> String {
        let heading = [
            "task",
            "items",
            "before",
            "after",
            "difference",
            "loss at most",
            "margin",
            "p",
            "read",
            "data",
            "verdict",
        ];
        let mut table = vec![heading.map(str::to_owned).to_vec()];
        table.extend(self.rows.iter().map(GateRow::cells));
        let mut text = format!("before: {}\nafter:  {}\n\n", self.names[0], self.names[1]);
        text += &text_table(&table);
        let percent = self.design.alpha * 100.0;
        let _ = write!(
            text,
            "\nKept: the loss is shown to be below the margin, one-sided at {percent} %; losses are bounded at the same level.\n"
        );
        for row in &self.rows {
            for objection in &row.outcome.objections {
                let _ = writeln!(text, "objection: {}, {objection}", row.task);
            }
            if let Some(needed) = row.outcome.needed {
                let power = self.design.power * 100.0;
                let _ = writeln!(
                    text,
                    "{}: {} items are too few; with {needed}, {power} % of gates would pass had nothing been lost",
                    row.task, row.outcome.difference.count
                );
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text + &self.sentence() + "\n"
    }

    /// What failed, a line a task: the difference, its interval and the margin.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.rows.iter().filter(|row| !row.outcome.passed()).map(GateRow::failure).collect()
    }

    pub(crate) fn to_json(&self) -> Json {
        let rows: Vec<Json> = self.rows.iter().map(GateRow::to_json).collect();
        json!({
            "passed": self.passed(), "sentence": self.sentence(), "before": self.names[0], "after": self.names[1], "alpha": self.design.alpha,
            "power": self.design.power, "notes": self.notes, "tasks": rows,
        })
    }
}

impl GateRow {
    /// The verdict, and where it alone does not decide, what does.
    pub(crate) fn words(&self) -> String {
        let verdict = self.outcome.word().name();
        if self.outcome.objections.is_empty() { verdict.to_owned() } else { format!("{verdict}, with objections") }
    }

    /// Task, difference, interval, margin, and what is to be made of them.
    fn failure(&self) -> String {
        let Outcome { margin, difference, needed, objections, .. } = &self.outcome;
        let interval = difference
            .interval
            .map_or_else(|| "without an interval".to_owned(), |interval| format!("95 % {}", interval_words(interval)));
        let mut text = format!(
            "{}: {:.3} → {:.3}, difference {} ({interval}, {} items), margin {margin}: {}",
            self.task,
            difference.before,
            difference.after,
            signed(difference.value),
            difference.count,
            self.outcome.word().name()
        );
        text += &needed.map_or_else(String::new, |needed| format!("; {needed} items would tell"));
        for objection in objections {
            let _ = write!(text, "; {objection}");
        }
        text
    }

    /// What is known of contamination on either side.
    pub(crate) fn data_words(&self) -> &'static str {
        // That of the tuned model is what matters; before tuning there was less data.
        self.contamination[1].or(self.contamination[0]).unwrap_or("not checked")
    }

    fn cells(&self) -> Vec<String> {
        let Outcome { margin, difference, test, largest_loss, extraction, .. } = &self.outcome;
        let rate =
            |counts: &Extraction| counts.rate().map_or_else(|| "–".to_owned(), |rate| format!("{:.1}", rate * 100.0));
        vec![
            self.task.clone(),
            difference.count.to_string(),
            format!("{:.3}", difference.before),
            format!("{:.3}", difference.after),
            signed(difference.value),
            largest_loss.map_or_else(|| "–".to_owned(), |loss| format!("{loss:.3}")),
            margin.to_string(),
            format!("{:.4}", test.p_value),
            format!("{} → {} %", rate(&extraction[0]), rate(&extraction[1])),
            self.data_words().to_owned(),
            self.words(),
        ]
    }

    fn to_json(&self) -> Json {
        let Outcome { margin, difference, test, largest_loss, needed, extraction, objections } = &self.outcome;
        let mut row = json!({
            "task": self.task, "verdict": self.outcome.word(), "passed": self.outcome.passed(), "margin": margin,
            "p_loss_of_margin": test.p_value, "largest_loss": largest_loss, "needed": needed,
            "extraction": {"before": extraction[0], "after": extraction[1]}, "objections": objections,
            "contamination": {"before": self.contamination[0], "after": self.contamination[1]},
        });
        if let Some(fields) = row.as_object_mut() {
            fields.extend(difference_json(Some(difference)));
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_read() {
        assert_eq!(read_margins("mmlu=0.02, gsm8k = 0.03").unwrap(), [("mmlu".into(), 0.02), ("gsm8k".into(), 0.03)]);
        for (text, expected) in [
            ("mmlu", "has no margin"),
            ("mmlu=2", "between 0 and 1; 2 points are 0.02"),
            ("mmlu=-0.1", "between 0 and 1"),
            ("mmlu=x", "`x`, not a number"),
            ("a=0.1,a=0.2", "two margins"),
            (" , ", "no task is named"),
        ] {
            assert!(read_margins(text).unwrap_err().contains(expected), "{text}");
        }
        assert_eq!(read_margin(" 0.02"), Ok(0.02));
        for (text, expected) in
            [("2", "2 points are 0.02"), ("0", "between 0 and 1"), ("NaN", "between"), ("", "number")]
        {
            assert!(read_margin(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
