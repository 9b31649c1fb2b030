//! Programs that try to get out, each with the layer that stops it.
//!
//! `cargo test -p camelid-sandbox --test hostile -- --nocapture` prints the table.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod case;
#[path = "../common/mod.rs"]
mod common;
mod files;
mod kernel;
mod outside;
mod processes;
mod resources;

use camelid_sandbox::{Layer, Outcome, Strictness, Verdict, run_many};

use case::{Case, Stop};
use outside::Outside;

fn cases() -> Vec<Case> {
    [files::cases(), processes::cases(), kernel::cases(), resources::cases()].into_iter().flatten().collect()
}

/// Why `outcome` is not what `case` expects; empty where it is.
fn objection(case: &Case, outcome: &Outcome) -> String {
    let output = format!("{}{}", outcome.stdout, outcome.stderr);
    // A traceback on standard error quotes the source, so standard output alone tells.
    if outcome.stdout.contains("ESCAPED") {
        return "it got out".to_owned();
    }
    let holds = outcome.layers.iter().any(|report| report.layer == case.layer() && report.is_applied());
    let as_expected = match &case.stop {
        Stop::Refused(call) => outcome.refused.iter().any(|refused| refused == call),
        Stop::Says(_, text) => output.contains(text),
        Stop::Ends(layer, verdict) => outcome.verdict == *verdict && outcome.stopped_by == Some(*layer),
        Stop::Fails(_) => !matches!(outcome.verdict, Verdict::Passed | Verdict::TimedOut),
        Stop::InVain(_) => outcome.verdict == Verdict::Passed,
    };
    if holds && as_expected { String::new() } else { format!("expected {:?}, got {outcome:?}", case.stop) }
}

#[test]
fn every_hostile_program_is_stopped_by_the_layer_that_is_meant_for_it() {
    let outside = Outside::new();
    if common::strictest(&outside.sandbox()) != Strictness::Strict {
        eprintln!("skipped: the layers that are meant for the programs are not all here");
        return;
    }
    let cases = cases();
    assert!(cases.len() >= 30);
    let mut objections = Vec::new();
    for case in &cases {
        let program = outside.program(case);
        let outcome = outside.sandbox().run(&program, &case.limits, Strictness::Strict).unwrap();
        println!("{:<46} -> {:<18} {}", case.name, case.layer(), outcome.verdict);
        let changed = outside.changes();
        let objection = objection(case, &outcome);
        if !(changed.is_empty() && objection.is_empty()) {
            objections.push(format!("{}: {changed} {objection}", case.name));
        }
    }
    assert!(objections.is_empty(), "{}", objections.join("\n"));
    println!("{} programs, all contained", cases.len());
}

/// Each of these layers stands behind another: without it, everything is still contained. Alone without an exchange is the private
/// root's quota, as the resource limits know single files only.
#[test]
fn no_single_layer_is_the_only_one() {
    let outside = Outside::new();
    let cases: Vec<Case> = cases().into_iter().filter(|case| !case.is_slow()).collect();
    for layer in [
        Layer::UserNamespace,
        Layer::PrivateRoot,
        Layer::PidNamespace,
        Layer::NetworkNamespace,
        Layer::Landlock,
        Layer::Seccomp,
    ] {
        let sandbox = outside.sandbox().without(layer);
        for group in cases.chunks(8) {
            let programs: Vec<_> = group.iter().map(|case| outside.program(case)).collect();
            let limits = &group[0].limits;
            let outcomes = run_many(&sandbox, &programs, limits, Strictness::BestEffort, Some(4), &|_| {});
            for (case, outcome) in group.iter().zip(outcomes) {
                let outcome = outcome.unwrap_or_else(|error| panic!("{} without {layer}: {error}", case.name));
                // Ordinary users have no private root without a user namespace.
                let alone = case.needs_layer && outcome.missing().any(|report| report.layer == case.layer());
                assert!(alone || !outcome.stdout.contains("ESCAPED"), "{} without {layer}: {outcome:?}", case.name);
                assert!(outcome.missing().any(|report| report.layer == layer), "{layer} was not off");
            }
            let changed = outside.changes();
            assert!(changed.is_empty(), "without {layer}: {changed}");
        }
        println!("without the {layer}: {} programs, all contained", cases.len());
    }
}
