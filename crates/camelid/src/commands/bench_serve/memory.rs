//! Resident memory of this process over time.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::process_memory;

/// Looks once a second until it is told to stop.
pub(crate) struct MemoryWatch {
    stop: Sender<()>,
    thread: JoinHandle<Vec<Sample>>,
}

/// Seconds since the start, and megabytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Sample(pub(crate) f64, pub(crate) f64);

/// Memory of a load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Memory {
    /// Mean over the ten seconds around minute one, or around the first fifth of a shorter time.
    pub(crate) early: f64,
    /// Mean over the last ten seconds.
    pub(crate) late: f64,
    pub(crate) most: f64,
    /// About sixty of the samples.
    pub(crate) over_time: Vec<Sample>,
}

const EVERY: Duration = Duration::from_secs(1);
/// Seconds that a mean is taken over.
const SPAN: f64 = 10.0;
const SHOWN: usize = 60;

impl MemoryWatch {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let begun = Instant::now();
        let look = move || Sample(begun.elapsed().as_secs_f64(), process_memory::resident_megabytes());
        let thread = std::thread::Builder::new().name("memory".into()).spawn(move || {
            let mut samples = vec![look()];
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                samples.push(look());
            }
            samples.push(look());
            samples
        })?;
        Ok(Self { stop, thread })
    }

    /// What was seen; nothing where the system does not tell.
    pub(crate) fn finish(self) -> Option<Memory> {
        drop(self.stop);
        Memory::of(&self.thread.join().ok()?)
    }
}

impl Memory {
    fn of(samples: &[Sample]) -> Option<Self> {
        let end = samples.last()?.0;
        let most = samples.iter().map(|sample| sample.1).fold(0.0, f64::max);
        if most == 0.0 {
            return None;
        }
        let place = (end / 5.0).min(60.0);
        let span = SPAN.min(end / 5.0);
        let mean = |from: f64, to: f64| {
            let inside: Vec<f64> =
                samples.iter().filter(|sample| (from..=to).contains(&sample.0)).map(|sample| sample.1).collect();
            if inside.is_empty() { most } else { inside.iter().sum::<f64>() / inside.len() as f64 }
        };
        let over_time = samples.iter().step_by(samples.len().div_ceil(SHOWN)).copied().collect();
        Some(Self { early: mean(place - span / 2.0, place + span / 2.0), late: mean(end - span, end), most, over_time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_counted_from_minute_one() {
        // Loading takes memory, then 2 MB a minute are lost.
        let at = |second: u32| Sample(f64::from(second), 100.0 + f64::from(second.min(30)) + f64::from(second) / 30.0);
        let samples: Vec<Sample> = (0..=600).map(at).collect();
        let memory = Memory::of(&samples).unwrap();
        assert!((memory.early - 132.0).abs() < 1e-9 && (memory.late - 149.833_333).abs() < 1e-3, "{memory:?}");
        assert_eq!(memory.most, 150.0);
        assert!((50..=60).contains(&memory.over_time.len()), "{}", memory.over_time.len());
    }

    #[test]
    fn a_short_time_has_a_first_fifth() {
        let samples: Vec<Sample> = (0..=10).map(|second| Sample(f64::from(second), f64::from(second))).collect();
        let memory = Memory::of(&samples).unwrap();
        assert_eq!((memory.early, memory.late), (2.0, 9.0));
        assert_eq!(Memory::of(&[Sample(0.0, 0.0)]), None);
    }
}
