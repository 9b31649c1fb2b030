//! A file of judgements, a line each, that a later run goes on with.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use camelid_records::Judgement;

use crate::error::FileError;

/// Judgements by key, and the file that they are kept in. Lines are only ever added; of two lines with one key the later one
/// counts.
pub struct JudgementFile {
    path: PathBuf,
    file: File,
    known: HashMap<String, Judgement>,
}

const OTHER_FILE: &str = "name another file to write";

impl JudgementFile {
    /// Opens or creates a file. A last line that was cut off is removed; any other that cannot be read is an error, because a file that
    /// is not one of judgements must not be written to.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let failed = |error: std::io::Error| {
            FileError::new(path, None, error.to_string(), "name a file in a folder that exists")
        };
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let (known, end) = read_lines(path, &file)?;
        file.set_len(end).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, known })
    }

    /// The judgement under a key, unless a call of it failed: then it is worth asking again.
    pub fn get(&self, key: &str) -> Option<&Judgement> {
        self.known.get(key).filter(|judgement| !judgement.assessment.has_failed())
    }

    /// Adds a judgement, failed or not.
    pub fn put(&mut self, judgement: Judgement) -> Result<(), FileError> {
        let failed =
            |reason: String| FileError::new(&self.path, None, reason, "make room, then run the same command again");
        let mut line = serde_json::to_vec(&judgement).map_err(|error| failed(error.to_string()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| failed(error.to_string()))?;
        self.known.insert(judgement.key.clone(), judgement);
        Ok(())
    }
}

/// All judgements of a file, the latest under each key.
pub fn read_judgements(path: &Path) -> Result<HashMap<String, Judgement>, FileError> {
    let file = File::open(path)
        .map_err(|error| FileError::new(path, None, error.to_string(), "name a file of judgements that exists"))?;
    read_lines(path, &file).map(|(known, _)| known)
}

/// The judgements by key, and where the last whole line ends.
fn read_lines(path: &Path, file: &File) -> Result<(HashMap<String, Judgement>, u64), FileError> {
    let (mut known, mut end, mut number, mut line) = (HashMap::new(), 0, 0, Vec::new());
    let mut reader = BufReader::new(file);
    loop {
        line.clear();
        number += 1;
        let read = reader.read_until(b'\n', &mut line);
        let read = read.map_err(|error| FileError::new(path, Some(number), error.to_string(), OTHER_FILE))?;
        if line.last() != Some(&b'\n') {
            return Ok((known, end));
        }
        let judgement: Judgement = serde_json::from_slice(&line)
            .map_err(|error| FileError::new(path, Some(number), format!("no judgement ({error})"), OTHER_FILE))?;
        known.insert(judgement.key.clone(), judgement);
        end += read as u64;
    }
}
