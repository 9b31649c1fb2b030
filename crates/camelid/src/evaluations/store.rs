//! The directory of an evaluation that is being made.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use camelid_eval::results::{Evaluation, Item, TaskResult};
use camelid_generate::client::ResponseCache;
use serde_json::json;

const RESULTS: &str = "results.json";
const REPLIES: &str = "replies.jsonl";

/// Holds what is done; each task is there whole or not at all.
pub(crate) struct Store {
    directory: PathBuf,
    pub(crate) evaluation: Evaluation,
    pub(crate) replies: ResponseCache,
}

impl Store {
    /// Opens the directory, which may hold other tasks of the same model under the same options. `head` has no tasks.
    pub(crate) fn open(directory: &Path, head: Evaluation, restart: bool) -> anyhow::Result<Self> {
        for part in ["items", "answers"] {
            let path = directory.join(part);
            std::fs::create_dir_all(&path)
                .with_context(|| format!("{} cannot be made\n  fix: name another --out", path.display()))?;
        }
        if restart {
            for name in [RESULTS, REPLIES] {
                match std::fs::remove_file(directory.join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error)
                            .with_context(|| format!("{} cannot be removed", directory.join(name).display()));
                    }
                    _ => {}
                }
            }
        }
        let replies = ResponseCache::open(&directory.join(REPLIES))?;
        let mut evaluation = head;
        let path = directory.join(RESULTS);
        if let Ok(text) = std::fs::read_to_string(&path) {
            let earlier = Evaluation::from_json(&path.display().to_string(), &text)?;
            let differs = if earlier.model.identity != evaluation.model.identity {
                Some(format!("another model ({})", earlier.model.name))
            } else if earlier.options != evaluation.options {
                Some("the same model under other options".to_owned())
            } else {
                None
            };
            if let Some(what) = differs {
                bail!(
                    "{}: holds results of {what}\n  fix: name another --out, or add --restart to throw them away",
                    directory.display()
                );
            }
            evaluation.tasks = earlier.tasks;
        }
        Ok(Self { directory: directory.to_owned(), evaluation, replies })
    }

    /// Writes a task's items and then its figures.
    pub(crate) fn add(&mut self, result: TaskResult, items: &[Item]) -> anyhow::Result<()> {
        let mut lines = String::new();
        for item in items {
            lines += &serde_json::to_string(item)?;
            lines.push('\n');
        }
        self.write(&format!("items/{}.jsonl", result.task), &lines)?;
        self.evaluation.tasks.retain(|task| task.task != result.task);
        self.evaluation.tasks.push(result);
        self.write(RESULTS, &self.evaluation.to_json())
    }

    /// Writes answers that a judge is to score.
    pub(crate) fn add_answers(&self, task: &str, items: &[Item]) -> anyhow::Result<PathBuf> {
        let mut lines = String::new();
        for item in items {
            let mut answers = item.details["earlier_answers"].as_array().cloned().unwrap_or_default();
            answers.push(item.answer.as_str().into());
            let line = json!({
                "task": task,
                "item": item.item,
                "group": item.details["group"],
                "prompt": item.prompt,
                "answers": answers,
                "reference": item.reference,
                "status": item.status,
            });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let name = format!("answers/{task}.jsonl");
        self.write(&name, &lines)?;
        Ok(self.directory.join(name))
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.directory.join(name);
        let new = path.with_extension("new");
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path));
        written.with_context(|| {
            format!("{} cannot be written\n  fix: make room, and run the same command again", path.display())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(identity: &str) -> Evaluation {
        let text =
            format!(r#"{{"model": {{"name": "m", "identity": "{identity}"}}, "options": {{"seed": 0}}, "tasks": []}}"#);
        Evaluation::from_json("head", &text).unwrap()
    }

    fn result(task: &str) -> TaskResult {
        let text = format!(
            r#"{{"task": "{task}", "version": "1", "axis": "a", "metric": "acc", "n": 0, "value": null, "parsed": 0,
             "truncated": 0, "empty": 0, "errors": 0}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn tasks_of_one_model_gather_and_those_of_another_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), head("a"), false).unwrap();
        store.add(result("one"), &[]).unwrap();
        drop(store);
        let mut store = Store::open(folder.path(), head("a"), false).unwrap();
        store.add(result("two"), &[]).unwrap();
        store.add(result("one"), &[]).unwrap();
        let names: Vec<_> = store.evaluation.tasks.iter().map(|task| task.task.as_str()).collect();
        assert_eq!(names, ["two", "one"]);
        drop(store);
        let error = Store::open(folder.path(), head("b"), false).err().unwrap().to_string();
        assert!(error.contains("another model (m)") && error.contains("\n  fix: "), "{error}");
        assert!(Store::open(folder.path(), head("b"), true).unwrap().evaluation.tasks.is_empty());
    }
}
