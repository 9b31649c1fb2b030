//! Answers on disk, so that no question is paid for twice.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Generated, Prompt};

/// One JSONL file of keys and answers, held by one process at a time.
///
/// Only places in the file are kept in memory. A process that ends in the middle of a line loses that line and no other.
pub struct ResponseCache {
    path: PathBuf,
    state: Mutex<State>,
    unreadable: usize,
}

struct State {
    file: File,
    /// Where each key's line starts, and its bytes.
    places: HashMap<String, (u64, usize)>,
    end: u64,
}

#[derive(Serialize, Deserialize)]
struct Line<A> {
    key: String,
    generated: A,
}

/// A cache that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}\n  fix: {fix}", path.display())]
pub struct CacheError {
    pub path: PathBuf,
    pub reason: String,
    pub fix: String,
}

impl ResponseCache {
    /// Opens or creates a cache. A torn last line is cut off; other lines that cannot be read are counted.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let wrong = |reason: String, fix: &str| CacheError { path: path.to_owned(), reason, fix: fix.to_owned() };
        let failed = |error: std::io::Error| wrong(error.to_string(), "use a path that can be read and written");
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                wrong("another process uses this cache".into(), "wait for it to end, or use a cache of your own")
            }
            TryLockError::Error(error) => failed(error),
        })?;
        let mut reader = BufReader::new(&file);
        let (mut places, mut end, mut unreadable, mut line) = (HashMap::new(), 0, 0, Vec::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            match serde_json::from_slice::<Line<serde::de::IgnoredAny>>(&line) {
                Ok(Line { key, .. }) => {
                    places.insert(key, (end, read));
                }
                Err(_) => unreadable += 1,
            }
            end += read as u64;
        }
        file.set_len(end).map_err(failed)?;
        Ok(Self { path: path.to_owned(), state: Mutex::new(State { file, places, end }), unreadable })
    }

    /// The key of a prompt under a generator's identity.
    pub fn key(identity: &str, prompt: &Prompt) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(identity.len() as u64).to_le_bytes()).update(identity.as_bytes());
        // A prompt is made of texts, numbers and maps with text keys, which JSON can always write.
        hasher.update(&serde_json::to_vec(prompt).unwrap_or_default());
        hasher.finalize().to_hex().to_string()
    }

    /// The answers under a key. What cannot be read counts as absent.
    pub fn get(&self, key: &str) -> Option<Generated> {
        self.get_as(key).map(|generated| Generated { cached: true, ..generated })
    }

    /// As [`Self::get`], for a cache that holds something else than generated answers.
    pub fn get_as<A: DeserializeOwned>(&self, key: &str) -> Option<A> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let &(start, length) = state.places.get(key)?;
        let mut line = vec![0; length];
        state.file.seek(SeekFrom::Start(start)).ok()?;
        state.file.read_exact(&mut line).ok()?;
        let line: Line<A> = serde_json::from_slice(&line).ok()?;
        Some(line.generated)
    }

    /// Keeps answers under a key.
    pub fn put<A: Serialize>(&self, key: &str, generated: &A) -> Result<(), CacheError> {
        let wrong = |reason: String| {
            let fix = "make room for the cache; the answers themselves are not lost".to_owned();
            CacheError { path: self.path.clone(), reason, fix }
        };
        let line = Line { key: key.to_owned(), generated };
        let mut bytes = serde_json::to_vec(&line).map_err(|error| wrong(error.to_string()))?;
        bytes.push(b'\n');
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { file, places, end } = &mut *state;
        if let Err(error) = file.write_all(&bytes) {
            // Half a line would swallow the next one.
            let _ = file.set_len(*end);
            return Err(wrong(error.to_string()));
        }
        places.insert(line.key, (*end, bytes.len()));
        *end += bytes.len() as u64;
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lines that could not be read when the cache was opened, the torn last one aside.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }
}
