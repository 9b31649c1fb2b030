//! Runs Python that a model wrote where it can do no harm.
//!
//! A program runs in a process that this one starts from its own binary: `main` calls [`enter_if_asked`] first, and the
//! process that was started as a helper never returns from it. The helper puts the layers of [`Layer`] around
//! `python3 -I`, each reported as applied or unavailable with the reason, and watches over it to the end:
//!
//! ```text
//! caller: clock, output, memory --socket--> helper: namespaces --> first process: private root, refusals --> python
//! ```
//!
//! The first process is number 1 of its pid namespace, so when it ends the kernel ends everything in there; [`run`] returns
//! after that. It works for the superuser, who becomes user 65534 inside, and for ordinary users.
//! [`Strictness::Strict`] runs nothing unless all essential layers hold.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing runs elsewhere"))]

mod error;
mod layer;
mod limits;
#[cfg(target_os = "linux")]
mod linux;
mod many;
mod outcome;
mod program;
mod python;
mod sandbox;
#[cfg(target_os = "linux")]
mod wire;

pub use error::SandboxError;
pub use layer::{Layer, LayerReport, LayerState};
pub use limits::{Limits, Strictness};
pub use many::run_many;
pub use outcome::{Outcome, Verdict};
pub use program::Program;
pub use python::Python;
pub use sandbox::{Sandbox, run};

/// Becomes a sandbox helper if this process was started as one, and then never returns.
///
/// Must be the first call of `main`, before any thread is started.
pub fn enter_if_asked() {
    #[cfg(target_os = "linux")]
    linux::enter_if_asked();
}
