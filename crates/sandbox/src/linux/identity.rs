//! Who the program is: nobody, without any capability.

#![expect(unsafe_code, reason = "capset has no safe form in nix")]

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::NOBODY;

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;
const BOUNDING_DROP: libc::c_int = libc::PR_CAPBSET_DROP;

#[repr(C)]
struct Header {
    version: u32,
    process: i32,
}

/// Becomes nobody if `change`, and gives up every capability for good.
pub(super) fn give_up(change: bool) -> Result<String, String> {
    for capability in 0..64_u64 {
        // SAFETY: takes a number; unknown ones are refused, and without the right there is nothing to give up.
        unsafe { libc::prctl(BOUNDING_DROP, capability, 0, 0, 0) };
    }
    if change {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        setgroups(&[]).map_err(|error| format!("supplementary groups: {}", error.desc()))?;
        setresgid(group, group, group).map_err(|error| format!("group: {}", error.desc()))?;
        setresuid(user, user, user).map_err(|error| format!("user: {}", error.desc()))?;
    }
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    let header = Header { version: VERSION, process: 0 };
    let nothing = [0_u32; 6];
    // SAFETY: the header and two sets of three words, as version 3 has them.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, nothing.as_ptr()) };
    Errno::result(result).map_err(|error| format!("capabilities: {}", error.desc()))?;
    let user = Uid::current();
    if user.is_root() && !change {
        return Ok("without capabilities, still user 0: the interpreter may be readable by it alone".to_owned());
    }
    Ok(format!("user {user}, no capabilities"))
}
