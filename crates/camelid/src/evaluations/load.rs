use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use camelid_eval::results::{Evaluation, Item, parse_items};

use super::contamination::{Contamination, FILE as CONTAMINATION_FILE};

const RESULTS: &str = "results.json";

/// An evaluation with all its items.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// As pages and tables call it: the directory.
    pub(crate) name: String,
    pub(crate) evaluation: Evaluation,
    /// By task.
    pub(crate) items: BTreeMap<String, Vec<Item>>,
    /// What `camelid contamination` wrote beside it.
    pub(crate) contamination: Option<Contamination>,
}

impl Loaded {
    pub(crate) fn items(&self, task: &str) -> &[Item] {
        self.items.get(task).map_or(&[], Vec::as_slice)
    }

    /// What is known of a task's contamination.
    pub(crate) fn label(&self, task: &str) -> Option<&'static str> {
        self.contamination.as_ref()?.task(task).map(|found| found.label.name())
    }

    /// Leaves out items that were found in the tuning data.
    pub(crate) fn without(&mut self, leaked: &Contamination) {
        for (task, items) in &mut self.items {
            if let Some(found) = leaked.task(task) {
                items.retain(|item| !found.leaked.contains(&item.item));
            }
        }
    }
}

/// Whether the directory is that of an evaluation.
pub(crate) fn is_evaluation(directory: &Path) -> bool {
    directory.join(RESULTS).is_file()
}

/// The tasks of an evaluation, without reading its items; nothing where its results cannot be read, which [`load`] says why.
pub(crate) fn evaluated_tasks(directory: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(directory.join(RESULTS)).ok()?;
    let evaluation = Evaluation::from_json(RESULTS, &text).ok()?;
    Some(evaluation.tasks.into_iter().map(|task| task.task).collect())
}

/// Reads a directory that `camelid evaluate` wrote.
pub(crate) fn load(directory: &Path) -> anyhow::Result<Loaded> {
    let path = directory.join(RESULTS);
    if !path.is_file() {
        bail!("{}: there is no {RESULTS}\n  fix: name a directory that camelid evaluate wrote", directory.display());
    }
    let evaluation = Evaluation::from_json(&path.display().to_string(), &read(&path)?)?;
    let mut items = BTreeMap::new();
    for task in &evaluation.tasks {
        let path = directory.join("items").join(format!("{}.jsonl", task.task));
        let read = parse_items(&path.display().to_string(), &task.task, &read(&path)?)?;
        let said = task.n.saturating_add(task.errors);
        if read.len() != said {
            bail!(
                "{}: holds {} items, {RESULTS} says {said}\n  fix: run the evaluation again; the same command goes on where it stopped",
                path.display(),
                read.len(),
            );
        }
        items.insert(task.task.clone(), read);
    }
    let contamination = Contamination::beside(&directory.join(CONTAMINATION_FILE))?;
    let name = directory.display().to_string();
    Ok(Loaded { name, evaluation, items, contamination })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| {
        format!("{} cannot be read\n  fix: name a directory that camelid evaluate wrote, whole", path.display())
    })
}
