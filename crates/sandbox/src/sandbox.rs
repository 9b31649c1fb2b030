//! An interpreter, a helper, and what they run.

use std::path::{Path, PathBuf};

use crate::error::SandboxError;
use crate::layer::{Layer, LayerReport};
use crate::limits::{Limits, Strictness};
use crate::outcome::Outcome;
use crate::program::Program;
use crate::python::Python;

/// Where programs run. Finding the interpreter takes a while, so one serves for many runs and from many threads.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) python: Python,
    /// `None`: this process's own binary.
    pub(crate) helper: Option<PathBuf>,
    pub(crate) without: Vec<Layer>,
}

impl Sandbox {
    /// With `python3` of the search path.
    pub fn new() -> Result<Self, SandboxError> {
        Self::with_python(Path::new("python3"))
    }

    /// With the interpreter that `command` starts, for packages of its own.
    pub fn with_python(command: &Path) -> Result<Self, SandboxError> {
        if cfg!(not(target_os = "linux")) {
            return Err(SandboxError::NotLinux);
        }
        Ok(Self { python: Python::find(command)?, helper: None, without: Vec::new() })
    }

    /// With another binary as helper, whose `main` calls [`enter_if_asked`](crate::enter_if_asked).
    #[must_use]
    pub fn with_helper(mut self, binary: impl Into<PathBuf>) -> Self {
        self.helper = Some(binary.into());
        self
    }

    /// Without one of the layers that the helper applies, as on a system that lacks it: shows what the others still hold.
    #[must_use]
    pub fn without(mut self, layer: Layer) -> Self {
        self.without.push(layer);
        self
    }

    /// The interpreter.
    pub fn python(&self) -> &Python {
        &self.python
    }

    /// Runs one program to its end. When it returns, no process of the program is left.
    ///
    /// An error says that the program did not run; whatever the program does is an [`Outcome`].
    pub fn run(&self, program: &Program, limits: &Limits, strictness: Strictness) -> Result<Outcome, SandboxError> {
        limits.check()?;
        #[cfg(target_os = "linux")]
        return crate::linux::run(self, program, limits, strictness);
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (program, strictness);
            Err(SandboxError::NotLinux)
        }
    }

    /// Runs an empty program and says which layers held.
    pub fn check(&self) -> Result<Vec<LayerReport>, SandboxError> {
        Ok(self.run(&Program::script("pass"), &Limits::default(), Strictness::BestEffort)?.layers)
    }
}

/// [`Sandbox::run`] with `python3` of the search path.
pub fn run(program: &Program, limits: &Limits, strictness: Strictness) -> Result<Outcome, SandboxError> {
    Sandbox::new()?.run(program, limits, strictness)
}
