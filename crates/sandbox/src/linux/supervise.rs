//! The caller's side of a run: it starts the helper, reads output, keeps the clock and watches memory.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Uid, getgid, getuid};

use super::{HELPER_VARIABLE, NOBODY, helper, memory};
use crate::error::SandboxError;
use crate::layer::{Layer, LayerReport, LayerState, missing_essentials};
use crate::limits::{Limits, Strictness};
use crate::outcome::{Ending, Outcome, Status, judge};
use crate::program::Program;
use crate::sandbox::Sandbox;
use crate::wire::{Mapped, Message, Request, send};

/// How often memory is added up.
const WATCH: Duration = Duration::from_millis(20);
/// How long setting up may take, on top of the program's own time.
const SETTING_UP: Duration = Duration::from_secs(20);
/// How long the end may take after the helper was told to end everything, before the helper itself is killed.
const ENDING: Duration = Duration::from_secs(10);

/// See [`Sandbox::run`].
pub(crate) fn run(
    sandbox: &Sandbox,
    program: &Program,
    limits: &Limits,
    strictness: Strictness,
) -> Result<Outcome, SandboxError> {
    let scratch = tempfile::Builder::new().prefix("camelid-sandbox-").tempdir();
    let scratch = scratch.map_err(SandboxError::io("cannot make a temporary folder"))?;
    let request = Request {
        source: program.source.clone(),
        python: sandbox.python.clone(),
        limits: limits.clone(),
        strictness,
        without: sandbox.without.clone(),
        scratch: scratch.path().to_path_buf(),
    };
    let mut run = Run::start(sandbox, limits)?;
    let ended = run.follow(&request);
    // Whatever happened, nothing goes on after this.
    let waited = run.helper.wait();
    ended?;
    waited.map_err(SandboxError::io("cannot wait for the sandbox helper"))?;
    run.outcome(program, strictness)
}

/// One of the program's two streams.
struct Stream {
    pipe: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Stream {
    fn new(pipe: Option<impl Into<OwnedFd>>) -> Result<Self, SandboxError> {
        let pipe = pipe.map(Into::into);
        if let Some(pipe) = &pipe {
            let set = fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
            set.map_err(std::io::Error::from).map_err(SandboxError::io("cannot read the program's output"))?;
        }
        Ok(Self { pipe, bytes: Vec::new() })
    }

    /// Reads what is there, at most `room` bytes more.
    fn read(&mut self, room: usize) {
        let Some(pipe) = &self.pipe else { return };
        let mut buffer = vec![0; room.clamp(1, 64 * 1024)];
        match nix::unistd::read(pipe, &mut buffer) {
            Ok(0) => self.pipe = None,
            Ok(count) => self.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.pipe = None,
        }
    }

    /// The last part of what was read, without `marker`'s line.
    fn tail(&self, marker: Option<&str>) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if let Some(marker) = marker {
            text = text.replace(&format!("\n{marker}\n"), "");
        }
        let mut start = text.len().saturating_sub(Outcome::TAIL);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        text.split_off(start)
    }
}

/// A run that goes on.
struct Run<'a> {
    limits: &'a Limits,
    helper: Child,
    socket: UnixStream,
    /// The socket's bytes that are no whole line yet.
    pending: Vec<u8>,
    stdout: Stream,
    stderr: Stream,
    layers: Vec<LayerReport>,
    started: Instant,
    program_started: Option<Instant>,
    ended_for: Option<Layer>,
    told_to_end: Option<Instant>,
    declined: bool,
    failure: Option<(String, String)>,
    end: Option<(Status, Vec<String>, Duration)>,
}

impl<'a> Run<'a> {
    fn start(sandbox: &Sandbox, limits: &'a Limits) -> Result<Self, SandboxError> {
        if std::env::var_os(HELPER_VARIABLE).is_some() {
            return Err(SandboxError::Nested);
        }
        let binary = match &sandbox.helper {
            Some(binary) => binary.clone(),
            None if helper::is_entered() => "/proc/self/exe".into(),
            None => return Err(SandboxError::NotEntered),
        };
        let pair = UnixStream::pair().map_err(SandboxError::io("cannot make a socket"))?;
        let (socket, theirs) = pair;
        let started = Instant::now();
        let mut helper = Command::new(binary)
            .env_clear()
            .env(HELPER_VARIABLE, "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(SandboxError::io("cannot start the sandbox helper"))?;
        let stdout = Stream::new(helper.stdout.take())?;
        let stderr = Stream::new(helper.stderr.take())?;
        Ok(Self {
            limits,
            helper,
            socket,
            pending: Vec::new(),
            stdout,
            stderr,
            layers: Vec::new(),
            started,
            program_started: None,
            ended_for: None,
            told_to_end: None,
            declined: false,
            failure: None,
            end: None,
        })
    }

    /// Sends the request and attends to the run until every process has closed its end.
    fn follow(&mut self, request: &Request) -> Result<(), SandboxError> {
        let sent = send(&self.socket, request).and_then(|()| self.socket.set_nonblocking(true));
        let attended = sent.and_then(|()| self.attend());
        if attended.is_err() {
            let _ = self.helper.kill();
        }
        attended.map_err(SandboxError::io("lost the sandbox helper"))
    }

    fn attend(&mut self) -> std::io::Result<()> {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as u64;
        let watches = memory::can_watch();
        let how = if watches { Ok("") } else { Err("the kernel does not list children in /proc") };
        self.note(Layer::MemoryWatch, how);
        self.note(Layer::WallClock, Ok(&format!("{} s", self.limits.wall.as_secs_f64())));
        self.note(Layer::OutputLimit, Ok(&format!("{} KiB", self.limits.output / 1024)));
        let mut open = true;
        let mut watched = Instant::now();
        while open {
            self.wait()?;
            open = self.read_messages()?;
            self.read_output();
            let used = self.program_started.unwrap_or(self.started).elapsed();
            let allowed = self.program_started.map_or(SETTING_UP, |_| self.limits.wall);
            if used > allowed {
                self.end_for(Layer::WallClock);
            }
            if watches && self.program_started.is_some() && watched.elapsed() >= WATCH {
                watched = Instant::now();
                if memory::resident_below(self.helper.id(), page) > self.limits.memory {
                    self.end_for(Layer::MemoryWatch);
                }
            }
            if self.told_to_end.is_some_and(|told| told.elapsed() > ENDING) {
                self.helper.kill()?;
            }
        }
        // Every process has ended; what is in the pipes is all there will be.
        while self.read_output() {}
        Ok(())
    }

    fn note(&mut self, layer: Layer, applied: Result<&str, &str>) {
        let state = match applied {
            Ok(how) => LayerState::Applied(how.to_owned()),
            Err(why) => LayerState::Unavailable(why.to_owned()),
        };
        self.layers.push(LayerReport { layer, state });
    }

    /// Waits until something can be read or it is time to look at clock and memory.
    fn wait(&self) -> std::io::Result<()> {
        let mut polled = vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        for pipe in [&self.stdout.pipe, &self.stderr.pipe].into_iter().flatten() {
            polled.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut polled, PollTimeout::from(WATCH.as_millis() as u16)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what the helper says; false when it and all below it are gone.
    fn read_messages(&mut self) -> std::io::Result<bool> {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.pending.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error),
            }
            while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                self.hear(serde_json::from_slice(&line)?)?;
            }
        }
    }

    fn hear(&mut self, message: Message) -> std::io::Result<()> {
        match message {
            Message::NeedsMap => return send(&self.socket, &map_users(self.helper.id())),
            Message::Layer(report) => self.layers.push(report),
            Message::Starting => self.program_started = Some(Instant::now()),
            Message::Declined => self.declined = true,
            Message::Failed { what, why } => self.failure = Some((what, why)),
            Message::Ended { status, refused, cpu } => self.end = Some((status, refused, cpu)),
        }
        Ok(())
    }

    /// Reads what both streams have, within the limit; whether there may be more.
    fn read_output(&mut self) -> bool {
        let mut any = false;
        for standard_error in [false, true] {
            let held = self.stdout.bytes.len() + self.stderr.bytes.len();
            let room = (self.limits.output as usize).saturating_sub(held);
            let stream = if standard_error { &mut self.stderr } else { &mut self.stdout };
            let before = stream.bytes.len();
            // One byte more than there is room for shows that the limit is passed.
            stream.read(room.saturating_add(1));
            let read = stream.bytes.len() - before;
            any |= read > 0;
            if read > room {
                stream.pipe = None;
                self.end_for(Layer::OutputLimit);
                // Too much is too much, also of a program that ended before it was read.
                self.ended_for.get_or_insert(Layer::OutputLimit);
            }
        }
        any
    }

    /// Tells the helper to end everything, the first time with the reason that counts.
    fn end_for(&mut self, layer: Layer) {
        if self.told_to_end.is_none() && self.end.is_none() {
            self.ended_for = Some(layer);
            self.told_to_end = Some(Instant::now());
            // One that is gone needs not be told.
            let _ = send(&self.socket, &"end");
        }
    }

    fn outcome(mut self, program: &Program, strictness: Strictness) -> Result<Outcome, SandboxError> {
        self.layers.sort_by_key(|report| report.layer);
        if self.declined {
            let lacking = missing_essentials(&self.layers);
            return Err(match strictness {
                Strictness::Strict => SandboxError::Missing(lacking),
                Strictness::BestEffort => SandboxError::Bare(lacking),
            });
        }
        if let Some((what, why)) = self.failure {
            return Err(SandboxError::Setup { what, why });
        }
        if self.program_started.is_none() {
            let said = self.stderr.tail(None);
            let why = said.lines().next_back().unwrap_or("it ended without a word").to_owned();
            return Err(SandboxError::Setup { what: "started".into(), why });
        }
        let lacking = missing_essentials(&self.layers);
        if strictness == Strictness::Strict && !lacking.is_empty() {
            return Err(SandboxError::Missing(lacking));
        }
        let marker = program.marker.as_deref();
        let reached_end = marker.is_none_or(|marker| contains(&self.stdout.bytes, marker.as_bytes()));
        let stderr = self.stderr.tail(None);
        let (status, refused, cpu) = match self.end {
            Some((status, refused, cpu)) => (Some(status), refused, cpu),
            None => (None, Vec::new(), Duration::ZERO),
        };
        let ending = Ending { ended_for: self.ended_for, status, refused: &refused, cpu, reached_end, stderr: &stderr };
        let (verdict, stopped_by) = judge(&ending, self.limits);
        let (stdout, wall) = (self.stdout.tail(marker), self.started.elapsed());
        Ok(Outcome { verdict, stopped_by, refused, stdout, stderr, wall, cpu, layers: self.layers })
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Writes the users of the helper's new namespace: the superuser and nobody, or this user alone.
fn map_users(helper: u32) -> Mapped {
    let folder = Path::new("/proc").join(helper.to_string());
    let write = |file: &str, text: String| fs::write(folder.join(file), text).is_ok();
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    let both = format!("0 0 1\n{NOBODY} {NOBODY} 1\n");
    if Uid::effective().is_root() && write("uid_map", both.clone()) && write("gid_map", both) {
        return Mapped::WithNobody;
    }
    // An ordinary user may map its group only once `setgroups` is off.
    let denied = write("setgroups", "deny".into());
    let mapped = write("uid_map", format!("{user} {user} 1\n")) && denied;
    if mapped && write("gid_map", format!("{group} {group} 1\n")) { Mapped::Alone } else { Mapped::Not }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_cut_at_a_character() {
        let bytes = "é".repeat(Outcome::TAIL).into_bytes();
        let tail = Stream { pipe: None, bytes }.tail(None);
        assert!(tail.len() <= Outcome::TAIL && tail.chars().all(|c| c == 'é'));
    }

    #[test]
    fn the_marker_is_not_part_of_the_output() {
        let stream = Stream { pipe: None, bytes: b"one\nEND\ntwo\n".to_vec() };
        assert_eq!(stream.tail(Some("END")), "onetwo\n");
        assert!(contains(&stream.bytes, b"END") && !contains(&stream.bytes, b"THE END"));
    }
}
