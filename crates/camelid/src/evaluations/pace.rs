//! How far a task has come.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Plain lines come at most this often, so that logs stay readable.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A line for each task: items, their rate, the time left.
pub(crate) struct Pace {
    task: String,
    total: usize,
    started: Instant,
    last_line: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Pace {
    pub(crate) fn new(task: &str, total: usize) -> Self {
        let bar = (std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()).then(|| {
            let style = ProgressStyle::with_template("{prefix:.bold} {wide_bar:.cyan/dim} {pos}/{len} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total as u64).with_style(style).with_prefix(task.to_owned())
        });
        Self { task: task.to_owned(), total, started: Instant::now(), last_line: None, bar }
    }

    pub(crate) fn at(&mut self, ended: usize, failed: usize) {
        let message = describe(self.started.elapsed(), ended, self.total, failed);
        if let Some(bar) = &self.bar {
            bar.set_position(ended as u64);
            bar.set_message(message);
            return;
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if due || ended == self.total {
            eprintln!("{} {ended}/{} {message}", self.task, self.total);
            self.last_line = Some(Instant::now());
        }
    }

    /// Seconds since the start.
    pub(crate) fn finish(&self) -> f64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed().as_secs_f64()
    }
}

fn describe(elapsed: Duration, ended: usize, total: usize, failed: usize) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let mut parts = vec![format!("{:.1} items/s", ended as f64 / seconds)];
    if ended > 0 && ended < total {
        let left = elapsed.mul_f64((total - ended) as f64 / ended as f64);
        parts.push(format!("{} left", HumanDuration(left)));
    }
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_rest_and_failures() {
        assert_eq!(describe(Duration::from_secs(10), 20, 50, 1), "2.0 items/s  15 seconds left  1 failed");
        assert_eq!(describe(Duration::from_secs(10), 50, 50, 0), "5.0 items/s");
    }
}
