//! Positioned reads from one open file.
//!
//! Files are read, not mapped: pages of a mapping count as memory of the process, and a file that shrinks under a
//! mapping kills the process, where a read returns an error.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::ModelError;

/// A file that several readers may share.
#[derive(Debug)]
pub(crate) struct SharedFile {
    path: PathBuf,
    file: Mutex<File>,
    bytes: u64,
}

impl SharedFile {
    /// Opens a regular file.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let fail = |reason: String| file_error(path, reason, "check the path and its permissions");
        let file = File::open(path).map_err(|error| fail(format!("cannot be opened: {error}")))?;
        let description = file.metadata().map_err(|error| fail(format!("cannot be examined: {error}")))?;
        if !description.is_file() {
            return Err(fail("is not a file".to_owned()));
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), bytes: description.len() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Length of the file when it was opened.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands out a buffered reader that starts at the first byte.
    pub(crate) fn read_from_start<T>(&self, read: impl FnOnce(&mut dyn Read) -> T) -> Result<T, ModelError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(0)).map_err(|error| self.read_error(&error))?;
        Ok(read(&mut BufReader::with_capacity(1 << 16, &mut *file)))
    }

    /// Fills `buffer` with the bytes from `start` on.
    pub(crate) fn read_at(&self, start: u64, buffer: &mut [u8]) -> Result<(), ModelError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start)).map_err(|error| self.read_error(&error))?;
        file.read_exact(buffer).map_err(|error| self.read_error(&error))
    }

    fn read_error(&self, error: &std::io::Error) -> ModelError {
        file_error(
            &self.path,
            format!("cannot be read: {error}"),
            "check the disk; if the file was replaced while it was in use, start again",
        )
    }
}

/// A `ModelError::File`.
pub(crate) fn file_error(path: &Path, reason: impl Into<String>, fix: impl Into<String>) -> ModelError {
    ModelError::File { path: path.to_owned(), reason: reason.into(), fix: fix.into() }
}
