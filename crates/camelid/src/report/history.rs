//! What was measured: `metrics.jsonl` as columns.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value as Json};

/// The objects of a `.jsonl` file; none if there is no such file. A run that was killed may have left a last line cut in two, which
/// is skipped, as is anything else that is no object.
pub(crate) fn read_lines(path: &Path) -> Vec<Map<String, Json>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Measurements by name, each over the steps at which it was made.
#[derive(Debug, Default)]
pub(crate) struct History {
    columns: BTreeMap<String, Vec<(f64, f64)>>,
}

impl History {
    pub(crate) fn of(lines: &[Map<String, Json>]) -> Self {
        let mut columns: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for line in lines {
            let Some(step) = line.get("step").and_then(Json::as_f64) else { continue };
            for (name, value) in line {
                if let Some(value) = value.as_f64().filter(|_| name != "step") {
                    columns.entry(name.clone()).or_default().push((step, value));
                }
            }
        }
        Self { columns }
    }

    /// Steps and values; empty if it was never measured.
    pub(crate) fn get(&self, name: &str) -> &[(f64, f64)] {
        self.columns.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_evaluations_become_columns() {
        let lines = [
            "{\"step\":0,\"eval_loss\":3.0}",
            "{\"step\":1,\"loss\":2.0,\"note\":\"x\"}",
            "{\"loss\":1.0}",
            "{\"step\":2,\"lo",
        ];
        let lines: Vec<_> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let history = History::of(&lines);
        assert_eq!(history.names().collect::<Vec<_>>(), ["eval_loss", "loss"]);
        assert_eq!(history.get("loss"), [(1.0, 2.0)]);
        assert_eq!(history.get("none"), []);
    }
}
