//! What the tests share.

use camelid_sandbox::Sandbox;

/// A sandbox whose helper is the crate's own binary, as a test's `main` is not ours.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new().unwrap().with_helper(env!("CARGO_BIN_EXE_camelid-sandbox-helper"))
}
