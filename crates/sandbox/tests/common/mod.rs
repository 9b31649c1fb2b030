//! What the tests share.

use camelid_sandbox::{Sandbox, Strictness};

/// A sandbox whose helper is the crate's own binary, as a test's `main` is not ours.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new().unwrap().with_helper(env!("CARGO_BIN_EXE_camelid-sandbox-helper"))
}

/// Strict where this machine allows it, and otherwise the best it can do, said aloud.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn strictest(sandbox: &Sandbox) -> Strictness {
    let reports = sandbox.check().unwrap();
    let missing: Vec<_> = reports.iter().filter(|report| report.layer.is_essential() && !report.is_applied()).collect();
    if missing.is_empty() {
        return Strictness::Strict;
    }
    eprintln!("this machine lacks layers, so this test shows less than it could: {missing:?}");
    Strictness::BestEffort
}
