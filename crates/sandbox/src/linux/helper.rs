//! The process that the caller starts: it enters namespaces, starts the first process in them and sees to its end.

#![expect(unsafe_code, reason = "fork and close_range have no safe form")]

use std::fs::File;
use std::io::BufReader;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::{HELPER_VARIABLE, first};
use crate::layer::{Layer, LayerReport, LayerState};
use crate::wire::{Mapped, Message, Request, receive, send};

static ENTERED: AtomicBool = AtomicBool::new(false);

/// See [`crate::enter_if_asked`].
pub(crate) fn enter_if_asked() {
    ENTERED.store(true, Ordering::Relaxed);
    if std::env::var_os(HELPER_VARIABLE).is_some() {
        std::process::exit(i32::from(help().is_err()));
    }
}

/// Whether this process can be started as its own helper.
pub(super) fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// The way back to the caller, and what was already said of layers.
pub(super) struct Report {
    socket: UnixStream,
    pub(super) layers: Vec<LayerReport>,
}

impl Report {
    pub(super) fn send(&self, message: &Message) {
        // A caller that is gone ends this process by its death signal; there is nobody else to tell.
        let _ = send(&self.socket, message);
    }

    /// Reports `layer` and says whether it holds.
    pub(super) fn layer(&mut self, layer: Layer, applied: Result<impl Into<String>, impl ToString>) -> bool {
        let state = match applied {
            Ok(how) => LayerState::Applied(how.into()),
            Err(why) => LayerState::Unavailable(why.to_string()),
        };
        let report = LayerReport { layer, state };
        let applied = report.is_applied();
        self.send(&Message::Layer(report.clone()));
        self.layers.push(report);
        applied
    }

    pub(super) fn failed(&self, what: &str, why: &impl ToString) {
        self.send(&Message::Failed { what: what.to_owned(), why: why.to_string() });
    }

    pub(super) fn holds(&self, layer: Layer) -> bool {
        self.layers.iter().any(|report| report.layer == layer && report.is_applied())
    }
}

fn help() -> std::io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_child_subreaper(true)?;
    // SAFETY: closes descriptors above the standard three; nothing in this process owns one yet.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let mut replies = BufReader::new(socket.try_clone()?);
    let Some(request) = receive::<Request>(&mut replies)? else { return Ok(()) };
    let mut report = Report { socket, layers: Vec::new() };
    let mapped = enter_namespaces(&request, &mut report, &mut replies)?;

    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block()?;
    let signals = SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let (lifeline, held) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread, so the child may go on as an ordinary program.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop((held, signals, replies));
            first::run(&request, report, mapped, &lifeline)
        }
        Ok(ForkResult::Parent { child }) => {
            drop(lifeline);
            see_to_its_end(child, &report.socket, &signals)?;
            drop(held);
            end_orphans();
            Ok(())
        }
        Err(error) => {
            report.failed("started its first process", &error);
            Ok(())
        }
    }
}

/// Enters each namespace by itself, so that the lack of one does not cost the others.
fn enter_namespaces(
    request: &Request,
    report: &mut Report,
    replies: &mut impl std::io::BufRead,
) -> std::io::Result<Mapped> {
    let enter = |layer: Layer, flags: CloneFlags| -> Result<&str, String> {
        if request.without.contains(&layer) {
            return Err("switched off".to_owned());
        }
        unshare(flags).map(|()| "").map_err(|error| explain(error, layer))
    };
    let mut mapped = Mapped::Not;
    let user = enter(Layer::UserNamespace, CloneFlags::CLONE_NEWUSER);
    if user.is_ok() {
        report.send(&Message::NeedsMap);
        mapped = receive(replies)?.unwrap_or(Mapped::Not);
        // Entering may have cleared it.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
    }
    report.layer(
        Layer::UserNamespace,
        user.and_then(|_| match mapped {
            Mapped::WithNobody => Ok("the superuser's files belong to nobody inside"),
            Mapped::Alone => Ok("one user"),
            Mapped::Not => Err("its users could not be written".to_owned()),
        }),
    );
    let spaces = [
        (Layer::PidNamespace, CloneFlags::CLONE_NEWPID),
        (Layer::NetworkNamespace, CloneFlags::CLONE_NEWNET),
        (Layer::IpcNamespace, CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS),
    ];
    for (layer, flags) in spaces {
        let entered = enter(layer, flags);
        report.layer(layer, entered);
    }
    Ok(mapped)
}

/// An error of `unshare` with what usually forbids it.
pub(super) fn explain(error: Errno, layer: Layer) -> String {
    let hint = match (error, layer) {
        (Errno::EPERM | Errno::EACCES, Layer::UserNamespace) => {
            ": unprivileged user namespaces are forbidden (sysctl kernel.unprivileged_userns_clone, \
             kernel.apparmor_restrict_unprivileged_userns, or a container's seccomp profile)"
        }
        (Errno::ENOSPC | Errno::EUSERS, _) => ": too many namespaces (sysctl user.max_*_namespaces)",
        (Errno::EINVAL | Errno::ENOSYS, _) => ": the kernel was built without it",
        (Errno::EPERM | Errno::EACCES, _) => ": needs a user namespace or the superuser",
        _ => "",
    };
    format!("{}{hint}", error.desc())
}

/// Waits for the first process, and kills it when the caller says so or is gone.
fn see_to_its_end(first: Pid, socket: &UnixStream, signals: &SignalFd) -> std::io::Result<()> {
    let mut killed = false;
    loop {
        let mut polled = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if !killed {
            polled.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if polled.get(1).is_some_and(|socket| socket.any() == Some(true)) {
            killed = true;
            let _ = kill(first, Signal::SIGKILL);
        }
        while let Ok(Some(_)) = signals.read_signal() {}
        match waitpid(first, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => return Ok(()),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Kills what the first process left behind. In a pid namespace that is nothing; without one, orphans come to this process.
fn end_orphans() {
    for _ in 0..5000 {
        for child in super::memory::children(std::process::id()) {
            let _ = kill(Pid::from_raw(child.cast_signed()), Signal::SIGKILL);
        }
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return,
            Ok(WaitStatus::StillAlive) => std::thread::sleep(std::time::Duration::from_millis(1)),
            _ => {}
        }
    }
}

/// Takes ownership of a descriptor that a system call returned.
pub(super) fn owned(descriptor: libc::c_long) -> nix::Result<OwnedFd> {
    let descriptor = Errno::result(descriptor)? as libc::c_int;
    // SAFETY: the kernel has just handed it out.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
