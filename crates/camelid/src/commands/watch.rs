//! The observer of `run`: progress on the screen, a summary at the end.

use std::fmt::Write;
use std::path::Path;

use camelid_train::{EvaluationReport, Metrics, MonitorReport, Observer, StepReport};

use crate::progress::{Progress, Shown};

pub(crate) struct Watch {
    label: &'static str,
    /// Floating-point operations a second of matrix products alone.
    peak: f64,
    progress: Option<Progress>,
    losses: Vec<f64>,
    evaluations: Vec<EvaluationReport>,
    last_step: u64,
    tokens: f64,
    seconds: f64,
}

impl Watch {
    pub(crate) fn new(label: &'static str, peak: f64) -> Self {
        let (losses, evaluations) = (Vec::new(), Vec::new());
        Self { label, peak, progress: None, losses, evaluations, last_step: 0, tokens: 0.0, seconds: 0.0 }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.last_step
    }

    pub(crate) fn tokens_per_second(&self) -> f64 {
        self.tokens / self.seconds.max(f64::MIN_POSITIVE)
    }

    pub(crate) fn finish(&self) {
        if let Some(progress) = &self.progress {
            progress.finish();
        }
    }

    fn say(&self, line: &str) {
        match &self.progress {
            Some(progress) => progress.say(line),
            None => eprintln!("{line}"),
        }
    }

    /// Loss curve and what changed.
    pub(crate) fn summary(&self) -> String {
        let mut lines = Vec::new();
        if !self.losses.is_empty() {
            lines.push(format!("\nloss        {}", sparkline(&self.losses)));
            lines.push(format!(
                "speed       {:.0} tokens/s over {} steps",
                self.tokens_per_second(),
                self.losses.len()
            ));
        }
        if let (Some(first), Some(last)) = (self.evaluations.first(), self.evaluations.last()) {
            lines.push(format!(
                "validation  loss {:.4} -> {:.4}{}",
                first.eval_loss,
                last.eval_loss,
                headline(&last.metrics, Some(&first.metrics))
            ));
        }
        lines.join("\n")
    }
}

impl Observer for Watch {
    fn started(&mut self, first_step: u64, total_steps: u64) {
        self.last_step = first_step;
        if first_step > 0 {
            eprintln!("resuming after step {first_step} of {total_steps}");
        }
        self.progress = Some(Progress::new(self.label, first_step, total_steps));
    }

    fn stepped(&mut self, report: &StepReport) {
        self.last_step = report.step;
        self.losses.push(report.loss);
        self.tokens += report.tokens_per_second * report.step_seconds;
        self.seconds += report.step_seconds;
        if let Some(progress) = &mut self.progress {
            progress.step(&Shown {
                step: report.step,
                loss: report.loss,
                learning_rate: report.learning_rate,
                tokens_per_second: report.tokens_per_second,
                share_of_peak: Some(report.flops / report.step_seconds / self.peak),
                memory_bytes: report.memory_bytes,
            });
        }
    }

    fn evaluated(&mut self, report: &EvaluationReport) {
        self.say(&format!(
            "validation after step {}: loss {:.4}{}",
            report.step,
            report.eval_loss,
            headline(&report.metrics, None)
        ));
        self.evaluations.push(report.clone());
    }

    fn monitored(&mut self, report: &MonitorReport) {
        let figure = |name: &str| report.metrics.get(name).copied();
        let proxy = figure("monitor/proxy").map(|proxy| format!(", training reward {proxy:.4}")).unwrap_or_default();
        self.say(&format!(
            "monitor after step {}: held-out reward {:.4}{proxy}, KL {:.3} nats{}",
            report.step,
            figure("monitor/reward").unwrap_or(f64::NAN),
            figure("monitor/kl").unwrap_or(f64::NAN),
            if report.falls { "; below its highest for sure" } else { "" }
        ));
    }

    fn saved_checkpoint(&mut self, path: &Path) {
        self.say(&format!("checkpoint {}", path.display()));
    }

    fn took_best(&mut self, step: u64) {
        self.say(&format!("the model after step {step} is taken, the best on what is held out"));
    }

    fn warned(&mut self, message: &str) {
        self.say(&format!("warning: {message}"));
    }
}

/// The figures of an evaluation that people look at first, with what they were at the start.
fn headline(now: &Metrics, before: Option<&Metrics>) -> String {
    let shown = [
        ("eval_mean_token_accuracy", "token accuracy", 100.0, " %"),
        ("eval_rewards/accuracies", "reward accuracy", 100.0, " %"),
        ("eval_accuracy", "reward accuracy", 100.0, " %"),
        ("eval_rewards/margins", "reward margin", 1.0, ""),
        ("eval_reward", "reward of the likeliest answers", 1.0, ""),
    ];
    let mut line = String::new();
    for (name, words, factor, unit) in shown {
        let Some(value) = now.get(name) else { continue };
        let digits = if unit.is_empty() { 4 } else { 1 };
        let _ = match before.and_then(|before| before.get(name)) {
            Some(first) => {
                write!(line, ", {words} {:.digits$}{unit} -> {:.digits$}{unit}", first * factor, value * factor)
            }
            None => write!(line, ", {words} {:.digits$}{unit}", value * factor),
        };
    }
    line
}

/// A curve in one line, at most 60 characters wide.
pub(crate) fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 60;
    let columns: Vec<f64> = match values.len() {
        0..=WIDTH => values.to_vec(),
        len => (0..WIDTH)
            .map(|column| {
                let part = &values[column * len / WIDTH..(column + 1) * len / WIDTH];
                part.iter().sum::<f64>() / part.len() as f64
            })
            .collect(),
    };
    let (low, high) = columns.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    let bar = |value: f64| BARS[((value - low) / (high - low).max(1e-12) * 7.0).round().clamp(0.0, 7.0) as usize];
    let curve: String = columns.into_iter().map(bar).collect();
    format!("{curve}  {high:.3} … {low:.3}")
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn a_curve_goes_from_its_highest_to_its_lowest() {
        assert_eq!(sparkline(&[3.0, 2.0, 1.0]), "█▅▁  3.000 … 1.000");
        assert_eq!(sparkline(&vec![1.0; 500]).chars().filter(|&c| c == '▁').count(), 60);
    }
}
