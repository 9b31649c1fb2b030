//! A hostile program and what is expected of it.

use std::time::Duration;

use camelid_sandbox::{Layer, Limits, Verdict};

/// What stops a program.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// Seccomp, and the outcome names this call.
    Refused(&'static str),
    /// The layer, by an error with this text.
    Says(Layer, &'static str),
    /// The layer ends the program, with this verdict.
    Ends(Layer, Verdict),
    /// The layer makes it fail, how depends on Python's version; no clock has to end it.
    Fails(Layer),
    /// Nothing stops it; because of the layer it achieves nothing outside.
    InVain(Layer),
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) stop: Stop,
    /// `@CANARY@`, `@HOME@`, `@VICTIM@`, `@PARENT@` and `@TAG@` stand for what lies outside.
    pub(crate) source: &'static str,
    pub(crate) limits: Limits,
    /// Nothing else stops it where the layer is missing.
    pub(crate) needs_layer: bool,
}

impl Case {
    pub(crate) fn new(name: &'static str, stop: Stop, source: &'static str) -> Self {
        let limits = Limits {
            wall: Duration::from_secs(10),
            memory: 512 << 20,
            output: 256 << 10,
            disk: 4 << 20,
            ..Limits::default()
        };
        Self { name, stop, source, limits, needs_layer: false }
    }

    /// With so many seconds by the clock and on the processor.
    pub(crate) fn seconds(mut self, wall: u64, cpu: u64) -> Self {
        (self.limits.wall, self.limits.cpu_seconds) = (Duration::from_secs(wall), cpu);
        self
    }

    /// Nothing else stops it where its layer is missing.
    pub(crate) fn needing_its_layer(mut self) -> Self {
        self.needs_layer = true;
        self
    }

    pub(crate) fn layer(&self) -> Layer {
        match &self.stop {
            Stop::Refused(_) => Layer::Seccomp,
            Stop::Says(layer, _) | Stop::Ends(layer, _) | Stop::InVain(layer) | Stop::Fails(layer) => *layer,
        }
    }

    /// Whether it runs until a clock or memory ends it.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self.stop, Stop::Ends(..)) || self.layer() == Layer::ResourceLimits
    }
}
