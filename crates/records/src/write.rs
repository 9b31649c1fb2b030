//! Records and refused rows, out to JSON Lines.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::{Record, RecordError, Reject};

/// A record as a row of the format it reads back from: `messages`, `prompt`/`completion`, or `text`.
pub fn to_row(record: &Record) -> Value {
    match record {
        Record::Conversation(conversation) => {
            let mut row = Map::new();
            row.insert("messages".into(), json!(conversation.messages));
            if let Some(tools) = &conversation.tools {
                row.insert("tools".into(), tools.clone());
            }
            if !conversation.template_arguments.is_empty() {
                row.insert("chat_template_kwargs".into(), Value::Object(conversation.template_arguments.clone()));
            }
            Value::Object(row)
        }
        Record::Completion { prompt, completion, .. } => json!({ "prompt": prompt, "completion": completion }),
        Record::Text { text, .. } => json!({ "text": text }),
    }
}

/// Writes records as JSON Lines. Provenance is not part of the rows: where they are read next, they come from this file.
pub fn write_jsonl<'a>(output: &mut impl Write, records: impl IntoIterator<Item = &'a Record>) -> io::Result<()> {
    for record in records {
        serde_json::to_writer(&mut *output, &to_row(record))?;
        output.write_all(b"\n")?;
    }
    output.flush()
}

/// The file `rejects.jsonl` of a run: one [`Reject`] a line.
#[derive(Debug)]
pub struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
    count: u64,
}

impl Rejects {
    /// Creates the file, replacing one that is there.
    pub fn create(path: &Path) -> Result<Self, RecordError> {
        let file = File::create(path).map_err(|error| cannot_write(path, error))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), count: 0 })
    }

    /// Adds one row.
    pub fn push(&mut self, reject: &Reject) -> Result<(), RecordError> {
        self.count += 1;
        let written = serde_json::to_writer(&mut self.file, reject).map_err(io::Error::from);
        written.and_then(|()| self.file.write_all(b"\n")).map_err(|error| cannot_write(&self.path, error))
    }

    /// Ends the file and returns how many rows it has.
    pub fn finish(mut self) -> Result<u64, RecordError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| cannot_write(&self.path, error))?;
        Ok(self.count)
    }
}

fn cannot_write(path: &Path, source: io::Error) -> RecordError {
    let fix = match source.kind() {
        io::ErrorKind::NotFound => "create the folder first",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on that disk",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "choose a folder this user may write to",
        _ => "check the disk and the folder's permissions",
    };
    RecordError::Write { path: path.to_owned(), source, fix: fix.into() }
}
