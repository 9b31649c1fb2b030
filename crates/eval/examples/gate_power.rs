//! How often gates say what is true: losses of 0, 2, 5 and 10 points are planted, and gates with a margin of 3 are held on them.
//!
//! `cargo run -p camelid-eval --release --example gate_power -- [REPETITIONS]` prints a table in Markdown; 10,000 repetitions are the
//! default. It fails if a loss of the margin or more passes more often than the gate's 5 % allow, or if what lost less is called lost
//! more often than that, beyond what three standard errors of the simulation explain.

use std::process::ExitCode;

use camelid_eval::comparison::gate::GateDesign;
use camelid_eval::comparison::simulate::{Frequencies, Setting, frequencies};

const DESIGN: GateDesign = GateDesign { margin: 0.03, alpha: 0.05, power: 0.8 };
/// Planted, in units of the score; 3 points are the margin itself, where a gate errs most.
const LOSSES: [f64; 5] = [0.0, 0.02, 0.03, 0.05, 0.10];
const SEED: u64 = 11;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "10000".into());
    let Some(repetitions) = argument.parse::<usize>().ok().filter(|&count| count >= 100) else {
        eprintln!("{argument}: is no number of repetitions\n  fix: use a whole number from 100 up");
        return ExitCode::from(2);
    };
    let related = Setting::RELATED;
    let settings = [
        ("a checkpoint and what was tuned from it", related, &[200, 500, 1000, 1319, 2500, 5000][..]),
        ("two models that have less in common", Setting { correlation: 0.6, ..related }, &[1000, 2500, 5000][..]),
        ("an easy task", Setting { rate: 0.95, ..related }, &[500, 1000][..]),
        ("ten questions on each passage", Setting { group_size: 10, within: 0.5, ..related }, &[1000, 2500][..]),
    ];
    println!("margin 3 points, one-sided at 5 %, {repetitions} gates a row, seed {SEED}\n");
    println!(
        "| models and items | right before | items | planted loss | differ on | kept | not shown | lost | truth |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut faults = Vec::new();
    for (name, setting, counts) in settings {
        for &count in counts {
            for loss in LOSSES {
                let Some(found) = frequencies(&setting, DESIGN, loss, count, repetitions, SEED) else {
                    eprintln!("{name}: a loss of {loss} cannot be planted");
                    return ExitCode::FAILURE;
                };
                println!("| {name} | {} % | {count} | {} | {} |", setting.rate * 100.0, points(loss), row(&found));
                faults.extend(fault(&found).map(|fault| format!("{name}, {count} items, loss {loss}: {fault}")));
            }
        }
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn points(loss: f64) -> String {
    format!("{} points", loss * 100.0)
}

fn row(found: &Frequencies) -> String {
    let percent = |verdicts: usize| {
        let (share, interval) = found.share(verdicts);
        let half = interval.map_or(0.0, |interval| (interval.high - interval.low) / 2.0);
        format!("{:.1} ± {:.1} %", share * 100.0, half * 100.0)
    };
    let truth = if found.loss >= DESIGN.margin { "must not be kept" } else { "must not be lost" };
    let verdicts = [found.kept, found.not_shown, found.lost].map(percent).join(" | ");
    format!("{:.1} % | {verdicts} | {truth}", found.differing * 100.0)
}

/// The error that the gate limits, where it happens too often to be chance.
fn fault(found: &Frequencies) -> Option<String> {
    let (what, errors) = if found.loss >= DESIGN.margin { ("kept", found.kept) } else { ("lost", found.lost) };
    let share = found.share(errors).0;
    let most = DESIGN.alpha + 3.0 * (DESIGN.alpha * (1.0 - DESIGN.alpha) / found.repetitions as f64).sqrt();
    (share > most).then(|| format!("{:.2} % are {what}", share * 100.0))
}
