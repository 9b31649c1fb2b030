//! Programs after other processes, and after rights.

use camelid_sandbox::{Layer, Verdict};

use crate::case::{Case, Stop};

pub(crate) fn cases() -> Vec<Case> {
    let pids = Layer::PidNamespace;
    let limits = Layer::ResourceLimits;
    vec![
        Case::new(
            "kills another process",
            Stop::Says(pids, "ProcessLookupError"),
            "os.kill(@VICTIM@, 9)\nprint('ESCAPED')",
        ),
        Case::new(
            "kills who started it",
            Stop::Says(pids, "ProcessLookupError"),
            "os.kill(@PARENT@, 9)\nprint('ESCAPED')",
        ),
        Case::new(
            "kills its parent",
            Stop::InVain(pids),
            "
import time
for signal in (15, 2, 19, 9):
    try:
        os.kill(os.getppid(), signal)
    except OSError as error:
        print(error)
time.sleep(0.1)",
        ),
        Case::new(
            "kills everything: kill -9 -1",
            Stop::InVain(pids),
            "
try:
    os.kill(-1, 9)
except OSError as error:
    print(error)",
        ),
        Case::new(
            "stops and hangs up its process group",
            Stop::InVain(pids),
            "
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
try:
    os.killpg(0, signal.SIGTERM)
except OSError as error:
    print(error)",
        ),
        Case::new(
            "leaves a daemon behind",
            Stop::InVain(pids),
            "
import time
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for descriptor in range(3):
                os.close(descriptor)
            time.sleep(60)
        os._exit(0)
    time.sleep(0.2)
except OSError as error:
    print(error)",
        ),
        Case::new(
            "leaves children that ignore signals",
            Stop::InVain(pids),
            "
import signal, time
try:
    for _ in range(5):
        if os.fork() == 0:
            for number in range(1, 32):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            while True:
                time.sleep(60)
except OSError as error:
    print(error)",
        ),
        Case::new("forks without end", Stop::Says(limits, "BlockingIOError"), "while True:\n    os.fork()"),
        Case::new(
            "starts threads without end",
            Stop::Says(limits, "can't start new thread"),
            "
import threading, time
while True:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        ),
        Case::new("sleeps for ever", Stop::Ends(Layer::WallClock, Verdict::TimedOut), "import time\ntime.sleep(1e6)")
            .seconds(1, 10),
        Case::new(
            "ignores every signal and sleeps",
            Stop::Ends(Layer::WallClock, Verdict::TimedOut),
            "
import signal, time
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    time.sleep(1)",
        )
        .seconds(1, 10),
        Case::new("computes for ever", Stop::Ends(limits, Verdict::TimedOut), "while True:\n    pass").seconds(30, 1),
        Case::new(
            "ignores the processor's limit",
            Stop::Ends(limits, Verdict::TimedOut),
            "
import signal
signal.signal(signal.SIGXCPU, signal.SIG_IGN)
while True:
    pass",
        )
        .seconds(30, 1),
        Case::new(
            "raises its own limits",
            Stop::Says(limits, "ValueError"),
            "
import resource
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print('ESCAPED')",
        ),
        Case::new(
            "raises the limits of another process",
            Stop::Says(pids, "ProcessLookupError"),
            "
import resource
resource.prlimit(@VICTIM@, resource.RLIMIT_CPU, (1, 1))
print('ESCAPED')",
        ),
        Case::new(
            "traces another process",
            Stop::Refused("ptrace"),
            "call(SYS['ptrace'], 16, @VICTIM@, 0, 0)\nprint('ESCAPED')",
        ),
        Case::new(
            "reads another process's memory",
            Stop::Refused("process_vm_readv"),
            "
here = ctypes.create_string_buffer(8)
local = (ctypes.c_void_p * 2)(ctypes.addressof(here), 8)
remote = (ctypes.c_void_p * 2)(0x400000, 8)
call(SYS['process_vm_readv'], @VICTIM@, local, 1, remote, 1, 0)
print('ESCAPED')",
        ),
        Case::new("becomes the superuser", Stop::Refused("setuid"), "os.setuid(0)\nprint('ESCAPED')"),
        Case::new(
            "runs a setuid program",
            Stop::InVain(Layer::NoNewPrivileges),
            "
import subprocess
for tool in ('/usr/bin/su', '/bin/su', '/usr/bin/sudo', '/usr/bin/mount', '/usr/bin/newgrp'):
    try:
        result = subprocess.run([tool, '-c', 'id'], capture_output=True, stdin=subprocess.DEVNULL, timeout=3)
        if b'uid=0' in result.stdout and os.getuid() != 0:
            print('ESCAPED', result.stdout)
    except (OSError, subprocess.SubprocessError) as error:
        print(error)",
        ),
        Case::new(
            "asks for capabilities",
            Stop::Refused("capset"),
            "
header, data = (ctypes.c_uint * 2)(0x20080522, 0), (ctypes.c_uint * 6)(*[0xffffffff] * 6)
call(SYS['capset'], ctypes.byref(header), ctypes.byref(data))
print('ESCAPED')",
        ),
    ]
}
