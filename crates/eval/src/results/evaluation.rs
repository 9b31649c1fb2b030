use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{ResultsError, parse};
use crate::statistics::Interval;

/// `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub model: Model,
    /// Hash of the chat template; none where prompts were not rendered through one.
    #[serde(default)]
    pub template: Option<String>,
    /// How answers were drawn: temperature, examples in the prompt, limits.
    #[serde(default)]
    pub options: Map<String, Value>,
    pub tasks: Vec<TaskResult>,
}

/// Which model answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    pub name: String,
    /// Hash of its weights, or whatever else tells it from others.
    pub identity: String,
}

/// A task's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    pub task: String,
    /// Items of other versions are other items.
    #[serde(deserialize_with = "version")]
    pub version: String,
    /// The ability: knowledge, mathematics, code.
    pub axis: String,
    pub metric: String,
    /// Items with a score.
    pub n: usize,
    /// The mean score; none where no item has one.
    pub value: Option<f64>,
    /// The 95 % interval of the value, lowest and highest.
    #[serde(default)]
    pub interval: Option<[f64; 2]>,
    /// Answers that could be read.
    pub parsed: usize,
    pub truncated: usize,
    pub empty: usize,
    /// Items without a score, as the engine failed.
    pub errors: usize,
    /// The value if all answers that could not be read were wrong, and if all were right.
    #[serde(default)]
    pub bounds: Option<[f64; 2]>,
    #[serde(default)]
    pub seconds: f64,
    /// Parts of the task, such as subjects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// Further figures of the same answers, such as `acc` beside `acc_norm`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secondary: Vec<Secondary>,
}

/// Another figure of the same answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Secondary {
    pub metric: String,
    pub value: f64,
    #[serde(default)]
    pub interval: Option<[f64; 2]>,
}

/// A part of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub group: String,
    pub n: usize,
    pub value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

/// Versions are names; some are written as numbers.
fn version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("invalid type, expected a version as text or number")),
    }
}

impl TaskResult {
    /// The interval of the value.
    pub fn interval(&self) -> Option<Interval> {
        self.interval.map(|[low, high]| Interval { low, high })
    }
}

impl Evaluation {
    /// Reads `results.json`; `name` is what errors call it.
    pub fn from_json(name: &str, text: &str) -> Result<Self, ResultsError> {
        let evaluation: Self = parse(name, 1, text)?;
        for (index, task) in evaluation.tasks.iter().enumerate() {
            let fault = |field: &str, what: String, fix: &str| {
                Err(ResultsError::new(name, format!("tasks[{index}].{field}: {what}"), fix))
            };
            if task.task.is_empty() || task.task.contains(['/', '\\']) || task.task.starts_with('.') {
                let what = format!("`{}` names no file in items/", task.task);
                return fault("task", what, "name the task with letters, digits and dashes");
            }
            if evaluation.tasks[..index].iter().any(|other| other.task == task.task) {
                return fault("task", format!("`{}` stands here twice", task.task), "keep one result a task");
            }
            if task.parsed > task.n {
                let what = format!("{} answers were read of {} items", task.parsed, task.n);
                return fault("parsed", what, "write the evaluation again");
            }
            for (field, pair) in [("interval", task.interval), ("bounds", task.bounds)] {
                if let Some([low, high]) = pair.filter(|[low, high]| low > high) {
                    let what = format!("{low} is above {high}");
                    return fault(field, what, "write the lower end first");
                }
            }
        }
        Ok(evaluation)
    }

    /// As a file, ending in a line break.
    pub fn to_json(&self) -> String {
        // Values of this type always have a form in JSON: names are text, and numbers that are none become null.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    pub fn task(&self, name: &str) -> Option<&TaskResult> {
        self.tasks.iter().find(|task| task.task == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const RESULTS: &str = r#"{
  "model": {"name": "base", "identity": "abc"},
  "template": null,
  "options": {"temperature": 0},
  "tasks": [
    {"task": "gsm8k", "version": 1, "axis": "mathematics", "metric": "accuracy", "n": 10, "value": 0.4,
     "interval": [0.2, 0.6], "parsed": 9, "truncated": 1, "empty": 0, "errors": 0, "bounds": [0.4, 0.5], "seconds": 1.5}
  ]
}"#;

    #[test]
    fn what_is_written_is_read() {
        let evaluation = Evaluation::from_json("results.json", RESULTS).unwrap();
        let task = evaluation.task("gsm8k").unwrap();
        assert_eq!((task.version.as_str(), task.n, task.parsed, task.value), ("1", 10, 9, Some(0.4)));
        assert_eq!(task.interval(), Some(Interval { low: 0.2, high: 0.6 }));
        assert_eq!(Evaluation::from_json("results.json", &evaluation.to_json()), Ok(evaluation));
    }

    #[test]
    fn faults_name_file_line_field_and_fix() {
        for (from, to, expected) in [
            ("\"n\": 10", "\"n\": \"ten\"", "r.json, line 6: tasks[0].n: invalid type: string \"ten\", expected usize"),
            ("\"parsed\": 9", "\"parsed\": 11", "r.json: tasks[0].parsed: 11 answers were read of 10 items"),
            ("[0.2, 0.6]", "[0.6, 0.2]", "r.json: tasks[0].interval: 0.6 is above 0.2"),
            ("\"gsm8k\"", "\"../gsm8k\"", "r.json: tasks[0].task: `../gsm8k` names no file"),
            ("\"axis\": \"mathematics\", ", "", "tasks[0]: missing field `axis`"),
            ("  ]\n}", "", "cut short or damaged"),
        ] {
            let text = RESULTS.replacen(from, to, 1);
            assert_ne!(text, RESULTS);
            let error = Evaluation::from_json("r.json", &text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("\n  fix: "), "{error}");
        }
    }
}
