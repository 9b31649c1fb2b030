//! Evaluations as the harness leaves them, with scores that a test plants.

use serde_json::{Value as Json, json};

use super::Workshop;

/// One task of an evaluation.
pub(crate) struct Planted {
    pub(crate) task: &'static str,
    pub(crate) axis: &'static str,
    /// Of each item in turn; none where the engine failed.
    pub(crate) scores: Vec<Option<f64>>,
    /// So many answers from the first cannot be read; they keep their scores.
    pub(crate) unread: usize,
}

impl Planted {
    pub(crate) fn new(task: &'static str, axis: &'static str, scores: impl IntoIterator<Item = bool>) -> Self {
        let scores = scores.into_iter().map(|right| Some(f64::from(u8::from(right)))).collect();
        Self { task, axis, scores, unread: 0 }
    }

    /// The question of an item: words that no other has.
    pub(crate) fn question(&self, index: usize) -> String {
        let words: Vec<String> = (0..18).map(|word| format!("{}{index}x{word}", self.task)).collect();
        format!("Say what comes of {} at last.", words.join(" "))
    }

    fn item(&self, index: usize) -> Json {
        let score = self.scores[index];
        let is_read = index >= self.unread;
        let (status, rung) = match score {
            None => ("error", Json::Null),
            Some(_) if is_read => ("ok", json!("strict")),
            Some(_) => ("truncated", Json::Null),
        };
        json!({
            "task": self.task, "item": format!("{}-{index}", self.task), "cluster": null, "prompt": self.question(index),
            "answer": format!("I <b>think</b> it is {index} & no more."), "reference": index.to_string(),
            "extracted": if is_read { json!(index.to_string()) } else { Json::Null }, "rung": rung, "score": score,
            "status": status, "details": {"normalised": index.to_string()},
        })
    }
}

/// Writes the directory `name`.
pub(crate) fn write_evaluation(workshop: &Workshop, name: &str, model: &str, tasks: &[Planted]) {
    std::fs::create_dir_all(workshop.path(name).join("items")).unwrap();
    let mut results = Vec::new();
    for task in tasks {
        let items: Vec<Json> = (0..task.scores.len()).map(|index| task.item(index)).collect();
        let lines: String = items.iter().map(|item| item.to_string() + "\n").collect();
        workshop.write(&format!("{name}/items/{}.jsonl", task.task), lines);
        let scored: Vec<f64> = task.scores.iter().flatten().copied().collect();
        let value = scored.iter().sum::<f64>() / scored.len() as f64;
        results.push(json!({
            "task": task.task, "version": 1, "axis": task.axis, "metric": "accuracy", "n": scored.len(), "value": value,
            "interval": [value - 0.03, value + 0.03], "parsed": scored.len() - task.unread, "truncated": task.unread,
            "empty": 0, "errors": task.scores.len() - scored.len(), "bounds": [value, value], "seconds": 2.5,
            "groups": [{"group": "all", "n": scored.len(), "value": value}],
            "secondary": [{"metric": "by the strict rung", "value": value, "interval": null}],
        }));
    }
    let results = json!({
        "model": {"name": model, "identity": format!("hash of {model}")}, "template": "0123", "options": {"shots": 0},
        "tasks": results,
    });
    workshop.write(&format!("{name}/results.json"), format!("{results:#}"));
}

/// Right or wrong, before and after: the first `lost` of the right ones become wrong, the first `won` of the wrong ones right.
pub(crate) fn changed(count: usize, right: usize, lost: usize, won: usize) -> [Vec<bool>; 2] {
    let before: Vec<bool> = (0..count).map(|index| index < right).collect();
    let after = (0..count).map(|index| if index < right { index >= lost } else { index < right + won }).collect();
    [before, after]
}
