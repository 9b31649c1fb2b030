//! What is printed in the end.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::compare::Compared;
use super::figures::{Figures, Percentiles};
use super::memory::Memory;
use super::soak::{Check, Misdeeds, Soaked};

/// A server has to reach this share of what its engine does alone.
const REQUIRED_SHARE: f64 = 0.9;

/// Everything that one call measured.
pub(crate) struct Report {
    figures: Figures,
    memory: Option<Memory>,
    compared: Option<Compared>,
    misdeeds: Option<Misdeeds>,
    checks: Vec<Check>,
}

impl Report {
    pub(crate) fn of_load(figures: Figures, memory: Option<Memory>) -> Self {
        let check = Check {
            name: "every accepted request is answered completely",
            holds: Some(figures.failed == 0 && figures.answered > 0),
            detail: format!("{} answered, {} not", figures.answered, figures.failed),
        };
        Self { figures, memory, compared: None, misdeeds: None, checks: vec![check] }
    }

    pub(crate) fn of_comparison(compared: Compared) -> Self {
        let mut report = Self::of_load(compared.figures.clone(), compared.memory.clone());
        let percent = 100.0 * compared.share;
        report.checks.push(Check {
            name: "answers are those of the engine",
            holds: Some(compared.differing == 0),
            detail: format!("{} differ", compared.differing),
        });
        report.checks.push(Check {
            name: "the server reaches 90 % of the engine",
            holds: Some(compared.share >= REQUIRED_SHARE),
            detail: format!("{percent:.1} %, the median of {} rounds", compared.server.len()),
        });
        Self { compared: Some(compared), ..report }
    }

    pub(crate) fn of_soak(soaked: Soaked) -> Self {
        let Soaked { load, misdeeds, memory, checks } = soaked;
        Self { figures: load.figures, memory, compared: None, misdeeds: Some(misdeeds), checks }
    }

    /// Whether nothing that was looked at failed.
    pub(crate) fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.holds != Some(false))
    }

    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(&self.json())?);
        } else {
            print!("{}", self.text());
        }
        Ok(())
    }

    fn json(&self) -> Json {
        json!({
            "figures": self.figures, "memory_mb": self.memory, "compared": self.compared, "misdeeds": self.misdeeds,
            "checks": self.checks, "passed": self.passed(),
        })
    }

    fn text(&self) -> String {
        let Figures { answered, streamed, seconds, requests_per_second, tokens, tokens_per_second, .. } = self.figures;
        let mut text = format!(
            "{tokens_per_second:10.1} tokens/s, {requests_per_second:.2} requests/s: {answered} answers ({streamed} streamed) of \
             {tokens} tokens in {seconds:.1} s\n"
        );
        // Writing to a string cannot fail.
        let mut line = |arguments: std::fmt::Arguments| {
            let _ = writeln!(text, "{arguments}");
        };
        let times = [("latency", self.figures.latency), ("time to first text", self.figures.first_text)];
        for (name, percentiles) in times {
            if let Some(Percentiles { p50, p95, p99 }) = percentiles {
                line(format_args!("{name}: p50 {p50:.3} s, p95 {p95:.3} s, p99 {p99:.3} s"));
            }
        }
        line(format_args!(
            "{} times the queue was full (429), {} requests failed",
            self.figures.refused, self.figures.failed
        ));
        for (kind, (count, detail)) in &self.figures.errors {
            line(format_args!("  {count} x {kind}: {detail}"));
        }
        if let Some(misdeeds) = &self.misdeeds {
            let each: Vec<String> = misdeeds.done.iter().map(|(name, count)| format!("{name} {count}")).collect();
            line(format_args!("misdeeds: {}; {} turned away", each.join(", "), misdeeds.turned_away));
        }
        if let Some(Memory { early, late, most, over_time }) = &self.memory {
            let course: Vec<String> = over_time.iter().map(|sample| format!("{:.0}", sample.1)).collect();
            line(format_args!("resident memory: {early:.0} MB early, {late:.0} MB at the end, {most:.0} MB at most"));
            line(format_args!("  over time, from start to end: {}", course.join(" ")));
        }
        if let Some(Compared { server, offline, .. }) = &self.compared {
            let rates = |rates: &[f64]| rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(", ");
            line(format_args!("tokens/s of each round: {} with a server, {} without", rates(server), rates(offline)));
        }
        for Check { name, holds, detail } in &self.checks {
            let word = match holds {
                Some(true) => "holds",
                Some(false) => "FAILS",
                None => "not looked at",
            };
            line(format_args!("{word}: {name} ({detail})"));
        }
        line(format_args!("verdict: {}", if self.passed() { "passed" } else { "failed" }));
        text
    }
}
