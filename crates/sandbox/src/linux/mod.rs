//! The sandbox on Linux. `supervise` is the caller's side; the processes below it are, from the outside in, `helper`, `first`
//! and `enclosed`, which becomes the interpreter.

mod enclosed;
mod filter;
mod first;
mod helper;
mod identity;
mod landlock;
mod memory;
mod private_root;
mod refusals;
mod resource_limits;
mod supervise;
mod system_calls;
mod view;

pub(crate) use helper::enter_if_asked;
pub(crate) use supervise::run;

/// Set for a process that is started as a helper.
const HELPER_VARIABLE: &str = "CAMELID_SANDBOX_HELPER";
/// `nobody` and `nogroup`, whom the superuser becomes.
const NOBODY: u32 = 65534;
