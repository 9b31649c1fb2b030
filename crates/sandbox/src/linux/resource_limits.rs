//! `setrlimit(2)`.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::limits::Limits;

const STACK: u64 = 8 << 20;

/// Sets every limit but the address space. A limit that is already lower stays.
pub(super) fn set(limits: &Limits) -> nix::Result<()> {
    lower(Resource::RLIMIT_CORE, 0, 0)?;
    // The first signal can be told from others, the second cannot be ignored.
    lower(Resource::RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds.saturating_add(1))?;
    for (resource, value) in [
        (Resource::RLIMIT_NPROC, limits.processes),
        (Resource::RLIMIT_FSIZE, limits.disk),
        (Resource::RLIMIT_NOFILE, limits.open_files),
        (Resource::RLIMIT_STACK, STACK),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_SIGPENDING, 256),
        (Resource::RLIMIT_RTPRIO, 0),
        (Resource::RLIMIT_NICE, 0),
    ] {
        lower(resource, value, value)?;
    }
    Ok(())
}

/// Limits the address space: the last thing before the interpreter starts, which needs less than this binary does.
pub(super) fn set_address_space(limits: &Limits) -> nix::Result<()> {
    lower(Resource::RLIMIT_AS, limits.memory, limits.memory)
}

fn lower(resource: Resource, soft: u64, hard: u64) -> nix::Result<()> {
    let (_, allowed) = getrlimit(resource)?;
    setrlimit(resource, soft.min(allowed), hard.min(allowed))
}
