//! Tasks from rows to figures, without a model.

mod prompts;
mod scores;

use std::collections::BTreeMap;

use camelid_eval::task::{Asked, Exemplars, Item, Options, Resolved, Row, Task, builtin};
use serde_json::Value as Json;

/// A task of the program with rows that were written for this test.
struct Written {
    task: Task,
    items: Vec<Item>,
    pool: Vec<Item>,
    texts: BTreeMap<String, String>,
}

impl Written {
    fn of(name: &str) -> Self {
        let rows: Json = serde_json::from_str(include_str!("rows.json")).unwrap();
        let task = builtin(name).unwrap().unwrap();
        if task.definition.retrieval.is_some() {
            let items = task.made_up(0).into_iter().take(2).collect();
            return Self { task, items, pool: Vec::new(), texts: BTreeMap::new() };
        }
        let rows = &rows[name];
        let source = &task.definition.sources[rows["source"].as_u64().unwrap() as usize];
        let read = |split: &str| {
            let rows = rows[split].as_array().cloned().unwrap_or_default();
            let rows = rows.into_iter().enumerate().map(|(number, row)| Row {
                place: format!("rows.json, {name}, row {}", number + 1),
                fields: row.as_object().cloned().unwrap(),
            });
            task.items(source, split, rows.collect()).unwrap()
        };
        let items = read(&source.evaluate);
        assert!(!items.is_empty(), "{name} has no rows");
        let pool = task.definition.few_shot.split.as_deref().map(read).unwrap_or_default();
        let text = rows["text"].as_str().map(|text| task.ready_exemplars(text).unwrap());
        let texts = items.iter().filter_map(|item| Some((item.group.clone()?, text.clone()?))).collect();
        Self { task, items, pool, texts }
    }

    fn resolved(&self, chat: bool) -> Resolved {
        let mut resolved = self.task.resolve(&Options::default(), true).unwrap();
        resolved.chat = chat;
        resolved.exemplars = Exemplars::Turns;
        resolved
    }

    fn asked(&self, chat: bool) -> Asked<'_> {
        Asked {
            task: &self.task,
            items: &self.items,
            pool: &self.pool,
            texts: &self.texts,
            resolved: self.resolved(chat),
        }
    }
}
