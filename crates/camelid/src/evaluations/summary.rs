//! A finished evaluation in a few lines.

use std::collections::BTreeMap;

use camelid_eval::extraction::rate::LOWEST_RATE;
use camelid_eval::results::{Evaluation, TaskResult};

use super::text_table;

/// Every score with its interval and its extraction rate, an axis after the other. There is no mean over tasks: they measure
/// different things in different units.
pub(crate) fn summary(evaluation: &Evaluation) -> String {
    let mut by_axis: BTreeMap<&str, Vec<&TaskResult>> = BTreeMap::new();
    for task in &evaluation.tasks {
        by_axis.entry(&task.axis).or_default().push(task);
    }
    let mut rows = vec![
        ["axis", "task", "metric", "score", "95 % interval", "items", "read", "errors", "seconds", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (axis, tasks) in by_axis {
        for (place, task) in tasks.into_iter().enumerate() {
            let percent = task.metric != "bits_per_byte";
            let number = |value: f64| if percent { format!("{:.1}", value * 100.0) } else { format!("{value:.4}") };
            let interval = task.interval.map(|[low, high]| format!("{}–{}", number(low), number(high)));
            rows.push(vec![
                if place == 0 { axis.to_owned() } else { String::new() },
                task.task.clone(),
                task.metric.clone(),
                task.value.map_or_else(|| "–".to_owned(), number),
                interval.unwrap_or_else(|| "–".to_owned()),
                task.n.to_string(),
                rate(task).map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0)),
                task.errors.to_string(),
                format!("{:.1}", task.seconds),
                if objection(task).is_some() { "void".to_owned() } else { String::new() },
            ]);
        }
    }
    text_table(&rows)
}

/// The share of answers that could be read, of those there are.
fn rate(task: &TaskResult) -> Option<f64> {
    let answered = task.n.saturating_sub(task.errors);
    (answered > 0).then(|| task.parsed as f64 / answered as f64)
}

/// Why scores may not be used.
pub(crate) fn objections(evaluation: &Evaluation) -> Vec<String> {
    evaluation.tasks.iter().filter_map(objection).collect()
}

fn objection(task: &TaskResult) -> Option<String> {
    let void = |what: String, fix: &str| Some(format!("{}: {what}\n  fix: {fix}", task.task));
    let Some(rate) = rate(task) else {
        return void(
            format!("none of {} items has an answer", task.n),
            "see `details.error` in its items; the same command asks again",
        );
    };
    if 10 * task.errors > task.n {
        return void(
            format!("{} of {} items have no answer", task.errors, task.n),
            "see `details.error` in its items; the same command asks for these again",
        );
    }
    if rate >= LOWEST_RATE {
        return None;
    }
    let unparsed = task.n - task.errors - task.parsed - task.truncated - task.empty;
    let bounds = task.bounds.map_or_else(String::new, |[low, high]| {
        format!("; the score lies between {:.1} and {:.1}", low * 100.0, high * 100.0)
    });
    void(
        format!(
            "{:.1} % of the answers can be read ({} cut off, {} empty, {unparsed} without an answer){bounds}",
            rate * 100.0,
            task.truncated,
            task.empty
        ),
        "allow more tokens where answers are cut off, give examples (--shots), or read the answers in its items",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation() -> Evaluation {
        Evaluation::from_json(
            "r",
            r#"{"model": {"name": "m", "identity": "i"}, "tasks": [
            {"task": "gsm8k", "version": "1", "axis": "reasoning", "metric": "exact_match", "n": 10, "value": 0.5,
             "interval": [0.2, 0.8], "parsed": 8, "truncated": 1, "empty": 0, "errors": 0, "bounds": [0.5, 0.7], "seconds": 2},
            {"task": "arc-easy", "version": "1", "axis": "english-knowledge", "metric": "acc_norm", "n": 4, "value": 0.75,
             "interval": [0.3, 0.95], "parsed": 4, "truncated": 0, "empty": 0, "errors": 0, "seconds": 1.25}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn each_score_stands_beside_its_interval_and_rate() {
        let lines: Vec<String> = summary(&evaluation()).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].starts_with("english-knowledge  arc-easy")
                && lines[1].contains("75.0 ")
                && lines[1].contains(" 30.0–95.0 "),
            "{}",
            lines[1]
        );
        assert!(lines[2].contains("80.0 %") && lines[2].ends_with("void"), "{}", lines[2]);
    }

    #[test]
    fn a_score_below_ninety_percent_is_void() {
        let objections = objections(&evaluation());
        assert_eq!(objections.len(), 1);
        assert!(objections[0].starts_with(
            "gsm8k: 80.0 % of the answers can be read (1 cut off, 0 empty, 1 without an answer); the score lies between 50.0 and 70.0"
        ));
    }
}
