//! Which files of the machine a program sees.

use std::path::{Path, PathBuf};

use crate::python::Python;

/// System folders with the interpreter's libraries. What is absent is left out.
const SYSTEM: [&str; 9] = ["/usr", "/lib", "/lib64", "/lib32", "/libx32", "/bin", "/sbin", "/nix/store", "/gnu/store"];
/// Files the dynamic loader and the C library read.
const SYSTEM_FILES: [&str; 2] = ["/etc/ld.so.cache", "/etc/localtime"];
/// Devices without memory of what was written to them.
pub(super) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Everything that may be read and executed: system folders and files, then the interpreter's folders outside them.
pub(super) fn readable(python: &Python) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        SYSTEM.iter().chain(&SYSTEM_FILES).map(PathBuf::from).filter(|path| path.symlink_metadata().is_ok()).collect();
    for folder in python.folders.iter().chain(python.executable.parent().map(Path::to_path_buf).iter()) {
        if !paths.iter().any(|path| folder.starts_with(path)) && folder.exists() {
            paths.push(folder.clone());
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_inside_the_system_are_not_listed_twice() {
        let python = Python {
            executable: "/usr/bin/python3".into(),
            folders: vec!["/usr/lib".into(), std::env::temp_dir()],
            version: (3, 11),
        };
        let paths = readable(&python);
        assert!(paths.contains(&"/usr".into()) && paths.contains(&std::env::temp_dir()));
        assert!(!paths.contains(&"/usr/lib".into()) && !paths.contains(&"/usr/bin".into()));
    }
}
