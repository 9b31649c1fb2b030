//! The process that becomes the interpreter: it closes the last doors behind itself, in this order because each needs a
//! right that a later one takes away.

#![expect(unsafe_code, reason = "signal handlers and close_range have no safe form")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::unistd::execve;

use super::filter::{self, Scope};
use super::first::Place;
use super::helper::Report;
use super::{identity, landlock, refusals, resource_limits};
use crate::layer::{Layer, missing_essentials};
use crate::limits::Strictness;
use crate::wire::{Message, Request};

/// The exit code where the interpreter did not start; the caller was told why.
const NOT_STARTED: i32 = 127;

/// Applies the remaining layers, reports them all, and becomes the interpreter.
pub(super) fn become_interpreter(request: &Request, report: &mut Report, place: &Place, channel: &UnixStream) -> ! {
    let Err((what, why)) = enclose(request, report, place, channel);
    report.failed(what, &why);
    std::process::exit(NOT_STARTED)
}

fn enclose(
    request: &Request,
    report: &mut Report,
    place: &Place,
    channel: &UnixStream,
) -> Result<std::convert::Infallible, (&'static str, String)> {
    let on = |layer: Layer| !request.without.contains(&layer);
    let off = || Err("switched off".to_owned());
    let limits = &request.limits;
    reset_signals().map_err(|error| ("reset signals", error.to_string()))?;
    let arguments = arguments(request, place).map_err(|error| ("wrote the arguments", error.to_string()))?;

    let applied = if on(Layer::Unprivileged) { identity::give_up(place.becomes_nobody) } else { off() };
    report.layer(Layer::Unprivileged, applied);
    let applied = if on(Layer::NoNewPrivileges) {
        prctl::set_no_new_privs().map(|()| String::new()).map_err(|error| error.to_string())
    } else {
        off()
    };
    report.layer(Layer::NoNewPrivileges, applied);
    let applied = if on(Layer::ResourceLimits) {
        resource_limits::set(limits).map(|()| described(limits)).map_err(|error| error.to_string())
    } else {
        off()
    };
    let limited = report.layer(Layer::ResourceLimits, applied);
    let applied = if on(Layer::Landlock) { landlock::restrict(&place.readable, &place.work) } else { off() };
    report.layer(Layer::Landlock, applied);
    let applied = if on(Layer::Seccomp) {
        let scope =
            Scope { many_processes: report.holds(Layer::PidNamespace), own_files: report.holds(Layer::PrivateRoot) };
        filter::install(scope).map(|listener| {
            let named = listener.is_some_and(|listener| refusals::hand_over(channel, &listener).is_ok());
            describe_filter(named, scope)
        })
    } else {
        off()
    };
    report.layer(Layer::Seccomp, applied);
    let closed = close_others().map(|()| "python3 -I, own environment, three descriptors").map_err(Errno::desc);
    report.layer(Layer::CleanProcess, closed);

    if request.strictness == Strictness::Strict {
        // The caller's own layers hold whenever the caller runs.
        let ours = [Layer::WallClock, Layer::OutputLimit]
            .map(|layer| crate::LayerReport { layer, state: crate::LayerState::Applied(String::new()) });
        report.layers.extend(ours);
        if !missing_essentials(&report.layers).is_empty() {
            report.send(&Message::Declined);
            std::process::exit(NOT_STARTED);
        }
    }
    if !report.holds(Layer::PrivateRoot) && !report.holds(Layer::Landlock) {
        report.send(&Message::Declined);
        std::process::exit(NOT_STARTED);
    }
    report.send(&Message::Starting);
    if limited {
        resource_limits::set_address_space(limits).map_err(|error| ("limited memory", error.to_string()))?;
    }
    let (path, arguments, environment) = arguments;
    execve(&path, &arguments, &environment).map_err(|error| ("started the interpreter", error.desc().to_owned()))
}

fn described(limits: &crate::Limits) -> String {
    format!(
        "{} s of processor, {} MiB of address space, {} processes, {} files",
        limits.cpu_seconds,
        limits.memory >> 20,
        limits.processes,
        limits.open_files
    )
}

fn describe_filter(named: bool, scope: Scope) -> String {
    let mut text = if named { "refused calls are named" } else { "refused calls are not named" }.to_owned();
    if !scope.many_processes {
        text.push_str("; no further processes, as no pid namespace would end them");
    }
    if !scope.own_files {
        text.push_str("; no change of mode, owner or time, as there is no private root");
    }
    text
}

/// Every signal as a fresh process has it.
fn reset_signals() -> nix::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action runs no code of ours.
        unsafe { sigaction(signal, &default)? };
    }
    Ok(())
}

/// Marks every descriptor but the standard three to close when the interpreter starts.
fn close_others() -> nix::Result<()> {
    // SAFETY: changes a flag of descriptors; none is closed under its owner.
    let result = unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
    Errno::result(result).map(drop)
}

type Arguments = (CString, Vec<CString>, Vec<CString>);

fn arguments(request: &Request, place: &Place) -> Result<Arguments, std::ffi::NulError> {
    let bytes = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let executable = bytes(&request.python.executable)?;
    let mut arguments = vec![executable.clone()];
    for argument in ["-I", "-B", "-X", "utf8"] {
        arguments.push(CString::new(argument)?);
    }
    arguments.push(bytes(&place.program)?);
    let work = place.work.display();
    // One thread each for numerical libraries, whose pools would take the address space.
    let environment = [
        "PATH=/usr/bin:/bin".to_owned(),
        "LANG=C.UTF-8".to_owned(),
        format!("HOME={work}"),
        format!("TMPDIR={work}"),
        "OMP_NUM_THREADS=1".to_owned(),
        "OPENBLAS_NUM_THREADS=1".to_owned(),
    ];
    let environment = environment.into_iter().map(CString::new).collect::<Result<_, _>>()?;
    Ok((executable, arguments, environment))
}
