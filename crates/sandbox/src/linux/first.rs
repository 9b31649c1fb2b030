//! The first process of the namespaces: it builds the private root, starts the interpreter, answers refused system calls and
//! ends with the interpreter, which ends everything else in its pid namespace.

#![expect(unsafe_code, reason = "fork has no safe form")]

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, Uid, fork, getgid, getuid};

use super::helper::{Report, explain};
use super::private_root::{self, WORK};
use super::refusals::Refusals;
use super::{NOBODY, enclosed, view};
use crate::layer::Layer;
use crate::outcome::Status;
use crate::wire::{Mapped, Message, Request};

/// The file the program lies in.
const PROGRAM: &str = "program.py";

/// Where a program runs and as whom.
pub(super) struct Place {
    pub(super) readable: Vec<PathBuf>,
    pub(super) work: PathBuf,
    pub(super) program: PathBuf,
    pub(super) becomes_nobody: bool,
}

/// Runs the request to its end. `lifeline` closes when the helper is gone.
pub(super) fn run(request: &Request, mut report: Report, mapped: Mapped, lifeline: &OwnedFd) -> ! {
    if let Err((what, why)) = go(request, &mut report, mapped, lifeline) {
        report.failed(what, &why);
    }
    std::process::exit(0)
}

type Failure = (&'static str, String);

fn during<E: ToString>(what: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| (what, error.to_string())
}

fn go(request: &Request, report: &mut Report, mapped: Mapped, lifeline: &OwnedFd) -> Result<(), Failure> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(during("tied its first process to the helper"))?;
    nix::unistd::setsid().map_err(during("left the terminal"))?;
    let place = prepare(request, report, mapped)?;
    prctl::set_dumpable(false).map_err(during("closed its first process to others"))?;

    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(during("listened for signals"))?;
    let (ours, theirs) = UnixStream::pair().map_err(during("made a socket"))?;
    // SAFETY: this process has one thread, so the child may go on as an ordinary program.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop((ours, signals));
            enclosed::become_interpreter(request, report, &place, &theirs)
        }
        Ok(ForkResult::Parent { child }) => {
            drop(theirs);
            watch(child, report, ours, &signals, lifeline).map_err(during("watched the program"))
        }
        Err(error) => Err(("started the interpreter", error.to_string())),
    }
}

/// Moves into the private root, or the scratch folder where there can be none, and writes the program down.
fn prepare(request: &Request, report: &mut Report, mapped: Mapped) -> Result<Place, Failure> {
    let readable = view::readable(&request.python);
    let superuser = Uid::effective().is_root();
    let can_change = superuser && (matches!(mapped, Mapped::WithNobody) || !report.holds(Layer::UserNamespace));
    let owner = if can_change { (NOBODY, NOBODY) } else { (getuid().as_raw(), getgid().as_raw()) };
    let entered = if request.without.contains(&Layer::PrivateRoot) {
        Err("switched off".to_owned())
    } else {
        let unshared = unshare(CloneFlags::CLONE_NEWNS).map_err(|error| explain(error, Layer::PrivateRoot));
        unshared.and_then(|()| private_root::enter(&request.scratch, &readable, request.limits.disk, owner))
    };
    let how = format!("interpreter and libraries read-only, {} KiB in memory", request.limits.disk / 1024);
    let entered = entered.map(|()| how).map_err(|why| format!("{why}; the disk limit then holds for each file alone"));
    let private = report.layer(Layer::PrivateRoot, entered);
    let work = if private { PathBuf::from(WORK) } else { request.scratch.clone() };
    std::env::set_current_dir(&work).map_err(during("entered its folder"))?;
    let program = work.join(PROGRAM);
    write_program(&program, &request.source).map_err(during("wrote the program down"))?;
    Ok(Place { readable, work, program, becomes_nobody: can_change && private })
}

fn write_program(path: &Path, source: &str) -> std::io::Result<()> {
    let mask = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let file = File::options().write(true).create_new(true).mode(0o444).open(path);
    nix::sys::stat::umask(mask);
    file?.write_all(source.as_bytes())
}

/// Answers refusals and reaps orphans until `program` ends, then reports how.
fn watch(
    program: Pid,
    report: &Report,
    channel: UnixStream,
    signals: &SignalFd,
    lifeline: &OwnedFd,
) -> std::io::Result<()> {
    let (mut channel, mut refusals) = (Some(channel), Refusals::default());
    loop {
        let ready = {
            let mut polled =
                vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)];
            let second = channel.as_ref().map(AsFd::as_fd).or_else(|| refusals.listener());
            polled.extend(second.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)));
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            polled.iter().map(|entry| entry.revents().unwrap_or(PollFlags::empty())).collect::<Vec<_>>()
        };
        if !ready[1].is_empty() {
            return Ok(());
        }
        if ready.get(2).is_some_and(|events| !events.is_empty()) {
            match channel.take() {
                Some(channel) => refusals.listen(&channel),
                None => refusals.answer(ready[2]),
            }
        }
        while let Ok(Some(_)) = signals.read_signal() {}
        while let Some((process, status)) = reap()? {
            if process == program {
                let cpu = getrusage(UsageWho::RUSAGE_CHILDREN)
                    .map(|usage| microseconds(usage.user_time()) + microseconds(usage.system_time()))
                    .unwrap_or_default();
                report.send(&Message::Ended { status, refused: refusals.names(), cpu });
                return Ok(());
            }
        }
    }
}

fn microseconds(time: nix::sys::time::TimeVal) -> Duration {
    Duration::from_micros(nix::sys::time::TimeValLike::num_microseconds(&time).unsigned_abs())
}

/// A child that has ended, if there is one.
fn reap() -> std::io::Result<Option<(Pid, Status)>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(process, code)) => return Ok(Some((process, Status::Code(code)))),
            Ok(WaitStatus::Signaled(process, signal, _)) => return Ok(Some((process, Status::Signal(signal as i32)))),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
