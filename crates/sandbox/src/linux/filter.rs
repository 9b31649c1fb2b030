//! Which system calls reach the kernel: a list of what Python programs need, and nothing else.

#![expect(unsafe_code, reason = "the seccomp system call has no safe form that returns a listener")]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Compare, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::helper::owned;
use super::system_calls::{ATTRIBUTES, ATTRIBUTES_HERE, FORKS, IOCTLS, PRCTLS, SIGNALS, allowed};

/// What the other layers leave to the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope {
    /// A pid namespace ends all processes and keeps their signals. Otherwise the program has itself alone: it starts no
    /// process, and signals and changes no other.
    pub(super) many_processes: bool,
    /// A private root shows no file of others. Otherwise no mode, owner or time may be changed.
    pub(super) own_files: bool,
}

/// `clone` flags that make namespaces: mount, cgroup, UTS, IPC, user, pid, network and time.
const NAMESPACES: u64 = 0x7e02_0080;
const THREAD: u64 = libc::CLONE_THREAD as u64;
/// Of `fcntl(2)`, which `libc` leaves out.
const F_SETOWN_EX: libc::c_int = 15;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Installs the filter for this process. What is not allowed goes to the listener that is returned, or, where the kernel gives
/// none because another supervisor has it already, fails as if the kernel did not know it.
pub(super) fn install(scope: Scope) -> Result<Option<OwnedFd>, String> {
    let program = compile(scope)?;
    match load(&redirect(&program, libc::SECCOMP_RET_USER_NOTIF), libc::SECCOMP_FILTER_FLAG_NEW_LISTENER) {
        Ok(listener) => owned(listener).map(Some).map_err(|error| error.to_string()),
        Err(Errno::EBUSY | Errno::EINVAL) => {
            let unknown = libc::SECCOMP_RET_ERRNO | Errno::ENOSYS as u32;
            load(&redirect(&program, unknown), 0).map(|_| None).map_err(|error| error.desc().to_owned())
        }
        Err(error) => Err(error.desc().to_owned()),
    }
}

/// The filter, with `SECCOMP_RET_TRAP` for what is refused.
fn compile(scope: Scope) -> Result<BpfProgram, String> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let rules = rules(scope).map_err(|error| error.to_string())?;
    let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, architecture);
    let filter = filter.map_err(|error| error.to_string())?;
    BpfProgram::try_from(filter).map_err(|error| error.to_string())
}

fn rules(scope: Scope) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let is = |argument: u8, compare: Compare, value: u64| SeccompCondition::new(argument, Width::Qword, compare, value);
    let low = |argument: u8, value: u64| SeccompCondition::new(argument, Width::Dword, Compare::Eq, value);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = allowed().map(|call| (call, Vec::new())).collect();
    let each = |argument: u8, values: &[u64]| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        values.iter().map(|&value| SeccompRule::new(vec![low(argument, value)?])).collect()
    };
    rules.insert(libc::SYS_ioctl, each(1, IOCTLS)?);
    rules.insert(libc::SYS_prctl, each(0, PRCTLS)?);
    rules.insert(libc::SYS_socketpair, each(0, &[libc::AF_UNIX as u64])?);
    let mut clone = vec![is(0, Compare::MaskedEq(NAMESPACES), 0)?];
    if scope.many_processes {
        rules.extend(FORKS.iter().chain(SIGNALS).map(|&call| (call, Vec::new())));
    } else {
        clone.push(is(0, Compare::MaskedEq(THREAD), THREAD)?);
        let own = u64::from(std::process::id());
        rules.insert(libc::SYS_kill, each(0, &[own])?);
        rules.insert(libc::SYS_tgkill, each(0, &[own])?);
        // Limits, processors, priorities and ownership of descriptors reach other processes of the same user.
        rules.insert(libc::SYS_prlimit64, each(0, &[0, own])?);
        rules.insert(libc::SYS_sched_setaffinity, each(0, &[0, own])?);
        rules.insert(libc::SYS_setpriority, vec![SeccompRule::new(vec![low(0, 0)?, low(1, 0)?])?]);
        let unlike = |value: libc::c_int| SeccompCondition::new(1, Width::Dword, Compare::Ne, value as u64);
        let owners = vec![unlike(libc::F_SETOWN)?, unlike(F_SETOWN_EX)?];
        rules.insert(libc::SYS_fcntl, vec![SeccompRule::new(owners)?]);
    }
    if scope.own_files {
        rules.extend(ATTRIBUTES.iter().chain(ATTRIBUTES_HERE).map(|&(call, _)| (call, Vec::new())));
    }
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(clone)?]);
    Ok(rules)
}

/// Puts `action` where the compiled filter traps: the compiler has no word for notifications.
fn redirect(program: &BpfProgram, action: u32) -> Vec<libc::sock_filter> {
    let replaced = |code: u16, k: u32| if code == RETURN && k == libc::SECCOMP_RET_TRAP { action } else { k };
    let instructions = program.iter();
    instructions.map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: replaced(i.code, i.k) }).collect()
}

fn load(filter: &[libc::sock_filter], flags: libc::c_ulong) -> nix::Result<libc::c_long> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: a program with its length, which the kernel copies and checks.
    Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_compiles_and_refuses_by_the_given_action() {
        for (many_processes, own_files) in [(true, true), (false, true), (true, false), (false, false)] {
            let scope = Scope { many_processes, own_files };
            let program = compile(scope).unwrap();
            let notifying = redirect(&program, libc::SECCOMP_RET_USER_NOTIF);
            let count = |action| notifying.iter().filter(|i| i.code == RETURN && i.k == action).count();
            assert!(count(libc::SECCOMP_RET_USER_NOTIF) > 0);
            assert_eq!(count(libc::SECCOMP_RET_TRAP), 0);
        }
    }

    #[test]
    fn namespace_flags_are_all_of_them() {
        let flags = libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | 0x80;
        assert_eq!(u64::from(flags.cast_unsigned()), NAMESPACES);
    }
}
