//! Programs after the kernel's rarer doors, and after the network.

use camelid_sandbox::Layer;

use crate::case::{Case, Stop};

macro_rules! table {
    ($($call:ident)*) => { &[$((stringify!($call), libc::$call)),*] };
}

const CALLS: &[(&str, i64)] = table![
    SYS_mknodat SYS_ptrace SYS_process_vm_readv SYS_capset SYS_mount SYS_umount2 SYS_pivot_root SYS_unshare SYS_setns
    SYS_clone SYS_clone3 SYS_keyctl SYS_add_key SYS_perf_event_open SYS_bpf SYS_io_uring_setup SYS_init_module
    SYS_finit_module SYS_kexec_load SYS_userfaultfd SYS_execveat SYS_personality SYS_reboot SYS_swapon SYS_seccomp
    SYS_prctl SYS_ioctl SYS_shmget SYS_open_by_handle_at SYS_inotify_init1 SYS_open_tree SYS_fsopen SYS_sethostname
    SYS_clock_settime SYS_pidfd_open SYS_memfd_create SYS_mq_open SYS_syslog
];

/// The numbers of system calls, as a Python table.
pub(crate) fn numbers() -> String {
    let entries = CALLS.iter().map(|(name, number)| format!("'{}': {number}", name.trim_start_matches("SYS_")));
    format!("SYS = {{{}}}\n", entries.collect::<Vec<_>>().join(", "))
}

pub(crate) fn cases() -> Vec<Case> {
    let refused = Stop::Refused;
    let network = [
        Case::new(
            "connects to the internet",
            refused("socket"),
            "
import socket
socket.create_connection(('1.1.1.1', 80), timeout=2)
print('ESCAPED')",
        ),
        Case::new(
            "connects to this machine",
            refused("socket"),
            "
import socket
socket.socket().connect(('127.0.0.1', 22))
print('ESCAPED')",
        ),
        Case::new(
            "listens on a port",
            refused("socket"),
            "
import socket
listener = socket.socket()
listener.bind(('0.0.0.0', 0))
listener.listen()
print('listening, where nobody can connect')",
        ),
        Case::new(
            "asks a name server",
            refused("socket"),
            "
import socket
socket.gethostbyname('example.org')
print('ESCAPED')",
        ),
        Case::new(
            "sends datagrams",
            refused("socket"),
            "
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))
print('ESCAPED')",
        ),
        Case::new(
            "connects to a service's unix socket",
            refused("socket"),
            "
import socket
s = socket.socket(socket.AF_UNIX)
for path in ('/run/docker.sock', '/run/systemd/private', '/run/dbus/system_bus_socket', '\\0/tmp/.X11-unix/X0'):
    try:
        s.connect(path)
        print('ESCAPED', path)
    except OSError as error:
        print(error)
raise SystemExit(1)",
        ),
        Case::new(
            "opens a raw packet socket",
            refused("socket"),
            "
import socket
socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
print('ESCAPED')",
        ),
        Case::new(
            "talks to the kernel by netlink",
            refused("socket"),
            "
import socket
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
s.bind((0, 0))
raise SystemExit('nobody answers')",
        ),
    ];
    // What each may do without the filter is stopped by missing rights; `ESCAPED` says that it was not.
    let calls = [
        Case::new(
            "mounts a file system",
            refused("mount"),
            "call(SYS['mount'], b'none', b'/sandbox', b'tmpfs', 0, 0)\nprint('ESCAPED')",
        ),
        Case::new("unmounts", refused("umount2"), "call(SYS['umount2'], b'/dev/null', 2)\nprint('ESCAPED')"),
        Case::new("copies a mount", refused("open_tree"), "call(SYS['open_tree'], -100, b'/', 1)\nprint('ESCAPED')"),
        Case::new("opens a file system", refused("fsopen"), "call(SYS['fsopen'], b'proc', 0)\nprint('ESCAPED')"),
        Case::new("changes its root: chroot", refused("chroot"), "os.chroot('.')\nprint('ESCAPED')"),
        Case::new(
            "changes its root: pivot_root",
            refused("pivot_root"),
            "call(SYS['pivot_root'], b'.', b'.')\nprint('ESCAPED')",
        ),
        Case::new(
            "makes a user namespace: unshare",
            refused("unshare"),
            "call(SYS['unshare'], 0x10000000)\nprint(os.getpid())",
        ),
        Case::new(
            "makes a user namespace: clone",
            refused("clone"),
            "
if libc.syscall(SYS['clone'], 0x10000000 | 17, 0, 0, 0, 0) == 0:
    os._exit(0)",
        ),
        Case::new(
            "makes namespaces: clone3",
            Stop::Says(Layer::Seccomp, "Function not implemented"),
            "
call(SYS['clone3'], (ctypes.c_ulonglong * 11)(0x10000000), 88)",
        ),
        Case::new("joins a namespace", refused("setns"), "call(SYS['setns'], 0, 0)\nprint('ESCAPED')"),
        Case::new("reads the kernel's keys", refused("keyctl"), "call(SYS['keyctl'], 0, -3, 1)"),
        Case::new("adds a key", refused("add_key"), "call(SYS['add_key'], b'user', b'x', b'y', 1, -2)"),
        Case::new(
            "counts processor events",
            refused("perf_event_open"),
            "call(SYS['perf_event_open'], (ctypes.c_char * 128)(), 0, -1, -1, 0)\nprint('ESCAPED')",
        ),
        Case::new(
            "loads a bpf program",
            refused("bpf"),
            "call(SYS['bpf'], 5, (ctypes.c_char * 128)(), 128)\nprint('ESCAPED')",
        ),
        Case::new(
            "sets up io_uring",
            refused("io_uring_setup"),
            "call(SYS['io_uring_setup'], 8, (ctypes.c_char * 256)())",
        ),
        Case::new(
            "loads a kernel module",
            refused("init_module"),
            "call(SYS['init_module'], b'x', 1, b'')\nprint('ESCAPED')",
        ),
        Case::new(
            "loads a kernel module from a file",
            refused("finit_module"),
            "call(SYS['finit_module'], 0, b'', 0)\nprint('ESCAPED')",
        ),
        Case::new(
            "loads another kernel",
            refused("kexec_load"),
            "call(SYS['kexec_load'], 0, 0, 0, 0)\nprint('ESCAPED')",
        ),
        Case::new("restarts the machine", refused("reboot"), "call(SYS['reboot'], 0, 0, 0, 0)\nprint('ESCAPED')"),
        Case::new("swaps to a file", refused("swapon"), "call(SYS['swapon'], b'x', 0)\nprint('ESCAPED')"),
        Case::new("handles page faults itself", refused("userfaultfd"), "call(SYS['userfaultfd'], 1)"),
        Case::new(
            "runs a program from memory",
            refused("memfd_create"),
            "
descriptor = os.memfd_create('tool')
os.write(descriptor, open('/bin/true', 'rb').read())
os.execve(descriptor, ['tool'], {})",
        ),
        Case::new(
            "runs a descriptor",
            refused("execveat"),
            "call(SYS['execveat'], 0, b'', 0, 0, 0x1000)\nprint('ESCAPED')",
        ),
        Case::new("turns address randomisation off", refused("personality"), "call(SYS['personality'], 0x0040000)"),
        Case::new(
            "installs a filter of its own",
            refused("seccomp"),
            "call(SYS['seccomp'], 1, 0, 0)\nprint('ESCAPED')",
        ),
        Case::new(
            "changes what its process may do",
            refused("prctl"),
            "call(SYS['prctl'], 35, 0, 0, 0, 0)\nprint('ESCAPED')",
        ),
        Case::new(
            "types into a terminal",
            Stop::Says(Layer::Seccomp, "Function not implemented"),
            "
call(SYS['ioctl'], 0, 0x5412, b'x')
print('ESCAPED')",
        ),
        Case::new("shares memory by System V", refused("shmget"), "call(SYS['shmget'], 0, 1 << 20, 0o1666)"),
        Case::new("opens a message queue", refused("mq_open"), "call(SYS['mq_open'], b'queue', 0o102, 0o600, 0)"),
        Case::new(
            "opens a file by its handle",
            refused("open_by_handle_at"),
            "
call(SYS['open_by_handle_at'], -100, (ctypes.c_char * 32)(8), 0)
print('ESCAPED')",
        ),
        Case::new(
            "watches files",
            refused("inotify_init1"),
            "
while True:
    call(SYS['inotify_init1'], 0)",
        ),
        Case::new(
            "holds another process by descriptor",
            refused("pidfd_open"),
            "call(SYS['pidfd_open'], @VICTIM@, 0)\nprint('a descriptor alone')",
        ),
        Case::new("renames the machine", refused("sethostname"), "call(SYS['sethostname'], b'x', 1)\nprint('ESCAPED')"),
        Case::new(
            "sets the clock",
            refused("clock_settime"),
            "call(SYS['clock_settime'], 0, (ctypes.c_long * 2)())\nprint('ESCAPED')",
        ),
        Case::new("reads the kernel's log", refused("syslog"), "call(SYS['syslog'], 3, (ctypes.c_char * 64)(), 64)"),
    ];
    network.into_iter().chain(calls).collect()
}
