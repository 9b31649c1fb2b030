//! What became of a program.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::layer::{Layer, LayerReport};
use crate::limits::Limits;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Exit code 0, and its last line reached where that was asked.
    Passed,
    /// Another exit code.
    Failed {
        /// What it ended with.
        exit_code: i32,
    },
    /// Exit code 0 before the last line: nothing was proved.
    EndedEarly,
    /// Too long, by the clock or the processor.
    TimedOut,
    /// Too much memory.
    OutOfMemory,
    /// Too much output.
    OutputLimit,
    /// Ended by a signal, a crash as a rule.
    Killed {
        /// Its number: 11 is `SIGSEGV`.
        signal: i32,
    },
    /// Ended in an error after a system call that no such program may make.
    ForbiddenCall {
        /// The first one.
        call: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => formatter.write_str("passed"),
            Self::Failed { exit_code } => write!(formatter, "failed with exit code {exit_code}"),
            Self::EndedEarly => formatter.write_str("ended before its last line"),
            Self::TimedOut => formatter.write_str("timed out"),
            Self::OutOfMemory => formatter.write_str("out of memory"),
            Self::OutputLimit => formatter.write_str("too much output"),
            Self::Killed { signal } => write!(formatter, "killed by signal {signal}"),
            Self::ForbiddenCall { call } => write!(formatter, "forbidden call: {call}"),
        }
    }
}

/// What became of a program.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// The layer that ended it or refused what it needed, where that is known.
    pub stopped_by: Option<Layer>,
    /// System calls that were refused, each once, in order; also of programs that passed.
    pub refused: Vec<String>,
    /// The end of standard output, at most [`TAIL`](Self::TAIL) bytes.
    pub stdout: String,
    /// The end of standard error, at most [`TAIL`](Self::TAIL) bytes.
    pub stderr: String,
    /// From the start of the helper to the end of the last process.
    pub wall: Duration,
    /// Processor time of all processes that were waited for; zero where the program was killed.
    pub cpu: Duration,
    /// Which layers held.
    pub layers: Vec<LayerReport>,
}

impl Outcome {
    /// How much is kept of each stream.
    pub const TAIL: usize = 16 * 1024;

    /// Whether the program passed.
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// The layers that did not hold.
    pub fn missing(&self) -> impl Iterator<Item = &LayerReport> {
        self.layers.iter().filter(|report| !report.is_applied())
    }
}

/// What is known of a program's end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending<'a> {
    /// The layer for which the parent ended it.
    pub(crate) ended_for: Option<Layer>,
    pub(crate) status: Option<Status>,
    pub(crate) refused: &'a [String],
    pub(crate) cpu: Duration,
    pub(crate) reached_end: bool,
    pub(crate) stderr: &'a str,
}

/// How the interpreter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Code(i32),
    Signal(i32),
}

/// `SIGKILL`, `SIGXCPU` and `SIGSYS` as Linux numbers them on x86-64, ARM and RISC-V.
const KILL: i32 = 9;
const CPU: i32 = 24;
const SYSTEM_CALL: i32 = 31;

/// The verdict and the layer behind it.
///
/// An address space that ends shows as Python's `MemoryError`, so the last line of standard error decides. An assertion that
/// fails is a failure whatever was refused before.
pub(crate) fn judge(ending: &Ending, limits: &Limits) -> (Verdict, Option<Layer>) {
    match ending.ended_for {
        Some(Layer::OutputLimit) => return (Verdict::OutputLimit, Some(Layer::OutputLimit)),
        Some(Layer::MemoryWatch) => return (Verdict::OutOfMemory, Some(Layer::MemoryWatch)),
        Some(layer) => return (Verdict::TimedOut, Some(layer)),
        None => {}
    }
    let last_line = ending.stderr.trim_end().lines().next_back().unwrap_or_default();
    match ending.status {
        None => (Verdict::Killed { signal: KILL }, None),
        Some(Status::Signal(CPU)) => (Verdict::TimedOut, Some(Layer::ResourceLimits)),
        Some(Status::Signal(KILL)) if ending.cpu.as_secs() >= limits.cpu_seconds => {
            (Verdict::TimedOut, Some(Layer::ResourceLimits))
        }
        Some(Status::Signal(SYSTEM_CALL)) => {
            (Verdict::ForbiddenCall { call: "of another architecture".into() }, Some(Layer::Seccomp))
        }
        Some(Status::Signal(signal)) => (Verdict::Killed { signal }, None),
        Some(Status::Code(0)) if ending.reached_end => (Verdict::Passed, None),
        Some(Status::Code(0)) => (Verdict::EndedEarly, None),
        Some(Status::Code(_)) if last_line.starts_with("MemoryError") => {
            (Verdict::OutOfMemory, Some(Layer::ResourceLimits))
        }
        Some(Status::Code(exit_code)) => match ending.refused.first() {
            Some(call) if !last_line.starts_with("AssertionError") => {
                (Verdict::ForbiddenCall { call: call.clone() }, Some(Layer::Seccomp))
            }
            _ => (Verdict::Failed { exit_code }, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: Status, stderr: &str, refused: &[String], reached_end: bool) -> (Verdict, Option<Layer>) {
        let ending = Ending { status: Some(status), stderr, refused, reached_end, ..Ending::default() };
        judge(&ending, &Limits::default())
    }

    #[test]
    fn exit_code_zero_passes_only_at_the_last_line() {
        assert_eq!(judged(Status::Code(0), "", &[], true).0, Verdict::Passed);
        assert_eq!(judged(Status::Code(0), "", &[], false).0, Verdict::EndedEarly);
    }

    #[test]
    fn the_last_line_of_an_error_tells_memory_and_assertions() {
        let refused = ["socket".to_owned()];
        let memory = judged(Status::Code(1), "Traceback\nMemoryError\n", &[], false);
        assert_eq!(memory, (Verdict::OutOfMemory, Some(Layer::ResourceLimits)));
        let call = judged(Status::Code(1), "PermissionError: [Errno 1]\n", &refused, false);
        assert_eq!(call, (Verdict::ForbiddenCall { call: "socket".into() }, Some(Layer::Seccomp)));
        let assertion = judged(Status::Code(1), "AssertionError: 3\n", &refused, false);
        assert_eq!(assertion, (Verdict::Failed { exit_code: 1 }, None));
    }

    #[test]
    fn a_kill_counts_as_time_only_after_the_limit() {
        assert_eq!(judged(Status::Signal(24), "", &[], false).0, Verdict::TimedOut);
        assert_eq!(judged(Status::Signal(9), "", &[], false).0, Verdict::Killed { signal: 9 });
        let ending = Ending { status: Some(Status::Signal(9)), cpu: Duration::from_secs(11), ..Ending::default() };
        assert_eq!(judge(&ending, &Limits::default()), (Verdict::TimedOut, Some(Layer::ResourceLimits)));
    }
}
