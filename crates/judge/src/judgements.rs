//! A file of judgements, a line each, that a later run goes on with.
//!
//! A line is one JSON object: the fields of [`Judgement`] (`key`, `id`, `group`, `judge`, `lengths`, `as_given`, `swapped`, and where there
//! are any `combined`, `ratings`, `entropy`; last `rounds`, all replies as they came), and for comparisons of named models three more that
//! AlpacaEval's files have too: `generator_1` and `generator_2`, whose outputs are the first and the second, and `preference`, from 1 (the
//! first is better) to 2 (the second is), `null` where an order has no verdict.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use camelid_records::Judgement;
use serde::{Deserialize, Serialize};

use crate::error::FileError;

/// Judgements by key, and the file that they are kept in. Lines are only ever added; of two lines with one key the later one
/// counts.
pub struct JudgementFile {
    path: PathBuf,
    file: File,
    known: HashMap<String, Judgement>,
}

/// A line as it is written. Who reads it back needs the judgement alone.
#[derive(Serialize)]
struct Line<'j> {
    #[serde(flatten)]
    judgement: &'j Judgement,
    #[serde(flatten)]
    compared: Option<Compared<'j>>,
}

#[derive(Serialize)]
struct Compared<'j> {
    generator_1: &'j str,
    generator_2: &'j str,
    preference: Option<f64>,
}

/// Whose outputs a line compares.
#[derive(Deserialize)]
struct Named {
    key: String,
    generator_1: Option<String>,
    generator_2: Option<String>,
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

    /// Adds a judgement, failed or not; `models` are whose outputs it compares.
    pub fn put(&mut self, judgement: Judgement, models: Option<&[String; 2]>) -> Result<(), FileError> {
        let failed =
            |reason: String| FileError::new(&self.path, None, reason, "make room, then run the same command again");
        let compared = models.map(|[first, second]| Compared {
            generator_1: first,
            generator_2: second,
            preference: judgement.assessment.combined.map(|first_preferred| 2.0 - first_preferred),
        });
        let line = Line { judgement: &judgement, compared };
        let mut line = serde_json::to_vec(&line).map_err(|error| failed(error.to_string()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| failed(error.to_string()))?;
        self.known.insert(judgement.key.clone(), judgement);
        Ok(())
    }

    /// Takes out the lines that a later one with their key has replaced, so that whoever counts lines counts judgements. The file is
    /// replaced as a whole: stopped half-way, it is what it was.
    pub fn compact(self) -> Result<(), FileError> {
        let failed = |error: std::io::Error| {
            FileError::new(&self.path, None, error.to_string(), "make room, then run the same command again")
        };
        let text = std::fs::read_to_string(&self.path).map_err(failed)?;
        let key = |line: &str| serde_json::from_str::<Named>(line).ok().map(|named| named.key);
        let keys: Vec<Option<String>> = text.lines().map(key).collect();
        let last: HashMap<&str, usize> =
            keys.iter().enumerate().filter_map(|(place, key)| Some((key.as_deref()?, place))).collect();
        if last.len() == keys.len() {
            return Ok(());
        }
        let kept = text
            .lines()
            .zip(&keys)
            .enumerate()
            .filter(|(place, (_, key))| key.as_deref().is_some_and(|key| last.get(key) == Some(place)));
        let kept: String = kept.flat_map(|(_, (line, _))| [line, "\n"]).collect();
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let mut file = File::create(&name).map_err(failed)?;
        file.write_all(kept.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&name, &self.path).map_err(failed)
    }
}

/// A judgement with the names of the models whose outputs it compares, where its line has them.
pub type NamedJudgement = (Judgement, Option<[String; 2]>);

/// All judgements of a file in its order, the latest under each key.
pub fn read_named(path: &Path) -> Result<Vec<NamedJudgement>, FileError> {
    let mut known = read_judgements(path)?;
    let text = std::fs::read_to_string(path)
        .map_err(|error| FileError::new(path, None, error.to_string(), "name a file of judgements that exists"))?;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // A last line that was cut off is none.
        let Ok(named) = serde_json::from_str::<Named>(line) else { continue };
        let Some(judgement) = known.remove(&named.key) else { continue };
        let models = match (named.generator_1, named.generator_2) {
            (Some(first), Some(second)) => Some([first, second]),
            (None, None) => None,
            _ => {
                let reason = "only one of `generator_1` and `generator_2` is there";
                return Err(FileError::new(path, Some(index + 1), reason, "name a file that camelid judge wrote"));
            }
        };
        found.push((judgement, models));
    }
    Ok(found)
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
