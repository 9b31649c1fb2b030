//! Rows to items.

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

impl Task {
    /// The items of a split's rows under one of the task's sources. Errors name the row and the field.
    pub fn items(&self, source: &Source, split: &str, rows: Vec<Map<String, Json>>) -> Result<Vec<Item>, TaskError> {
        let file = source.files.get(split).map_or("", String::as_str);
        let place = |row: usize| format!("task {}: {file}, row {}", self.name(), row + 1);
        let environment = super::template::bare();
        let patterns: Vec<(&str, Regex)> = source
            .pattern
            .iter()
            .map(|pattern| Ok((pattern.column.as_str(), Regex::new(&pattern.regex)?)))
            .collect::<Result<_, regex::Error>>()
            .map_err(|error| self.wrong(error.to_string(), "correct the regular expression"))?;
        let needed = self.definition.score.fields();
        let mut items = Vec::with_capacity(rows.len());
        for (row, mut fields) in rows.into_iter().enumerate() {
            let wrong = |what: String| TaskError {
                origin: place(row),
                what,
                fix: "get the data as the task says, or describe its layout in a task file of your own".into(),
            };
            for (column, pattern) in &patterns {
                let text = fields.get(*column).and_then(Json::as_str).unwrap_or_default().to_owned();
                let Some(captures) = pattern.captures(&text) else {
                    return Err(wrong(format!("column `{column}` is not as expected: {}", beginning(&text))));
                };
                for name in pattern.capture_names().flatten() {
                    let value = captures.name(name).map_or(Json::Null, |found| found.as_str().into());
                    fields.insert(name.to_owned(), value);
                }
            }
            if let Some(keep) = &source.keep
                && !value_of(&environment, keep, &fields).map_err(|error| wrong(format!("keep: {error}")))?.is_true()
            {
                continue;
            }
            let mut found = Vec::with_capacity(source.fields.len());
            for (name, expression) in &source.fields {
                let value = value_of(&environment, expression, &fields)
                    .map_err(|error| wrong(format!("field `{name}`: {error}")))?;
                let value = serde_json::to_value(&value).map_err(|error| wrong(format!("field `{name}`: {error}")))?;
                found.push((name.clone(), value));
            }
            fields.extend(found);
            if let Some(field) = needed.iter().find(|field| fields.get(**field).is_none_or(Json::is_null)) {
                return Err(wrong(format!("there is no field `{field}`")));
            }
            let known = |name: &str| fields.get(name).and_then(plain).filter(|text| !text.is_empty());
            let id = known("id").unwrap_or_else(|| format!("{split}-{row}"));
            let (group, cluster) = (known("group"), known("cluster"));
            items.push(Item { id, cluster: cluster.or_else(|| group.clone()), group, fields });
        }
        Ok(items)
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
