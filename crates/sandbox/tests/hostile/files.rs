//! Programs after files.

use camelid_sandbox::Layer;

use crate::case::{Case, Stop};

pub(crate) fn cases() -> Vec<Case> {
    let root = Layer::PrivateRoot;
    let absent = || Stop::Says(root, "FileNotFoundError");
    vec![
        Case::new("reads /etc/passwd", absent(), "print('ESCAPED', open('/etc/passwd').read())"),
        Case::new("reads /etc/shadow", absent(), "print('ESCAPED', open('/etc/shadow').read())"),
        Case::new("lists the home folder", absent(), "print('ESCAPED', os.listdir('@HOME@/.ssh/..'))"),
        Case::new("reads a file by its full path", absent(), "print('ESCAPED', open('@CANARY@').read())"),
        Case::new("writes a file by its full path", absent(), "open('@CANARY@', 'a').write('x')"),
        Case::new(
            "follows a symbolic link out",
            absent(),
            "os.symlink('@CANARY@', 'link')\nprint('ESCAPED', open('link').read())",
        ),
        Case::new("links a file in", absent(), "os.link('@CANARY@', 'hard')\nopen('hard', 'a').write('ESCAPED')"),
        Case::new("climbs up with ..", absent(), "print('ESCAPED', open('../' * 40 + '@CANARY@').read())"),
        Case::new("removes a file outside", absent(), "os.remove('@CANARY@')"),
        Case::new("changes the mode of a file outside", absent(), "os.chmod('@CANARY@', 0o777)"),
        Case::new(
            "renames a file out",
            Stop::Says(root, "OSError"),
            "
open('mine', 'w').write('x')
try:
    os.rename('mine', '/left-@TAG@')
except OSError as error:
    raise SystemExit(f'OSError {error}')",
        ),
        Case::new(
            "leaves files in common folders",
            Stop::InVain(root),
            "
for folder in ['/tmp', '/var/tmp', '/dev/shm', '/', '@HOME@']:
    try:
        os.makedirs(folder, exist_ok=True)
        open(folder + '/left-@TAG@', 'w').write('x')
    except OSError as error:
        print(folder, error)",
        ),
        Case::new(
            "changes Python's own library",
            Stop::Says(root, "OSError"),
            "
try:
    open(os.__file__, 'a').write('# ESCAPED')
except OSError as error:
    raise SystemExit(f'OSError {error}')",
        ),
        Case::new("writes to the disk's device", Stop::Says(root, "Error"), "open('/dev/vda', 'wb').write(b'ESCAPED')"),
        Case::new("reads physical memory", absent(), "print('ESCAPED', open('/dev/mem', 'rb').read(1))"),
        Case::new(
            "makes a device",
            Stop::Refused("mknodat"),
            "
call(SYS['mknodat'], -100, b'disk', 0o60666, os.makedev(8, 0))
print('ESCAPED')",
        ),
        Case::new("writes a kernel setting", absent(), "open('/proc/sys/kernel/core_pattern', 'w').write('|/bin/sh')"),
        Case::new("writes to /sys", absent(), "open('/sys/power/state', 'w').write('ESCAPED')"),
        Case::new("makes a control group", absent(), "os.mkdir('/sys/fs/cgroup/left-@TAG@')\nprint('ESCAPED')"),
        Case::new("writes its own memory", absent(), "open('/proc/self/mem', 'r+b')\nprint('ESCAPED')"),
        Case::new(
            "reads its parent's environment",
            absent(),
            "print('ESCAPED', open('/proc/@PARENT@/environ', 'rb').read())",
        ),
        Case::new(
            "reads another process's environment",
            absent(),
            "print('ESCAPED', open('/proc/@VICTIM@/environ', 'rb').read())",
        ),
        Case::new(
            "looks into its own environment",
            Stop::InVain(Layer::CleanProcess),
            "
print(sorted(os.environ))
if set(os.environ) - {'PATH', 'LANG', 'HOME', 'TMPDIR', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'LC_CTYPE'}:
    print('ESCAPED')",
        ),
        Case::new(
            "looks for open descriptors",
            Stop::InVain(Layer::CleanProcess),
            "
for descriptor in range(3, 128):
    try:
        os.fstat(descriptor)
        print('ESCAPED', descriptor)
    except OSError:
        pass
assert sys.stdin.read() == ''",
        ),
        Case::new(
            "runs a program that it wrote",
            Stop::Says(root, "PermissionError"),
            "
open('tool', 'w').write('#!/bin/sh\\necho ESC''APED')
os.chmod('tool', 0o755)
os.execv('./tool', ['./tool'])",
        ),
    ]
}
