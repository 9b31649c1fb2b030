//! `camelid sweep`: variants of recipes over seeds, each run by a process of its own, and a report of all.
//!
//! A run that fails, or is killed for memory, takes nobody with it; one that is finished says so by itself when it is called again.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::HumanDuration;

use super::run::STOPPED;
use crate::cli::SweepArgs;
use crate::models::last_stage;
use crate::report::read_lines;
use crate::sweep::{Outcome, Results, RunResult, SweepSpec, VariantSpec, read, write_all};

pub(crate) fn run(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    let spec = read(&args.sweep)?;
    let directory = spec.directory();
    std::fs::create_dir_all(&directory).with_context(|| format!("{} cannot be written", directory.display()))?;
    let pending = |seed: &u64| RunResult { seed: *seed, outcome: Outcome::Pending, lines: Vec::new() };
    let runs = spec.variant.iter().map(|_| spec.seeds.iter().map(pending).collect()).collect();
    let mut results = Results { spec: &spec, runs };
    let mut clock = Clock { spent: Duration::ZERO, ran: 0, left: spec.runs() };
    for (index, variant) in spec.variant.iter().enumerate() {
        for (place, &seed) in spec.seeds.iter().enumerate() {
            let done_before = stage_directory(&spec, variant, seed).join("finished.json").is_file();
            let started = Instant::now();
            let outcome = one(&spec, variant, seed)?;
            let stopped = outcome == Outcome::Pending;
            let words = match &outcome {
                Outcome::Finished => "finished".to_owned(),
                Outcome::Failed(why) => format!("FAILED: {}", why.lines().next().unwrap_or_default()),
                Outcome::Pending => "stopped".to_owned(),
            };
            results.runs[index][place] = gather(&spec, variant, seed, outcome);
            let left = clock.ended(started.elapsed(), done_before);
            eprintln!("{}/{} {} seed {seed}: {words}{left}", spec.runs() - clock.left, spec.runs(), variant.name);
            write_all(&results, &directory)?;
            if stopped {
                eprintln!("stopped; the same command goes on from there");
                return Ok(ExitCode::from(STOPPED));
            }
        }
    }
    println!("{}", directory.join("report.html").display());
    let failed = results.runs.iter().flatten().filter(|run| matches!(run.outcome, Outcome::Failed(_))).count();
    if failed > 0 {
        bail!(
            "{failed} of {} runs failed\n  fix: see the report and the logs beside the runs' directories",
            spec.runs()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// How long runs take, those aside that had nothing left to do.
struct Clock {
    spent: Duration,
    ran: u32,
    left: usize,
}

impl Clock {
    /// Counts a run and says how much is left at the pace so far.
    fn ended(&mut self, took: Duration, done_before: bool) -> String {
        self.left -= 1;
        if done_before {
            return " before".to_owned();
        }
        self.spent += took;
        self.ran += 1;
        let took = HumanDuration(took);
        match self.left {
            0 => format!(" in {took}"),
            left => format!(" in {took}, {} left", HumanDuration(self.spent / self.ran * left as u32)),
        }
    }
}

/// Runs one variant with one seed to its end, with everything it says in a log beside its directory.
fn one(spec: &SweepSpec, variant: &VariantSpec, seed: u64) -> anyhow::Result<Outcome> {
    let directory = spec.run_directory(variant, seed);
    let log = directory.with_extension("log");
    let parent = directory.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be written", parent.display()))?;
    let file = File::options().create(true).append(true).open(&log);
    let mut file = file.with_context(|| format!("{} cannot be written", log.display()))?;
    let before = file.metadata().map_or(0, |metadata| metadata.len());
    writeln!(file, "camelid run {}", variant.recipe.display())?;
    let mut command = Command::new(std::env::current_exe().context("this program's own file cannot be found")?);
    command.arg("run").arg(&variant.recipe);
    for change in spec.changes(variant, seed) {
        command.arg("--set").arg(change);
    }
    let status = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status();
    let status = status.context("the run cannot be started")?;
    if status.success() {
        return Ok(Outcome::Finished);
    }
    if status.code() == Some(i32::from(STOPPED)) {
        return Ok(Outcome::Pending);
    }
    let said = std::fs::read(&log).unwrap_or_default();
    let said = String::from_utf8_lossy(said.get(before as usize..).unwrap_or_default()).into_owned();
    Ok(Outcome::Failed(last_error(&said).unwrap_or_else(|| format!("{status}, see {}", log.display()))))
}

/// From the last line that names an error to the end.
fn last_error(said: &str) -> Option<String> {
    let start = said.rfind("error: ")?;
    Some(said[start + "error: ".len()..].trim().to_owned())
}

fn gather(spec: &SweepSpec, variant: &VariantSpec, seed: u64, outcome: Outcome) -> RunResult {
    let lines = read_lines(&stage_directory(spec, variant, seed).join("metrics.jsonl"));
    RunResult { seed, outcome, lines }
}

/// Where a run's last stage is at home.
fn stage_directory(spec: &SweepSpec, variant: &VariantSpec, seed: u64) -> PathBuf {
    let directory = spec.run_directory(variant, seed);
    last_stage(&directory).unwrap_or(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_the_mean_so_far_for_each_run_to_come() {
        let mut clock = Clock { spent: Duration::ZERO, ran: 0, left: 3 };
        assert_eq!(clock.ended(Duration::from_secs(20), false), " in 20 seconds, 40 seconds left");
        assert_eq!(clock.ended(Duration::from_secs(10), false), " in 10 seconds, 15 seconds left");
        assert_eq!(clock.ended(Duration::from_secs(1), true), " before");
    }

    #[test]
    fn an_error_is_what_follows_its_last_mention() {
        assert_eq!(last_error("step 1\nerror: no\n  fix: yes\n").as_deref(), Some("no\n  fix: yes"));
        assert_eq!(last_error("killed"), None);
    }
}
