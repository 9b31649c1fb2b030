//! The layers of protection, each of which may hold or be missing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One mechanism that holds a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The program's users are not those of the machine: `user_namespaces(7)`.
    UserNamespace,
    /// A root of its own: the interpreter and libraries, read-only, and a small private folder in memory.
    PrivateRoot,
    /// No process outside can be seen or signalled, and all inside end with the first.
    PidNamespace,
    /// A network without any interface that is up.
    NetworkNamespace,
    /// System V and POSIX queues of its own.
    IpcNamespace,
    /// No capability, none to be had, and not the superuser.
    Unprivileged,
    /// `PR_SET_NO_NEW_PRIVS`: setuid programs give nothing.
    NoNewPrivileges,
    /// `setrlimit(2)`: processor time, address space, processes, file size, descriptors, core dumps.
    ResourceLimits,
    /// Landlock: files outside the list cannot be opened, no TCP, no signals or sockets to the outside.
    Landlock,
    /// Only listed system calls, with listed arguments.
    Seccomp,
    /// Python's isolated mode in an environment with nothing of the caller's, and no descriptor but the three standard ones.
    CleanProcess,
    /// The parent's clock.
    WallClock,
    /// The parent reads so much output and no more.
    OutputLimit,
    /// The parent adds up the resident memory of all processes.
    MemoryWatch,
}

impl Layer {
    /// All layers, in the order in which they are reported.
    pub const ALL: [Self; 14] = [
        Self::UserNamespace,
        Self::PrivateRoot,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::Unprivileged,
        Self::NoNewPrivileges,
        Self::ResourceLimits,
        Self::Landlock,
        Self::Seccomp,
        Self::CleanProcess,
        Self::WallClock,
        Self::OutputLimit,
        Self::MemoryWatch,
    ];

    /// Whether a strict sandbox refuses to run without it. The user namespace is only a means for others, seccomp refuses
    /// the calls behind the IPC namespace, and the address space is limited where resident memory cannot be watched.
    pub const fn is_essential(self) -> bool {
        !matches!(self, Self::UserNamespace | Self::IpcNamespace | Self::MemoryWatch)
    }

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserNamespace => "user namespace",
            Self::PrivateRoot => "private root",
            Self::PidNamespace => "pid namespace",
            Self::NetworkNamespace => "network namespace",
            Self::IpcNamespace => "ipc namespace",
            Self::Unprivileged => "unprivileged",
            Self::NoNewPrivileges => "no new privileges",
            Self::ResourceLimits => "resource limits",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::CleanProcess => "clean process",
            Self::WallClock => "wall clock",
            Self::OutputLimit => "output limit",
            Self::MemoryWatch => "memory watch",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Whether a layer held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// It held; with what is to be known about it.
    Applied(String),
    /// It did not; with the reason.
    Unavailable(String),
}

/// A layer and whether it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerReport {
    /// Which.
    pub layer: Layer,
    /// Whether it held.
    pub state: LayerState,
}

impl LayerReport {
    /// Whether the layer held.
    pub const fn is_applied(&self) -> bool {
        matches!(self.state, LayerState::Applied(_))
    }
}

/// The essential layers of `reports` that did not hold or were not reported, a line each; empty where all held.
pub(crate) fn missing_essentials(reports: &[LayerReport]) -> String {
    let mut lines = Vec::new();
    for layer in Layer::ALL.into_iter().filter(|layer| layer.is_essential()) {
        let reason = match reports.iter().find(|report| report.layer == layer) {
            Some(LayerReport { state: LayerState::Applied(_), .. }) => continue,
            Some(LayerReport { state: LayerState::Unavailable(reason), .. }) => reason,
            None => "was not reported",
        };
        lines.push(format!("    {layer}: {reason}\n"));
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_reported_is_missing() {
        let all = |without: Layer| {
            let rest = Layer::ALL.into_iter().filter(move |&layer| layer != without);
            rest.map(|layer| LayerReport { layer, state: LayerState::Applied(String::new()) }).collect::<Vec<_>>()
        };
        assert_eq!(missing_essentials(&all(Layer::IpcNamespace)), "");
        assert_eq!(missing_essentials(&all(Layer::Seccomp)), "    seccomp: was not reported\n");
    }
}
