//! What lies outside and must not change: a secret file, a process, and no trace of the programs.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use std::sync::atomic::{AtomicUsize, Ordering};

use camelid_sandbox::{Program, Sandbox};
use tempfile::TempDir;

use crate::case::Case;
use crate::kernel;

const SECRET: &str = "the canary sings";
const HELPERS: &str = "import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if libc.syscall(ctypes.c_long(number), *words) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
";

pub(crate) struct Outside {
    folder: TempDir,
    _interpreter: TempDir,
    canary: PathBuf,
    before: (u64, i64, u32, u64),
    victim: Child,
    tag: String,
    sandbox: Sandbox,
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

impl Outside {
    pub(crate) fn new() -> Self {
        let tag = format!("hostile-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = TempDir::with_prefix(&tag).unwrap();
        let canary = folder.path().join("canary.txt");
        fs::write(&canary, SECRET).unwrap();
        let victim = Command::new("sleep").arg("3600").env("SECRET", SECRET).spawn().unwrap();
        // The interpreter under a name by which a process that is left can be told from those of others.
        let real = Sandbox::new().unwrap();
        let interpreter = TempDir::with_prefix(&tag).unwrap();
        let named = interpreter.path().join(&tag);
        symlink(fs::canonicalize(&real.python().executable).unwrap(), &named).unwrap();
        let sandbox = Sandbox::with_python(&named).unwrap().with_helper(env!("CARGO_BIN_EXE_camelid-sandbox-helper"));
        let before = Self::state(&canary);
        Self { folder, _interpreter: interpreter, canary, before, victim, tag, sandbox }
    }

    pub(crate) fn sandbox(&self) -> Sandbox {
        self.sandbox.clone()
    }

    pub(crate) fn program(&self, case: &Case) -> Program {
        let home = std::env::home_dir().unwrap();
        let source = case
            .source
            .replace("@CANARY@", &self.canary.display().to_string())
            .replace("@HOME@", &home.display().to_string())
            .replace("@VICTIM@", &self.victim.id().to_string())
            .replace("@PARENT@", &std::process::id().to_string())
            .replace("@SECRET@", SECRET)
            .replace("@TAG@", &self.tag);
        Program::script(format!("{HELPERS}{}{source}", kernel::numbers()))
    }

    /// Length, time, mode and links.
    fn state(path: &Path) -> (u64, i64, u32, u64) {
        let data = fs::metadata(path).unwrap();
        (data.len(), data.mtime_nsec(), data.mode(), data.nlink())
    }

    /// What is different outside; empty where nothing is.
    pub(crate) fn changes(&self) -> String {
        let mut changes = Vec::new();
        if fs::read_to_string(&self.canary).unwrap() != SECRET || Self::state(&self.canary) != self.before {
            changes.push("the canary changed".to_owned());
        }
        let victim = fs::read_to_string(format!("/proc/{}/stat", self.victim.id())).unwrap_or_default();
        if !victim.contains(") S ") {
            changes.push(format!("the other process is `{victim}`"));
        }
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            if command.contains(&self.tag) && command.contains("program.py") {
                changes.push(format!("process {} is left", process.path().display()));
            }
        }
        let home = std::env::home_dir().unwrap();
        let folders = [Path::new("/tmp"), Path::new("/var/tmp"), Path::new("/dev/shm"), Path::new("/"), &home];
        for folder in folders {
            if folder.join(format!("left-{}", self.tag)).exists() {
                changes.push(format!("a file is left in {}", folder.display()));
            }
        }
        let inside = fs::read_dir(self.folder.path()).unwrap().count();
        if inside != 1 {
            changes.push("a file is left beside the canary".to_owned());
        }
        changes.join(", ")
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}
