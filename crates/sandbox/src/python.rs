//! The interpreter and the folders it cannot do without.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::SandboxError;

/// Prints what [`Python`] holds, a JSON object.
const QUESTION: &str = "import json, os, sys
folders = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
folders += [entry for entry in sys.path if os.path.isdir(entry)]
folders += [os.path.dirname(os.path.realpath(sys.executable))]
print(json.dumps({'executable': sys.executable, 'folders': folders, 'version': list(sys.version_info[:2])}))";

/// An interpreter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Python {
    /// The binary itself, never a wrapper script.
    pub executable: PathBuf,
    /// Where its library and packages lie.
    pub folders: Vec<PathBuf>,
    /// Major and minor.
    pub version: (u32, u32),
}

impl Python {
    /// Asks the interpreter that `command` starts where it lives. Wrappers such as pyenv's are seen through.
    pub fn find(command: &Path) -> Result<Self, SandboxError> {
        let named = |why: String| SandboxError::Python(format!("{}: {why}", command.display()));
        let output = Command::new(command).args(["-I", "-c", QUESTION]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| named(error.to_string()))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(named(why.lines().next_back().unwrap_or("it failed").to_owned()));
        }
        let python: Self = serde_json::from_slice(&output.stdout).map_err(|error| named(error.to_string()))?;
        python.check(std::env::home_dir().as_deref())
    }

    /// Refuses folders that would open the whole machine or the home folder.
    fn check(mut self, home: Option<&Path>) -> Result<Self, SandboxError> {
        if self.version < (3, 8) {
            let (major, minor) = self.version;
            return Err(SandboxError::Python(format!("{} is {major}.{minor}", self.executable.display())));
        }
        self.folders.sort();
        self.folders.dedup();
        let folders = std::mem::take(&mut self.folders);
        for folder in folders {
            if self.folders.last().is_some_and(|kept| folder.starts_with(kept)) {
                continue;
            }
            let holds_home = home.is_some_and(|home| home != Path::new("/") && home.starts_with(&folder));
            if holds_home || folder == Path::new("/") || !folder.is_absolute() {
                return Err(SandboxError::PythonTooWide(folder.display().to_string()));
            }
            self.folders.push(folder);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(folders: &[&str]) -> Python {
        Python {
            executable: "/usr/bin/python3".into(),
            folders: folders.iter().map(PathBuf::from).collect(),
            version: (3, 11),
        }
    }

    #[test]
    fn folders_inside_others_are_named_once() {
        let found = python(&["/usr/lib/python3.11", "/usr", "/usr"]).check(None).unwrap();
        assert_eq!(found.folders, [PathBuf::from("/usr")]);
    }

    #[test]
    fn a_home_folder_is_never_opened() {
        let home = Some(Path::new("/home/ada"));
        for folder in ["/", "/home", "/home/ada"] {
            assert!(python(&[folder]).check(home).is_err(), "{folder}");
        }
        assert!(python(&["/home/ada/.venv"]).check(home).is_ok());
    }

    #[test]
    fn old_versions_and_missing_commands_are_named() {
        let mut old = python(&["/usr"]);
        old.version = (2, 7);
        assert!(old.check(None).unwrap_err().to_string().contains("2.7"));
        let missing = Python::find(Path::new("/nowhere/python3")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/python3") && missing.contains("\n  fix: "), "{missing}");
    }
}
