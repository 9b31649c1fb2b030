//! Programs that a model wrote, run where they can do no harm.

use std::path::Path;

use camelid_eval::task::{CodeRunner, Failure, FailureKind, Verdict};
use camelid_sandbox::{Limits, Program, Sandbox, Strictness};

/// Seconds that a program and its tests may take.
const SECONDS: f64 = 10.0;

/// Runs each program in a sandbox of its own.
pub(crate) struct Programs {
    sandbox: Sandbox,
    limits: Limits,
    strictness: Strictness,
}

impl Programs {
    /// Finds the interpreter and tries a first program, so that a machine without a sandbox is told before a model is loaded.
    pub(crate) fn open(python: &Path, best_effort: bool) -> anyhow::Result<Self> {
        let strictness = if best_effort { Strictness::BestEffort } else { Strictness::Strict };
        let sandbox = Sandbox::with_python(python)?;
        let limits = Limits::default().with_seconds(SECONDS);
        sandbox.run(&Program::tests("assert 1 + 1 == 2"), &limits, strictness)?;
        Ok(Self { sandbox, limits, strictness })
    }
}

impl CodeRunner for Programs {
    fn run(&mut self, program: &str) -> Result<Verdict, Failure> {
        let outcome = self
            .sandbox
            .run(&Program::tests(program), &self.limits, self.strictness)
            .map_err(|error| Failure { kind: FailureKind::Server, message: error.to_string() })?;
        let last = outcome.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let reason = if outcome.passed() || last.is_empty() {
            outcome.verdict.to_string()
        } else {
            format!("{}: {last}", outcome.verdict)
        };
        Ok(Verdict { passed: outcome.passed(), reason })
    }
}
