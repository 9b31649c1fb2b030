//! A root folder of the program's own, built in memory.

#![expect(unsafe_code, reason = "mount_setattr has no safe form")]

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use super::view::DEVICES;

/// Where the program's files lie inside.
pub(super) const WORK: &str = "/sandbox";
/// Files and folders in [`WORK`].
const MOST_FILES: u32 = 4096;

/// Builds the root at `base`, an empty folder, and moves into it: `readable` for reading alone, the devices, and [`WORK`] for
/// `owner` with room for `room` bytes. Nothing else of the machine is left in sight. The error names the step.
pub(super) fn enter(base: &Path, readable: &[PathBuf], room: u64, owner: (u32, u32)) -> Result<(), String> {
    let none: Option<&Path> = None;
    step("keep mounts from the machine", mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let tmpfs = Some("tmpfs");
    step("mount a root in memory", mount(tmpfs, base, tmpfs, safe, Some("size=1m,mode=0755")))?;
    for path in readable {
        show(base, path).map_err(|error| format!("show {}: {error}", path.display()))?;
    }
    for device in DEVICES {
        let inside = inside(base, Path::new(device));
        let shown = make_file(&inside).and_then(|()| bind(Path::new(device), &inside));
        shown.map_err(|error| format!("show {device}: {error}"))?;
    }
    let work = inside(base, Path::new(WORK));
    step("make its folder", make_folder(&work))?;
    let (user, group) = owner;
    let options = format!("size={room},nr_inodes={MOST_FILES},mode=0700,uid={user},gid={group}");
    let flags = safe | MsFlags::MS_NOEXEC;
    step("mount its folder in memory", mount(tmpfs, &work, tmpfs, flags, Some(options.as_str())))?;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | safe;
    step("make the root read-only", mount(none, base, none, read_only, none))?;
    step("go there", chdir(base))?;
    step("make it the root", pivot_root(".", "."))?;
    step("leave the old root", umount2(".", MntFlags::MNT_DETACH))?;
    step("enter its folder", chdir(WORK))
}

fn step<T, E: ToString>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {}", error.to_string()))
}

fn inside(base: &Path, path: &Path) -> PathBuf {
    base.join(path.strip_prefix("/").unwrap_or(path))
}

/// Others than the owner must pass through, whatever the mask of this process is.
fn make_folder(path: &Path) -> std::io::Result<()> {
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    nix::sys::stat::umask(mask);
    made
}

fn make_file(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), make_folder)?;
    File::options().write(true).create(true).truncate(false).mode(0o644).open(path).map(drop)
}

/// Shows a file, folder or link of the machine at the same place, for reading alone.
fn show(base: &Path, path: &Path) -> std::io::Result<()> {
    let inside = inside(base, path);
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_symlink() && path.parent() == Some(Path::new("/")) {
        return symlink(fs::read_link(path)?, &inside);
    }
    if path.is_dir() {
        make_folder(&inside)?;
    } else {
        make_file(&inside)?;
    }
    bind(path, &inside)?;
    make_read_only(&inside)?;
    Ok(())
}

fn bind(from: &Path, to: &Path) -> std::io::Result<()> {
    let none: Option<&Path> = None;
    Ok(mount(Some(from), to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?)
}

/// Read-only, without devices and setuid, for the mount and all below it.
fn make_read_only(path: &Path) -> std::io::Result<()> {
    use nix::NixPath;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let result = path.with_nix_path(|path| {
        // SAFETY: a path that ends in a zero byte, and a structure with its size.
        unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::AT_RECURSIVE,
                &raw const attributes,
                size_of::<libc::mount_attr>(),
            )
        }
    })?;
    Errno::result(result)?;
    Ok(())
}
