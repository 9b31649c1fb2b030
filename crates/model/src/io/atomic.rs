//! Files that are either complete or absent.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::shared_file::file_error;
use crate::ModelError;

/// What went wrong while a file was being filled: the disk, or the source of its content.
pub(crate) enum WriteError {
    Disk(std::io::Error),
    Content(ModelError),
}

impl From<std::io::Error> for WriteError {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<ModelError> for WriteError {
    fn from(error: ModelError) -> Self {
        Self::Content(error)
    }
}

/// Fills a temporary file beside `path`, syncs it, and gives it its name. After an error `path` is what it was.
pub(crate) fn write_file(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), WriteError>,
) -> Result<(), ModelError> {
    let temporary = temporary_name(path);
    let result = fill_and_rename(path, &temporary, fill);
    if result.is_err() {
        // Best effort: the error that is returned says why the file is not there.
        drop(std::fs::remove_file(&temporary));
    }
    result.map_err(|error| match error {
        WriteError::Content(error) => error,
        WriteError::Disk(error) => {
            let fix = match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "free space on this disk",
                _ => "check that the folder exists and may be written to",
            };
            file_error(path, format!("cannot be written: {error}"), fix)
        }
    })
}

/// Writes a value as indented JSON.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), ModelError> {
    write_file(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value).map_err(std::io::Error::from)?;
        Ok(file.write_all(b"\n")?)
    })
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), ModelError> {
    std::fs::create_dir_all(folder)
        .map_err(|error| file_error(folder, format!("cannot be made: {error}"), "name a folder that may be written to"))
}

fn fill_and_rename(
    path: &Path,
    temporary: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut writer = BufWriter::with_capacity(1 << 18, File::create(temporary)?);
    fill(&mut writer)?;
    let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(temporary, path)?;
    sync_folder(path);
    Ok(())
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

/// Makes a rename durable. Not every file system can sync a folder; the file is complete either way.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        drop(File::open(folder).and_then(|folder| folder.sync_all()));
    }
}
