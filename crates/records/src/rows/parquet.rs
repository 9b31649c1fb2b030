//! Parquet, through the row interface: nested lists and structs become JSON lists and objects.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use parquet::{
    file::{reader::ChunkReader, serialized_reader::SerializedFileReader},
    record::{Field, Row as ParquetRow, reader::RowIter},
};
use serde_json::{Map, Number, Value};

use super::{Row, Rows};
use crate::{RecordError, fault::shorten};

pub(super) fn parquet_rows<R: ChunkReader + 'static>(path: &Path, file: R) -> Result<Rows<'static>, RecordError> {
    let rows = guarded(|| SerializedFileReader::new(file).map(|reader| RowIter::from_file_into(Box::new(reader))))
        .map_err(|what| damaged(path, &what))?;
    Ok(Box::new(ParquetRows { path: path.to_owned(), rows: Some(rows), number: 0 }))
}

struct ParquetRows {
    path: PathBuf,
    /// `None` after an error: the column readers are then out of step with each other.
    rows: Option<RowIter<'static>>,
    number: u64,
}

impl Iterator for ParquetRows {
    type Item = Result<Row, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.rows.as_mut()?;
        match guarded(|| rows.next().transpose()) {
            Ok(row) => {
                self.number += 1;
                row.map(|row| Ok(to_row(self.number, row)))
            }
            Err(what) => {
                self.rows = None;
                Some(Err(damaged(&self.path, &format!("row {}: {what}", self.number + 1))))
            }
        }
    }
}

/// The `parquet` crate reports most damage as an error, but panics on some column types and level sequences.
fn guarded<T>(read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(message), _) => message.clone(),
            (None, Some(message)) => (*message).to_owned(),
            (None, None) => "the Parquet reader gave up".into(),
        }),
    }
}

fn damaged(path: &Path, what: &str) -> RecordError {
    RecordError::File {
        path: path.to_owned(),
        what: format!("not a readable Parquet file ({what})"),
        fix: "write the file again, or as JSONL".into(),
    }
}

fn to_row(number: u64, row: ParquetRow) -> Row {
    let fields = to_object(row);
    let raw = Value::Object(fields.clone()).to_string();
    Row { number, fields: Ok(fields), raw: shorten(raw.as_bytes(), raw.len() as u64) }
}

/// Nulls are left out: a Parquet struct has every field that any row has, so a null there says "absent".
fn to_object(row: ParquetRow) -> Map<String, Value> {
    let values = row.into_columns().into_iter().map(|(name, field)| (name, to_value(field)));
    values.filter(|(_, value)| !value.is_null()).collect()
}

fn to_value(field: Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => value.into(),
        Field::Byte(value) => value.into(),
        Field::Short(value) => value.into(),
        Field::Int(value) | Field::Date(value) | Field::TimeMillis(value) => value.into(),
        Field::Long(value)
        | Field::TimeMicros(value)
        | Field::TimestampMillis(value)
        | Field::TimestampMicros(value) => value.into(),
        Field::UByte(value) => value.into(),
        Field::UShort(value) => value.into(),
        Field::UInt(value) => value.into(),
        Field::ULong(value) => value.into(),
        Field::Float16(value) => float(f64::from(value)),
        Field::Float(value) => float(f64::from(value)),
        Field::Double(value) => float(value),
        Field::Str(value) => Value::String(value),
        // Many writers leave text unmarked; what is not UTF-8 is a list of numbers, which no text field accepts.
        Field::Bytes(value) => match std::str::from_utf8(value.data()) {
            Ok(text) => text.into(),
            Err(_) => value.data().to_vec().into(),
        },
        Field::Decimal(_) => Value::String(field.to_string()),
        Field::Group(row) => Value::Object(to_object(row)),
        Field::ListInternal(list) => list.elements().iter().cloned().map(to_value).collect(),
        Field::MapInternal(map) => {
            let entries = map.entries().iter().cloned();
            let name = |key: Field| match key {
                Field::Str(name) => name,
                other => other.to_string(),
            };
            Value::Object(entries.map(|(key, value)| (name(key), to_value(value))).collect())
        }
    }
}

/// JSON has no NaN and no infinity; as text they reach the check of the field that holds them.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
}
