//! Why nothing was run.

use std::io;

/// The program did not run, or what it did is not known.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error(
        "running a model's code needs Linux: its namespaces, Landlock and seccomp hold the code\n  fix: run this on Linux, or in a Linux container or virtual machine"
    )]
    NotLinux,
    #[error("limit `{field}` is {value}\n  fix: {fix}")]
    Limit { field: &'static str, value: String, fix: &'static str },
    #[error(
        "no usable Python ({0})\n  fix: install Python 3.8 or later so that `python3` starts it, or name the interpreter"
    )]
    Python(String),
    #[error(
        "Python's own folder {0} contains the home folder, which the program would then read\n  fix: name an interpreter that lives in a folder of its own"
    )]
    PythonTooWide(String),
    #[error(
        "this program cannot be its own sandbox helper: `camelid_sandbox::enter_if_asked` was not called\n  fix: call it first in `main`, or name a helper binary"
    )]
    NotEntered,
    #[error(
        "a sandbox helper was asked to start another\n  fix: call `camelid_sandbox::enter_if_asked` first in `main`"
    )]
    Nested,
    #[error(
        "a strict sandbox needs layers that are missing here:\n{0}  fix: allow what is named above, or accept a weaker sandbox with best effort"
    )]
    Missing(String),
    #[error(
        "neither a private root nor Landlock can be had, so your files would lie open to the program:\n{0}  fix: allow what is named above; best effort does not go as far as this"
    )]
    Bare(String),
    #[error(
        "the sandbox failed while it {what}: {why}\n  fix: `camelid sandbox --check` shows what this machine allows"
    )]
    Setup { what: String, why: String },
    #[error("{what}: {source}\n  fix: check free memory, processes and space in the temporary folder")]
    Io { what: &'static str, source: io::Error },
}

impl SandboxError {
    #[cfg(target_os = "linux")]
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
