//! What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

/// One step, as shown.
pub(crate) struct Shown {
    pub(crate) step: u64,
    pub(crate) loss: f64,
    pub(crate) learning_rate: f64,
    pub(crate) tokens_per_second: f64,
    /// Share of the measured peak of matrix products, when known.
    pub(crate) share_of_peak: Option<f64>,
    pub(crate) memory_bytes: usize,
}

/// Progress over the steps of a stage.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    first: u64,
    started: Instant,
    last_line: Option<Instant>,
}

/// Plain lines come at most this often, so that logs stay readable.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl Progress {
    /// Progress from step `first` (0, or where a run resumes) to `total`.
    pub(crate) fn new(label: &str, first: u64, total: u64) -> Self {
        let bar = (std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()).then(|| {
            let style = ProgressStyle::with_template("{prefix:.bold} {wide_bar:.cyan/dim} {pos}/{len} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total).with_style(style).with_prefix(label.to_owned());
            bar.set_position(first);
            bar
        });
        Self { bar, total, first, started: Instant::now(), last_line: None }
    }

    /// Prints a line without tearing the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    pub(crate) fn step(&mut self, shown: &Shown) {
        let left = time_left(self.started.elapsed(), shown.step.saturating_sub(self.first), self.total - shown.step);
        let message = describe(shown, left);
        if let Some(bar) = &self.bar {
            bar.set_position(shown.step);
            bar.set_message(message);
            return;
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if due || shown.step == self.total {
            eprintln!("step {}/{} {message}", shown.step, self.total);
            self.last_line = Some(Instant::now());
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The rest at the pace so far.
fn time_left(elapsed: Duration, done: u64, left: u64) -> Option<Duration> {
    (done > 0).then(|| elapsed.mul_f64(left as f64 / done as f64))
}

fn describe(shown: &Shown, left: Option<Duration>) -> String {
    let mut parts = vec![
        // Rounds of answers may leave nothing to learn from.
        if shown.loss.is_nan() { "no update".to_owned() } else { format!("loss {:.4}", shown.loss) },
        format!("lr {:.1e}", shown.learning_rate),
        format!("{:.0} tokens/s", shown.tokens_per_second),
    ];
    if let Some(share) = shown.share_of_peak {
        parts.push(format!("{:.0} % of peak", share * 100.0));
    }
    parts.push(format!("{}", HumanBytes(shown.memory_bytes as u64)));
    if let Some(left) = left {
        parts.push(format!("{} left", HumanDuration(left)));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_the_pace_so_far_times_the_steps_to_come() {
        assert_eq!(time_left(Duration::from_secs(10), 5, 20), Some(Duration::from_secs(40)));
        assert_eq!(time_left(Duration::from_secs(1), 0, 20), None);
    }

    #[test]
    fn a_line_names_every_figure_with_its_unit() {
        let shown = Shown {
            step: 1,
            loss: 2.5,
            learning_rate: 3e-4,
            tokens_per_second: 512.4,
            share_of_peak: Some(0.61),
            memory_bytes: 3 << 30,
        };
        let line = describe(&shown, Some(Duration::from_secs(61)));
        assert_eq!(line, "loss 2.5000  lr 3.0e-4  512 tokens/s  61 % of peak  3.00 GiB  61 seconds left");
    }
}
