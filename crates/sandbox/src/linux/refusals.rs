//! Answers to refused system calls, and which they were.

#![expect(unsafe_code, reason = "seccomp notifications have no safe form")]

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::system_calls::name;

/// As many different calls are named.
const MOST: usize = 64;

/// Sends the listener from the enclosed process to the first.
pub(super) fn hand_over(channel: &UnixStream, listener: &OwnedFd) -> nix::Result<()> {
    let descriptors = [listener.as_raw_fd()];
    let message = [IoSlice::new(b"l")];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(channel.as_raw_fd(), &message, &rights, MsgFlags::empty(), None).map(drop)
}

/// The calls that were refused so far.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    listener: Option<OwnedFd>,
    calls: Vec<i32>,
}

impl Refusals {
    pub(super) fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(AsFd::as_fd)
    }

    /// Takes the listener from `channel`, if one was sent.
    pub(super) fn listen(&mut self, channel: &UnixStream) {
        let mut byte = [0];
        let mut space = nix::cmsg_space!(RawFd);
        let mut parts = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let Ok(message) = recvmsg::<()>(channel.as_raw_fd(), &mut parts, Some(&mut space), flags) else { return };
        for part in message.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::ScmRights(descriptors) = part {
                // SAFETY: the kernel has just put these into this process.
                self.listener = descriptors.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).next_back();
            }
        }
    }

    /// Answers one call: those with a name are forbidden, the rest does not exist, so that libraries fall back.
    pub(super) fn answer(&mut self, events: PollFlags) {
        if !events.contains(PollFlags::POLLIN) {
            // Nobody is left under the filter.
            self.listener = None;
            return;
        }
        let Some(listener) = &self.listener else { return };
        // SAFETY: a structure of numbers, for which zeroes are a value and what the call wants.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the listener, and the structure that the request fills.
        let got = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, &raw mut call) };
        if Errno::result(got).is_err() {
            // The caller was killed meanwhile.
            return;
        }
        let number = call.data.nr;
        let error = if name(number).is_some() { Errno::EPERM } else { Errno::ENOSYS };
        let answer = libc::seccomp_notif_resp { id: call.id, val: 0, error: -(error as i32), flags: 0 };
        // SAFETY: the listener, and a structure that the request reads.
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &raw const answer) };
        if !self.calls.contains(&number) && self.calls.len() < MOST {
            self.calls.push(number);
        }
    }

    /// The forbidden ones by name, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.calls.iter().filter_map(|&number| name(number)).map(str::to_owned).collect()
    }
}
