//! From a row's fields to a [`Record`] or a prompt: one file a format, all pure functions.

mod alpaca;
mod conversation;
mod feedback;
mod message;
mod prompt;
mod prompt_completion;
mod transcript;

use serde_json::{Map, Value};

pub(crate) use feedback::{convert_feedback, truth};
pub(crate) use prompt::convert_prompts;
pub(crate) use transcript::is_transcript;

use crate::{Format, Provenance, Record, fault::Fault, layout::Layout, rows::kind};

/// Reads one row.
pub(crate) fn convert(layout: &Layout, row: Map<String, Value>, provenance: Provenance) -> Result<Record, Fault> {
    let row = Fields { layout, row };
    match layout.format {
        Format::Messages => conversation::convert(row, "messages", provenance),
        Format::ShareGpt => conversation::convert(row, "conversations", provenance),
        Format::PromptCompletion => prompt_completion::convert(row, provenance),
        Format::Alpaca => alpaca::convert(row, provenance),
        Format::HhTranscript => transcript::convert(row, provenance),
        // `Layout::decide` was given the formats of demonstrations only.
        _ => text(row, provenance),
    }
}

fn text(mut row: Fields<'_>, provenance: Provenance) -> Result<Record, Fault> {
    let text = row.required_string("text")?;
    if text.trim().is_empty() {
        return Err(Fault::at(row.column("text"), "the text is empty", "remove the row"));
    }
    Ok(Record::Text { text, provenance })
}

/// A row whose fields are taken out one by one, by our names for them.
struct Fields<'a> {
    layout: &'a Layout,
    row: Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The field's column: the name by which messages speak of it.
    fn column(&self, field: &'static str) -> &'a str {
        self.layout.column(field)
    }

    fn take(&mut self, field: &'static str) -> Option<Value> {
        self.layout.take(&mut self.row, field)
    }

    fn required(&mut self, field: &'static str) -> Result<Value, Fault> {
        self.take(field).ok_or_else(|| missing(self.column(field)))
    }

    fn required_string(&mut self, field: &'static str) -> Result<String, Fault> {
        let value = self.required(field)?;
        string(value, self.column(field))
    }

    /// An optional string; empty counts as absent, as CSV can say it in no other way.
    fn optional_string(&mut self, field: &'static str) -> Result<Option<String>, Fault> {
        let value = self.take(field).map(|value| string(value, self.column(field))).transpose()?;
        Ok(value.filter(|text| !text.is_empty()))
    }

    /// An optional list or object, as it stands or as JSON text; an empty one counts as absent.
    fn optional_structure(&mut self, field: &'static str) -> Result<Option<Value>, Fault> {
        let value = self.take(field).map(|value| structure(value, self.column(field))).transpose()?.flatten();
        Ok(value.filter(|value| match value {
            Value::Array(list) => !list.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            _ => true,
        }))
    }

    fn tools(&mut self) -> Result<Option<Value>, Fault> {
        match self.optional_structure("tools")? {
            Some(value) if !value.is_array() => Err(wrong_type(self.column("tools"), &value, "a list of tools")),
            tools => Ok(tools),
        }
    }

    fn template_arguments(&mut self) -> Result<Map<String, Value>, Fault> {
        match self.optional_structure("template_arguments")? {
            None => Ok(Map::new()),
            Some(Value::Object(arguments)) => Ok(arguments),
            Some(value) => Err(wrong_type(self.column("template_arguments"), &value, "an object")),
        }
    }
}

fn missing(path: &str) -> Fault {
    Fault::at(path, "missing or null", "fill it in, or remove the row")
}

fn wrong_type(path: &str, value: &Value, wanted: &str) -> Fault {
    Fault::at(path, format!("this is {}, not {wanted}", kind(value)), format!("write {wanted}"))
}

fn string(value: Value, path: &str) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(path, &other, "a string")),
    }
}

/// A list or object, from itself or from JSON text as CSV cells and many Parquet files hold it. Blank text is `None`.
fn structure(value: Value, path: &str) -> Result<Option<Value>, Fault> {
    let Value::String(text) = value else { return Ok(Some(value)) };
    if text.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&text).map(Some).map_err(|error| {
        let reason = format!("this is text that is not JSON ({error})");
        Fault::at(path, reason, "write a list or object, or one as JSON text")
    })
}
