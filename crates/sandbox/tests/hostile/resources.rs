//! Programs that take all there is.

use camelid_sandbox::{Layer, Verdict};

use crate::case::{Case, Stop};

pub(crate) fn cases() -> Vec<Case> {
    let limits = Layer::ResourceLimits;
    let root = Layer::PrivateRoot;
    let too_much = || Stop::Ends(Layer::OutputLimit, Verdict::OutputLimit);
    vec![
        Case::new("takes all memory", Stop::Ends(limits, Verdict::OutOfMemory), "hoard = b'x' * (1 << 36)"),
        Case::new(
            "takes memory bit by bit",
            Stop::Ends(limits, Verdict::OutOfMemory),
            "
hoard = []
while True:
    hoard.append(bytearray(1 << 22))",
        ),
        Case::new(
            "takes memory in many processes",
            Stop::Ends(Layer::MemoryWatch, Verdict::OutOfMemory),
            "
import time
for _ in range(8):
    if os.fork() == 0:
        hoard = bytearray(os.urandom(1 << 20) * 200)
        time.sleep(60)
time.sleep(60)",
        ),
        Case::new(
            "takes shared memory",
            Stop::Says(limits, "OSError"),
            "
import mmap
hoard = [mmap.mmap(-1, 1 << 28) for _ in range(64)]
print('ESCAPED')",
        ),
        Case::new(
            "fills the disk",
            Stop::Says(root, "No space left on device"),
            "
for number in range(100):
    open(f'file{number}', 'wb').write(bytes(1 << 20))
print('ESCAPED')",
        )
        .needing_its_layer(),
        Case::new(
            "makes a huge sparse file",
            Stop::Says(limits, "File too large"),
            "
open('sparse', 'wb').truncate(1 << 40)
print('ESCAPED')",
        ),
        Case::new(
            "makes files without end",
            Stop::Says(root, "No space left on device"),
            "
for number in range(100_000):
    os.close(os.open(f'file{number}', os.O_CREAT | os.O_WRONLY))
print('ESCAPED')",
        )
        .needing_its_layer(),
        Case::new(
            "opens files without end",
            Stop::Says(limits, "Too many open files"),
            "
held = [open('/dev/null') for _ in range(100_000)]
print('ESCAPED')",
        ),
        Case::new(
            "makes pipes without end",
            Stop::Says(limits, "Too many open files"),
            "
held = [os.pipe() for _ in range(100_000)]
print('ESCAPED')",
        ),
        Case::new(
            "writes without end",
            too_much(),
            "
while True:
    print('x' * 1000)",
        ),
        Case::new(
            "writes errors without end",
            too_much(),
            "
while True:
    print('x' * 1000, file=sys.stderr)",
        ),
        Case::new(
            "recurses without end",
            Stop::Fails(limits),
            "
sys.setrecursionlimit(10**9)
nested = []
for _ in range(10**6):
    nested = [nested]
repr(nested)
print('ESCAPED')",
        ),
        Case::new(
            "queues signals without end",
            Stop::InVain(limits),
            "
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(34, 60))
for _ in range(10_000):
    os.kill(os.getpid(), 40)",
        ),
        Case::new(
            "locks memory",
            Stop::Refused("mlockall"),
            "
if libc.mlockall(3) < 0:
    raise SystemExit('not permitted')
print('ESCAPED')",
        ),
        Case::new(
            "dumps its core",
            Stop::InVain(limits),
            "
import time
child = os.fork()
if child == 0:
    os.abort()
_, status = os.waitpid(child, 0)
if os.WCOREDUMP(status) or os.listdir('.') != ['program.py']:
    print('ESCAPED')
assert os.WTERMSIG(status) == 6",
        ),
    ]
}
