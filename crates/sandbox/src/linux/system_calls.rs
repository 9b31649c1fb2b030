//! System calls by number: what programs may call, and what has a name when it is refused.
//!
//! Numbers are `libc`'s for the architecture this was compiled for. A call on neither list does not exist for programs.

macro_rules! numbers {
    ($($call:ident)*) => { &[$(libc::$call),*] };
}

macro_rules! names {
    ($($call:ident)*) => { &[$((libc::$call, stringify!($call))),*] };
}

/// Allowed whatever the arguments: files, memory, threads, time, waiting, pipes.
const EVERYWHERE: &[i64] = numbers![
    SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_preadv SYS_pwritev
    SYS_preadv2 SYS_pwritev2 SYS_close SYS_close_range SYS_lseek SYS_fstat SYS_newfstatat SYS_statx
    SYS_statfs SYS_fstatfs SYS_openat SYS_faccessat SYS_faccessat2 SYS_readlinkat SYS_getdents64
    SYS_getcwd SYS_chdir SYS_fchdir SYS_mkdirat SYS_unlinkat SYS_renameat2 SYS_symlinkat SYS_linkat
    SYS_ftruncate     SYS_fallocate SYS_fsync SYS_fdatasync SYS_copy_file_range SYS_sendfile SYS_fadvise64 SYS_flock
    SYS_fcntl SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_listxattr SYS_llistxattr SYS_flistxattr
    SYS_dup SYS_dup3 SYS_pipe2 SYS_eventfd2 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait
    SYS_epoll_pwait2 SYS_ppoll SYS_pselect6 SYS_timerfd_create SYS_timerfd_settime
    SYS_timerfd_gettime SYS_signalfd4 SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_madvise
    SYS_msync SYS_mincore SYS_brk SYS_membarrier SYS_rt_sigaction SYS_rt_sigprocmask
    SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait SYS_rt_sigsuspend SYS_sigaltstack
    SYS_getpid SYS_getppid SYS_gettid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getresuid
    SYS_getresgid SYS_getgroups SYS_getpgid SYS_getsid SYS_setpgid SYS_setsid SYS_umask
    SYS_sched_yield SYS_sched_getaffinity SYS_sched_setaffinity SYS_sched_getparam
    SYS_sched_getscheduler SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_getpriority
    SYS_setpriority SYS_prlimit64 SYS_getrusage SYS_times SYS_sysinfo SYS_uname SYS_getcpu
    SYS_capget SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday
    SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_settime SYS_timer_gettime
    SYS_timer_delete SYS_timer_getoverrun SYS_futex SYS_set_tid_address SYS_set_robust_list
    SYS_get_robust_list SYS_rseq SYS_getrandom SYS_restart_syscall SYS_exit SYS_exit_group SYS_wait4
    SYS_waitid SYS_execve SYS_sendto SYS_recvfrom SYS_sendmsg SYS_recvmsg SYS_shutdown
    SYS_getsockopt SYS_getsockname SYS_getpeername
];

/// Older forms of the same calls, which newer architectures never had.
#[cfg(target_arch = "x86_64")]
const HERE: &[i64] = numbers![
    SYS_open SYS_creat SYS_stat SYS_lstat SYS_access SYS_readlink SYS_rename SYS_renameat SYS_mkdir
    SYS_rmdir SYS_unlink SYS_symlink SYS_link SYS_pipe SYS_dup2
    SYS_poll SYS_select SYS_epoll_create SYS_epoll_wait SYS_eventfd SYS_signalfd SYS_getdents
    SYS_getpgrp SYS_alarm SYS_pause SYS_time SYS_arch_prctl
    SYS_getrlimit SYS_setrlimit
];
#[cfg(not(target_arch = "x86_64"))]
const HERE: &[i64] = &[];

/// All that is allowed whatever the arguments.
pub(super) fn allowed() -> impl Iterator<Item = i64> {
    EVERYWHERE.iter().chain(HERE).copied()
}

/// Change mode, owner, times or length by path, which Landlock does not look at or not on every kernel; allowed where a
/// private root shows no file but the program's own.
pub(super) const ATTRIBUTES: &[(i64, &str)] =
    names![SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_utimensat SYS_truncate];
#[cfg(target_arch = "x86_64")]
pub(super) const ATTRIBUTES_HERE: &[(i64, &str)] =
    names![SYS_chmod SYS_chown SYS_lchown SYS_utime SYS_utimes SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const ATTRIBUTES_HERE: &[(i64, &str)] = &[];

/// Make a process; allowed where a pid namespace ends it.
#[cfg(target_arch = "x86_64")]
pub(super) const FORKS: &[i64] = numbers![SYS_fork SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const FORKS: &[i64] = &[];

/// Send a signal; allowed where a pid namespace keeps it.
pub(super) const SIGNALS: &[i64] = numbers![SYS_kill SYS_tkill SYS_tgkill];

/// Requests of `ioctl` about a descriptor itself: bytes waiting, close on exec, blocking, and whether it is a terminal.
pub(super) const IOCTLS: &[u64] =
    &[libc::FIONREAD, libc::FIOCLEX, libc::FIONCLEX, libc::FIONBIO, libc::TCGETS, libc::TIOCGWINSZ];

/// Options of `prctl` that read, or name threads and memory.
pub(super) const PRCTLS: &[u64] = &[
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    libc::PR_GET_PDEATHSIG as u64,
    libc::PR_SET_PDEATHSIG as u64,
    libc::PR_GET_DUMPABLE as u64,
    libc::PR_CAPBSET_READ as u64,
    libc::PR_GET_NO_NEW_PRIVS as u64,
    libc::PR_SET_VMA as u64,
];

/// Refused with "not permitted" and named in the outcome. Some are allowed with other arguments.
const FORBIDDEN: &[(i64, &str)] = names![
    SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_kcmp SYS_mount
    SYS_umount2 SYS_move_mount SYS_open_tree SYS_fsopen SYS_fsmount SYS_fsconfig SYS_fspick
    SYS_mount_setattr SYS_pivot_root SYS_chroot SYS_unshare SYS_setns SYS_clone SYS_kill SYS_tkill
    SYS_tgkill SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo SYS_pidfd_open SYS_pidfd_send_signal
    SYS_pidfd_getfd SYS_keyctl SYS_add_key SYS_request_key SYS_perf_event_open SYS_bpf
    SYS_userfaultfd SYS_seccomp SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register
    SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_reboot SYS_swapon
    SYS_swapoff SYS_acct SYS_quotactl SYS_syslog SYS_socket SYS_socketpair SYS_connect SYS_bind
    SYS_listen SYS_accept SYS_accept4 SYS_setsockopt SYS_memfd_create SYS_memfd_secret SYS_execveat
    SYS_shmget SYS_shmat SYS_shmctl SYS_semget SYS_semop SYS_msgget SYS_msgsnd SYS_msgrcv
    SYS_mq_open SYS_personality SYS_settimeofday SYS_clock_settime SYS_adjtimex SYS_clock_adjtime
    SYS_sethostname SYS_setdomainname SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid
    SYS_setresgid SYS_setgroups SYS_setfsuid SYS_setfsgid SYS_capset SYS_mknodat SYS_fanotify_init
    SYS_fanotify_mark SYS_inotify_init1 SYS_inotify_add_watch SYS_name_to_handle_at
    SYS_open_by_handle_at SYS_landlock_create_ruleset SYS_landlock_restrict_self SYS_lookup_dcookie
    SYS_vhangup SYS_prctl SYS_nfsservctl SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_removexattr
    SYS_mlock SYS_mlockall SYS_mlock2 SYS_ioprio_set SYS_sched_setscheduler SYS_sched_setattr
    SYS_sched_setparam SYS_mbind SYS_set_mempolicy SYS_migrate_pages SYS_move_pages
    SYS_pkey_mprotect
];
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[(i64, &str)] = names![
    SYS_fork SYS_vfork SYS_mknod SYS_inotify_init SYS_iopl SYS_ioperm SYS_modify_ldt SYS_uselib
    SYS_ustat SYS_sysfs
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[(i64, &str)] = &[];

/// The name of a forbidden call.
pub(super) fn name(number: i32) -> Option<&'static str> {
    let number = i64::from(number);
    let found = FORBIDDEN
        .iter()
        .chain(FORBIDDEN_HERE)
        .chain(ATTRIBUTES)
        .chain(ATTRIBUTES_HERE)
        .find(|&&(call, _)| call == number);
    found.and_then(|(_, name)| name.strip_prefix("SYS_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_both_allowed_and_forbidden() {
        let both: Vec<_> = allowed().filter_map(|call| name(call as i32)).collect();
        assert!(both.is_empty(), "{both:?}");
    }

    #[test]
    fn names_are_those_of_the_manual() {
        assert_eq!(name(libc::SYS_ptrace as i32), Some("ptrace"));
        assert_eq!(name(libc::SYS_read as i32), None);
        assert_eq!(name(-1), None);
    }
}
