//! Rows out of files: each reader yields JSON objects with their place, whatever the file's encoding.

mod compression;
mod container;
mod csv;
mod json;
mod lines;
mod parquet;

pub(crate) use container::{open, open_bytes};

use serde_json::{Map, Value};

use crate::{RecordError, fault::Fault, fault::shorten};

/// A longer row is refused, so that a file without line ends cannot fill the memory.
pub(crate) const ROW_LIMIT: usize = 16 << 20;

/// One row, read but not yet understood.
#[derive(Debug)]
pub(crate) struct Row {
    /// One-based; see [`Provenance::row`](crate::Provenance::row).
    pub(crate) number: u64,
    pub(crate) fields: Result<Map<String, Value>, Fault>,
    /// The row as it stands in the file, shortened.
    pub(crate) raw: String,
}

/// A file's rows in order. An `Err` is the file's end: nothing after it can be read.
pub(crate) type Rows<'a> = Box<dyn Iterator<Item = Result<Row, RecordError>> + 'a>;

/// Reads the bytes of one JSON object. `offset` is where they start in the decompressed file.
fn parse_object(number: u64, bytes: &[u8], offset: u64) -> Row {
    Row { number, fields: object_fields(bytes, offset), raw: shorten(bytes, bytes.len() as u64) }
}

fn object_fields(bytes: &[u8], offset: u64) -> Result<Map<String, Value>, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(error.valid_up_to(), offset))?;
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(Fault::new(
            format!("the row is {}, not an object", kind(&other)),
            "write each row as an object of named fields, such as {\"messages\": [...]}",
        )),
        Err(error) => Err(Fault::new(
            format!("not JSON: {}", syntax_error(&error, text)),
            "correct the row; each row is one complete JSON object",
        )),
    }
}

/// `serde_json`'s message with the line left out where the text has only one.
fn syntax_error(error: &serde_json::Error, text: &str) -> String {
    let message = error.to_string();
    match message.split_once(" at line ") {
        Some((what, _)) if !text.contains('\n') => format!("{what} at column {}", error.column()),
        _ => message,
    }
}

fn not_utf8(position: usize, offset: u64) -> Fault {
    Fault::new(
        format!("invalid UTF-8 at byte offset {} of the row ({} of the file)", position, offset + position as u64),
        "save the file as UTF-8, for example with iconv",
    )
}

fn too_long(length: u64) -> Fault {
    Fault::new(
        format!("the row has {length} bytes, more than the {} MiB a row may have", ROW_LIMIT >> 20),
        "split the row; or, if lines have no ends, write one JSON object a line",
    )
}

/// A JSON value's type with its article, for messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
