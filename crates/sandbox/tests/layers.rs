//! What the layers report, with each of them and without.
#![cfg(target_os = "linux")]

mod common;

use camelid_sandbox::{Layer, Limits, Program, Strictness, Verdict};
use common::sandbox;

#[test]
fn a_program_runs_and_every_outcome_names_its_layers() {
    let program = Program::script("import json, math, random, re\nprint(math.comb(5, 2))");
    let outcome = sandbox().run(&program, &Limits::default(), Strictness::BestEffort).unwrap();
    assert_eq!(outcome.verdict, Verdict::Passed, "{outcome:?}");
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("10\n", ""));
    assert_eq!(outcome.layers.len(), Layer::ALL.len(), "{:?}", outcome.layers);
    for report in &outcome.layers {
        println!("{:<18} {:?}", report.layer, report.state);
    }
}
