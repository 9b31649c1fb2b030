//! Rows to items.

use std::collections::HashMap;

use minijinja::Environment;
use regex::Regex;
use serde_json::{Map, Value as Json};

use super::definition::Source;
use super::{Task, TaskError};

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Stays the same from run to run: the data's own, else the split and the row.
    pub id: String,
    /// What items depend on together (a document, a subject); intervals count it.
    pub cluster: Option<String>,
    /// What figures are also given by (a subject).
    pub group: Option<String>,
    /// Columns, groups of patterns, and the source's fields.
    pub fields: Map<String, Json>,
}

impl Item {
    /// A field as text; numbers and booleans as they are written.
    pub(super) fn text(&self, field: &str) -> Option<String> {
        self.fields.get(field).and_then(plain)
    }

    pub(super) fn texts(&self, field: &str) -> Option<Vec<String>> {
        self.fields.get(field)?.as_array()?.iter().map(plain).collect()
    }
}

fn plain(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// A row of a file, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// File and line.
    pub place: String,
    pub fields: Map<String, Json>,
}

impl Task {
    /// The items of a split's rows under one of the task's sources. Errors name the row's place and the field.
    pub fn items(&self, source: &Source, split: &str, rows: Vec<Row>) -> Result<Vec<Item>, TaskError> {
        let environment = super::template::bare();
        let patterns: Vec<(&str, Regex)> = source
            .pattern
            .iter()
            .map(|pattern| Ok((pattern.column.as_str(), Regex::new(&pattern.regex)?)))
            .collect::<Result<_, regex::Error>>()
            .map_err(|error| self.wrong(error.to_string(), "correct the regular expression"))?;
        let reading = Reading { task: self, source, environment, patterns };
        let mut items: Vec<Item> = Vec::with_capacity(rows.len());
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (number, row) in rows.into_iter().enumerate() {
            let place = row.place.clone();
            for (part, fields) in reading.parts(row)?.into_iter().enumerate() {
                let number = if source.rows.is_some() { format!("{number}-{part}") } else { number.to_string() };
                let Some(mut item) = reading.item(&place, format!("{split}-{number}"), fields)? else { continue };
                // Two items of one name could not be told apart in another evaluation.
                let earlier = seen.entry(item.id.clone()).or_insert(0);
                *earlier += 1;
                if *earlier > 1 {
                    item.id = format!("{}#{earlier}", item.id);
                }
                items.push(item);
            }
        }
        Ok(items)
    }
}

/// What rows are read with.
struct Reading<'a> {
    task: &'a Task,
    source: &'a Source,
    environment: Environment<'static>,
    patterns: Vec<(&'a str, Regex)>,
}

impl Reading<'_> {
    fn wrong(&self, place: &str, what: impl std::fmt::Display) -> TaskError {
        TaskError {
            origin: place.to_owned(),
            what: format!("task {}: {what}", self.task.name()),
            fix: "get the data as the task says, or describe its layout in a task file of your own".into(),
        }
    }

    /// The rows in a row.
    fn parts(&self, row: Row) -> Result<Vec<Map<String, Json>>, TaskError> {
        let Row { place, mut fields } = row;
        let Some(column) = &self.source.rows else { return Ok(vec![fields]) };
        let Some(Json::Array(parts)) = fields.remove(column) else {
            return Err(self.wrong(&place, format!("column `{column}` is no list")));
        };
        let part = |part: Json| match part {
            Json::Object(own) => Ok(fields.clone().into_iter().chain(own).collect()),
            _ => Err(self.wrong(&place, format!("column `{column}` holds something that is no object"))),
        };
        parts.into_iter().map(part).collect()
    }

    /// `None` for a row that is not kept.
    fn item(&self, place: &str, name: String, mut fields: Map<String, Json>) -> Result<Option<Item>, TaskError> {
        if let Some(keep) = &self.source.keep
            && !value_of(&self.environment, keep, &fields)
                .map_err(|error| self.wrong(place, format!("keep: {error}")))?
                .is_true()
        {
            return Ok(None);
        }
        for (column, pattern) in &self.patterns {
            let text = fields.get(*column).and_then(Json::as_str).unwrap_or_default().to_owned();
            let Some(captures) = pattern.captures(&text) else {
                return Err(self.wrong(place, format!("column `{column}` is not as expected: {}", beginning(&text))));
            };
            for name in pattern.capture_names().flatten() {
                let value = captures.name(name).map_or(Json::Null, |found| found.as_str().into());
                fields.insert(name.to_owned(), value);
            }
        }
        let mut found = Vec::with_capacity(self.source.fields.len());
        for (name, expression) in &self.source.fields {
            let wrong = |error: &dyn std::fmt::Display| self.wrong(place, format!("field `{name}`: {error}"));
            let value = value_of(&self.environment, expression, &fields).map_err(|error| wrong(&error))?;
            found.push((name.clone(), serde_json::to_value(&value).map_err(|error| wrong(&error))?));
        }
        fields.extend(found);
        let needed = self.task.definition.score.fields();
        if let Some(field) = needed.iter().find(|field| fields.get(**field).is_none_or(Json::is_null)) {
            return Err(self.wrong(place, format!("there is no field `{field}`")));
        }
        if let (Some(choices), Some(answer)) = (fields.get("choices").and_then(Json::as_array), fields.get("answer"))
            && answer
                .as_i64()
                .is_some_and(|answer| usize::try_from(answer).map_or(true, |answer| answer >= choices.len()))
        {
            return Err(
                self.wrong(place, format!("field `answer` is {answer}, but there are {} choices", choices.len()))
            );
        }
        let known = |name: &str| fields.get(name).and_then(plain).filter(|text| !text.is_empty());
        let id = known("id").unwrap_or(name);
        let (group, cluster) = (known("group"), known("cluster"));
        Ok(Some(Item { id, cluster, group, fields }))
    }
}

fn value_of(
    environment: &Environment<'_>,
    expression: &str,
    fields: &Map<String, Json>,
) -> Result<minijinja::Value, minijinja::Error> {
    environment.compile_expression(expression)?.eval(minijinja::value::Serde(fields))
}

fn beginning(text: &str) -> String {
    let shown: String = text.chars().take(80).collect();
    format!("{shown:?}")
}
