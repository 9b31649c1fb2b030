//! The folder of a run: everything that a person, a board or a notebook looks at.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value as Json;

use crate::TrainError;

/// What was measured at each step.
pub const METRICS: &str = "metrics.jsonl";
/// What the monitor measured on each prompt.
pub const DISTANCES: &str = "distances.jsonl";

/// An open run directory. Held by one process at a time.
pub struct RunDirectory {
    path: PathBuf,
    /// Locked while the run lives; the system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl RunDirectory {
    /// Creates or reopens it. Errors: not writable, or in use by another process.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        fs::create_dir_all(path).map_err(|error| TrainError::write(path, &error))?;
        let lock_path = path.join(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&lock_path);
        let mut lock = lock.map_err(|error| TrainError::write(&lock_path, &error))?;
        if lock.try_lock().is_err() {
            let holder = fs::read_to_string(&lock_path).unwrap_or_default();
            let reason = format!("another run (process {}) uses this directory", holder.trim());
            return Err(TrainError::file(path, reason, "wait for it, stop it, or give this run another name"));
        }
        let written = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        written.map_err(|error| TrainError::write(&lock_path, &error))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Replaces a file as a whole.
    pub fn write(&self, name: &str, contents: &str) -> Result<(), TrainError> {
        let (target, temporary) = (self.path.join(name), self.path.join(format!(".{name}.writing")));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(contents.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &target)
        };
        write().map_err(|error| TrainError::write(&target, &error))
    }

    /// Appends one object to a `.jsonl` file.
    pub fn append<T: Serialize>(&self, name: &str, object: &T) -> Result<(), TrainError> {
        let path = self.path.join(name);
        let line = serde_json::to_string(object).map_err(|error| TrainError::file(&path, error, "report this"))?;
        let open = OpenOptions::new().create(true).append(true).open(&path);
        // One write a line: a kill leaves whole lines, or a last one that readers skip.
        open.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(|error| TrainError::write(&path, &error))
    }

    /// Drops what was measured after `resumed`, so that a resumed run measures each step once; all measurements when
    /// training starts anew. Samples from before the first step stay, those from after the last are drawn again.
    pub fn forget_after(&self, resumed: Option<u64>) -> Result<(), TrainError> {
        let step = resumed.unwrap_or(0);
        for name in [METRICS, DISTANCES] {
            if resumed.is_none() && self.path.join(name).is_file() {
                self.write(name, "")?;
            }
        }
        for (name, step) in [(METRICS, step), (DISTANCES, step), ("samples.jsonl", 0)] {
            let Ok(text) = fs::read_to_string(self.path.join(name)) else { continue };
            let known = |line: &&str| {
                let object: Option<Json> = serde_json::from_str(line).ok();
                object.and_then(|object| object["step"].as_u64()).is_some_and(|at| at <= step)
            };
            let kept: String = text.lines().filter(known).flat_map(|line| [line, "\n"]).collect();
            if kept.len() != text.len() {
                self.write(name, &kept)?;
            }
        }
        Ok(())
    }
}
