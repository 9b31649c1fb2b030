//! Rows as they stand in a file, for those to whom it is nothing what the columns mean.

use std::path::Path;

use serde_json::{Map, Value};

use crate::rows::{Row, open};
use crate::{Provenance, RecordError, Reject, fault::Fault};

/// A row with all its fields.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRow {
    pub provenance: Provenance,
    pub fields: Map<String, Value>,
}

/// The rows of a file of any format that this crate reads, one at a time. A row that cannot be parsed is a [`Reject`]; an error is the
/// file's end.
pub fn raw_rows(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Result<RawRow, Reject>, RecordError>> + use<>, RecordError> {
    let source = path.display().to_string();
    let rows = open(path)?;
    Ok(rows.map(move |row| {
        let Row { number, fields, raw } = row?;
        let provenance = Provenance { source: source.clone(), row: number };
        Ok(match fields {
            Ok(fields) => Ok(RawRow { provenance, fields }),
            Err(Fault { reason, fix }) => Err(Reject { provenance, reason, fix, row: raw }),
        })
    }))
}

impl RawRow {
    /// Every text in the row, however deep.
    pub fn texts(&self) -> Vec<&str> {
        let mut texts = Vec::new();
        for value in self.fields.values() {
            gather(value, &mut texts);
        }
        texts
    }
}

/// The texts in a value, in order. A value that was parsed is nested no deeper than the parser goes.
fn gather<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| gather(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| gather(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_columns_give_their_texts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.jsonl");
        std::fs::write(&path, "{\"a\":\"x\",\"b\":[{\"c\":\"y\",\"d\":1},null]}\nnot json\n{\"a\":\"z\"}\n").unwrap();
        let rows: Vec<_> = raw_rows(&path).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows[0].as_ref().unwrap().texts(), ["x", "y"]);
        assert_eq!(rows[1].as_ref().unwrap_err().provenance.row, 2);
        assert_eq!(rows[2].as_ref().unwrap().provenance.row, 3);
        assert!(raw_rows(&folder.path().join("none.jsonl")).is_err());
    }
}
