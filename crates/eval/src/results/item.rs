use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{ResultsError, parse};

/// One line of `items/TASK.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub task: String,
    /// The same in every evaluation of the task.
    pub item: String,
    /// The passage, document or subject that it shares with others.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Exactly what the model was given.
    pub prompt: String,
    pub answer: String,
    /// What was expected.
    #[serde(default)]
    pub reference: Value,
    /// What was read in the answer.
    #[serde(default)]
    pub extracted: Value,
    /// Which rung of the ladder read it.
    #[serde(default)]
    pub rung: Option<String>,
    /// More is better; none where the engine failed.
    #[serde(default)]
    pub score: Option<f64>,
    pub status: Status,
    #[serde(default)]
    pub details: Value,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was read and scored.
    Ok,
    /// It ended by itself, without an answer that any rung knows.
    Unparsed,
    /// It has no text.
    Empty,
    /// It was cut off before an answer.
    Truncated,
    /// There is none: the engine or the scorer failed.
    Error,
}

impl Status {
    pub const ALL: [Self; 5] = [Self::Ok, Self::Unparsed, Self::Empty, Self::Truncated, Self::Error];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unparsed => "unparsed",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Error => "error",
        }
    }
}

/// How many answers could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extraction {
    pub count: usize,
    pub parsed: usize,
    pub unparsed: usize,
    pub empty: usize,
    pub truncated: usize,
    pub errors: usize,
}

impl Extraction {
    pub fn of<'i>(items: impl IntoIterator<Item = &'i Item>) -> Self {
        let mut counts = Self::default();
        for item in items {
            counts.count += 1;
            *match item.status {
                Status::Ok => &mut counts.parsed,
                Status::Unparsed => &mut counts.unparsed,
                Status::Empty => &mut counts.empty,
                Status::Truncated => &mut counts.truncated,
                Status::Error => &mut counts.errors,
            } += 1;
        }
        counts
    }

    /// The share of answers that could be read, of those there are.
    pub fn rate(&self) -> Option<f64> {
        let answered = self.count - self.errors;
        (answered > 0).then(|| self.parsed as f64 / answered as f64)
    }
}

/// The items of a task from its JSON lines; `name` is what errors call the file.
pub fn parse_items(name: &str, task: &str, text: &str) -> Result<Vec<Item>, ResultsError> {
    let mut items: Vec<Item> = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || format!("{name}, line {}", index + 1);
        let item: Item = parse(name, index + 1, line)?;
        if item.task != task {
            let what = format!("task: this item is of `{}`", item.task);
            return Err(ResultsError::new(place(), what, format!("keep the items of `{task}` in this file")));
        }
        if let Some(score) = item.score.filter(|score| !score.is_finite()) {
            let what = format!("score: {score} is no number");
            return Err(ResultsError::new(place(), what, "write null where an item has no score"));
        }
        if item.score.is_none() && item.status != Status::Error {
            let what = format!("score: there is none, though the status is {}", item.status.name());
            return Err(ResultsError::new(place(), what, "score what could not be read as 0; only errors have none"));
        }
        if let Some(first) = lines.insert(item.item.clone(), index + 1) {
            let what = format!("item: `{}` stands in line {first} too", item.item);
            return Err(ResultsError::new(place(), what, "give each item an id of its own"));
        }
        items.push(item);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"task":"t","item":"1","cluster":null,"prompt":"2+2?","answer":"4","reference":"4","extracted":"4","rung":"strict","score":1,"status":"ok","details":{}}"#;

    #[test]
    fn lines_become_items() {
        let text =
            format!("{LINE}\n\n{}\n", LINE.replace("\"item\":\"1\"", "\"item\":\"2\"").replace("ok", "truncated"));
        let items = parse_items("items/t.jsonl", "t", &text).unwrap();
        assert_eq!((items.len(), items[0].score, items[1].status), (2, Some(1.0), Status::Truncated));
        let counts = Extraction::of(&items);
        assert_eq!((counts.count, counts.parsed, counts.truncated, counts.rate()), (2, 1, 1, Some(0.5)));
        let again: Item = serde_json::from_str(&serde_json::to_string(&items[0]).unwrap()).unwrap();
        assert_eq!(again, items[0]);
    }

    #[test]
    fn faults_name_line_and_field() {
        for (from, to, expected) in [
            ("\"status\":\"ok\"", "\"status\":\"fine\"", "f, line 2: status: unknown variant `fine`"),
            ("\"score\":1", "\"score\":null", "f, line 2: score: there is none, though the status is ok"),
            ("\"score\":1", "\"score\":\"1\"", "f, line 2: score: invalid type: string \"1\""),
            ("\"task\":\"t\"", "\"task\":\"u\"", "f, line 2: task: this item is of `u`"),
            ("\"item\":\"2\"", "\"item\":\"1\"", "f, line 2: item: `1` stands in line 1 too"),
            (",\"details\":{}}", "", "f, line 2: EOF while parsing"),
            (",\"details\":{}}", ",\"details\":{}}}", "f, line 2: there is more after the end"),
        ] {
            let second = LINE.replace("\"item\":\"1\"", "\"item\":\"2\"").replacen(from, to, 1);
            let error = parse_items("f", "t", &format!("{LINE}\n{second}")).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("\n  fix: "), "{error}");
        }
    }

    #[test]
    fn errors_are_not_unread_answers() {
        let counts = Extraction { count: 4, parsed: 3, errors: 1, ..Extraction::default() };
        assert_eq!(counts.rate(), Some(1.0));
        assert_eq!(Extraction::default().rate(), None);
    }
}
