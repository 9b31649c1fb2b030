//! How much a program may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::SandboxError;

const MEBI: u64 = 1 << 20;

/// What a program may use before it is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the start of the interpreter to the end of the last process.
    pub wall: Duration,
    /// Processor time of one process, in whole seconds.
    pub cpu_seconds: u64,
    /// Bytes: the address space of one process and the resident memory of all together.
    pub memory: u64,
    /// Processes and threads at once.
    pub processes: u64,
    /// Bytes on standard output and standard error together.
    pub output: u64,
    /// Bytes of all files in the program's private folder.
    pub disk: u64,
    /// Open descriptors of one process.
    pub open_files: u64,
}

impl Limits {
    /// The least memory with which an interpreter starts.
    pub const LEAST_MEMORY: u64 = 64 * MEBI;

    /// These limits with another time: the wall clock as given, the processor time the next whole second.
    #[must_use]
    pub fn with_seconds(mut self, seconds: f64) -> Self {
        self.wall = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
        self.cpu_seconds = (seconds.ceil() as u64).max(1);
        self
    }

    /// Refuses limits under which nothing could run.
    pub fn check(&self) -> Result<(), SandboxError> {
        let day = Duration::from_hours(24);
        let wrong = |field, value: String, fix| Err(SandboxError::Limit { field, value, fix });
        if self.wall < Duration::from_millis(10) || self.wall > day {
            return wrong("wall", format!("{} s", self.wall.as_secs_f64()), "from 0.01 to 86400 seconds");
        }
        if self.cpu_seconds == 0 {
            return wrong("cpu_seconds", "0".into(), "at least 1");
        }
        if self.memory < Self::LEAST_MEMORY {
            return wrong("memory", format!("{} bytes", self.memory), "at least 64 MiB, the interpreter needs as much");
        }
        if self.processes == 0 {
            return wrong("processes", "0".into(), "at least 1, the program itself");
        }
        if self.disk < 64 * 1024 {
            return wrong("disk", format!("{} bytes", self.disk), "at least 64 KiB, the program's own file lies there");
        }
        if self.open_files < 16 {
            return wrong("open_files", self.open_files.to_string(), "at least 16");
        }
        Ok(())
    }
}

impl Default for Limits {
    /// Ten seconds, a GiB of memory, 32 processes, a MiB of output, 64 MiB of files.
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(10),
            cpu_seconds: 10,
            memory: 1024 * MEBI,
            processes: 32,
            output: MEBI,
            disk: 64 * MEBI,
            open_files: 128,
        }
    }
}

/// What to do where a layer of protection is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strictness {
    /// Run nothing unless every essential layer holds.
    Strict,
    /// Run with the layers there are; [`Outcome::layers`](crate::Outcome::layers) says which are missing. Even
    /// so a program does not run where nothing keeps it from the caller's files.
    BestEffort,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_nothing_could_run_under_is_refused() {
        assert!(Limits::default().check().is_ok());
        let zero = Limits::default().with_seconds(0.0).check().unwrap_err().to_string();
        assert!(zero.contains("wall") && zero.contains("\n  fix: "), "{zero}");
        assert!(Limits::default().with_seconds(f64::NAN).check().is_err());
        assert!(Limits { memory: 1, ..Limits::default() }.check().is_err());
        assert!(Limits { processes: 0, ..Limits::default() }.check().is_err());
        assert!(Limits { disk: 0, ..Limits::default() }.check().is_err());
    }

    #[test]
    fn processor_time_is_the_next_whole_second() {
        let limits = Limits::default().with_seconds(2.5);
        assert_eq!((limits.wall, limits.cpu_seconds), (Duration::from_millis(2500), 3));
    }
}
