//! Which worked examples stand before an item.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value as Json};

use super::definition::Choose;
use super::{Item, Resolved, Task};
use crate::random::{below, stream};

/// The exemplars of a run.
pub(super) struct Pool<'a> {
    /// Of each group, in the order in which they are taken; without groups, under `None`.
    by_group: BTreeMap<Option<&'a str>, Vec<&'a Item>>,
    given: Vec<&'a Map<String, Json>>,
    same_group: bool,
    count: usize,
    texts: &'a BTreeMap<String, String>,
}

impl<'a> Pool<'a> {
    /// `items` are those of the split that exemplars come from; `texts` the ready ones of each group.
    pub(super) fn new(
        task: &'a Task,
        items: &'a [Item],
        texts: &'a BTreeMap<String, String>,
        resolved: &Resolved,
    ) -> Self {
        let spec = &task.definition.few_shot;
        let mut by_group: BTreeMap<Option<&str>, Vec<&Item>> = BTreeMap::new();
        for item in items {
            let group = if spec.same_group { item.group.as_deref() } else { None };
            by_group.entry(group).or_default().push(item);
        }
        if spec.choose == Choose::Seeded {
            for (group, items) in &mut by_group {
                let label = format!("few-shot/{}/{}", task.name(), group.unwrap_or_default());
                shuffle(items, &mut stream(resolved.seed, &label));
            }
        }
        let given = spec.given.iter().take(resolved.few_shot).collect();
        let count = resolved.few_shot;
        Self { by_group, given, same_group: spec.same_group, count, texts }
    }

    /// The fields of the exemplars before an item, which never is among them.
    pub(super) fn before(&self, item: &Item) -> Vec<&Map<String, Json>> {
        if !self.given.is_empty() {
            return self.given.clone();
        }
        let group = if self.same_group { item.group.as_deref() } else { None };
        let candidates = self.by_group.get(&group).map_or(&[][..], Vec::as_slice);
        // A split of its own may number its rows as the evaluated one does, so that ids alone say nothing.
        let others = candidates.iter().filter(|other| other.id != item.id || other.fields != item.fields);
        others.take(self.count).map(|other| &other.fields).collect()
    }

    /// The ready exemplars of an item's group.
    pub(super) fn text(&self, item: &Item) -> Option<&str> {
        let group = item.group.as_deref().unwrap_or_default();
        self.texts.get(group).filter(|_| self.count > 0).map(String::as_str)
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], random: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(random, last + 1));
    }
}
