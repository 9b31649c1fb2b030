//! However a run is interrupted, going on gives the bits of a run that was not.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use camelid_train::{Ended, RunDirectory, Schedule, Shape, TrainError, TrainingPlan};
use support::run::{Log, Outcome, Then, fit, fit_on, names, outcome, state, trained};
use support::{Fault, Table, plan, records};

fn go_on(folder: &Path, plan: &TrainingPlan) -> (Outcome, Log) {
    let (mut engine, mut log) = (Table::new(), Log::default());
    let ended = fit(folder, plan, &mut engine, &mut log).unwrap();
    (outcome(folder, ended, &engine), log)
}

/// A whole run, in a folder of its own.
fn uninterrupted(plan: &TrainingPlan) -> Outcome {
    go_on(tempfile::tempdir().unwrap().path(), plan).0
}

/// Runs until the process ends in some call; `None` if it got to the end.
fn die(folder: &Path, plan: &TrainingPlan, fault: Fault, mut log: Log) -> Option<Log> {
    let run = catch_unwind(AssertUnwindSafe(|| fit(folder, plan, &mut Table::with(fault), &mut log)));
    run.is_err().then_some(log)
}

#[test]
fn stopped_after_any_step_a_run_goes_on_in_the_same_bits() {
    for (plan, steps) in [(plan(), 1..15), (TrainingPlan { inner_epochs: 2, mini_batches: 2, ..plan() }, 6..8)] {
        stop_after_each(&plan, steps);
    }
}

fn stop_after_each(plan: &TrainingPlan, steps: std::ops::Range<u64>) {
    let expected = uninterrupted(plan);
    for step in steps {
        let folder = tempfile::tempdir().unwrap();
        // What is asked for is written although none is due.
        let rarely = TrainingPlan { checkpoint_every: 0, ..plan.clone() };
        let mut log = Log::and(Then::StopAfter(step));
        assert_eq!(fit(folder.path(), &rarely, &mut Table::new(), &mut log).unwrap(), Ended::Stopped);
        assert_eq!((log.steps.len() as u64, log.checkpoints.as_slice()), (step, &[step][..]));
        let (ended, log) = go_on(folder.path(), plan);
        assert_eq!(log.first_step, step);
        assert!(ended == expected, "stopped after {step}");
    }
}

#[test]
fn a_stop_asked_for_in_the_last_step_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::and(Then::StopAfter(15));
    assert_eq!(fit(folder.path(), &plan(), &mut Table::new(), &mut log).unwrap(), Ended::Finished);
}

#[test]
fn a_checkpoint_asked_for_is_written_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let rarely = TrainingPlan { checkpoint_every: 0, ..plan() };
    let mut log = Log::and(Then::CheckpointAfter(7));
    assert_eq!(fit(folder.path(), &rarely, &mut Table::new(), &mut log).unwrap(), Ended::Finished);
    assert_eq!(log.checkpoints, [7, 15]);
}

/// With early stopping too, whose state is more: what was best, and for how long nothing got better.
fn stops_early() -> TrainingPlan {
    let schedule = Schedule { shape: Shape::Constant, learning_rate: 0.5, ..plan().schedule };
    TrainingPlan { epochs: 60.0, eval_every: 1, early_stop_patience: 3, schedule, ..plan() }
}

#[test]
fn dying_between_any_two_calls_costs_no_bit() {
    for plan in [plan(), TrainingPlan { checkpoint_every: 4, ..plan() }, stops_early()] {
        let expected = uninterrupted(&plan);
        let mut call = 0;
        loop {
            call += 1;
            let folder = tempfile::tempdir().unwrap();
            let log = Log::and(Then::DieIn(call));
            if die(folder.path(), &plan, Fault::None, log).is_none() {
                break;
            }
            assert!(go_on(folder.path(), &plan).0 == expected, "{plan:?}, call {call}");
        }
        // The start, a report of each step and validation, and at least one checkpoint.
        assert!(call > expected.metrics.len() + 1, "{call} calls");
    }
}

#[test]
fn dying_again_and_again_costs_no_bit() {
    let expected = uninterrupted(&plan());
    let folder = tempfile::tempdir().unwrap();
    let mut deaths = 0;
    // Seven calls are two or three steps.
    while die(folder.path(), &plan(), Fault::None, Log::and(Then::DieIn(7))).is_some() {
        deaths += 1;
        assert!(deaths < 15, "no progress");
    }
    assert!(deaths >= 5, "{deaths}");
    assert!(go_on(folder.path(), &plan()).0 == expected);
}

#[test]
fn dying_within_a_checkpoint_costs_no_bit_and_leaves_nothing() {
    let expected = uninterrupted(&plan());
    for reading in 1..=30 {
        let folder = tempfile::tempdir().unwrap();
        let log = die(folder.path(), &plan(), Fault::DiesInReading(reading), Log::default()).unwrap();
        let torn = format!(".writing-step-{}", log.steps.len());
        assert!(names(&folder.path().join("checkpoints")).contains(&torn), "reading {reading}");
        let (ended, log) = go_on(folder.path(), &plan());
        assert!(ended == expected, "reading {reading}");
        assert!(log.warnings.is_empty(), "{:?}", log.warnings);
    }
}

/// What a dead process left is removed even where the run that goes on writes no checkpoint of that step.
#[test]
fn torn_checkpoints_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    die(folder.path(), &plan(), Fault::DiesInReading(14), Log::default()).unwrap();
    go_on(folder.path(), &TrainingPlan { checkpoint_every: 0, ..plan() });
    assert_eq!(names(&folder.path().join("checkpoints")), ["step-15", "step-6"]);
}

#[test]
fn an_error_of_the_engine_costs_no_bit() {
    let expected = uninterrupted(&plan());
    for step in 1..=15 {
        let folder = tempfile::tempdir().unwrap();
        let failed = fit(folder.path(), &plan(), &mut Table::with(Fault::FailsAt(step)), &mut Log::default());
        assert!(failed.unwrap_err().to_string().contains("out of memory"));
        assert!(go_on(folder.path(), &plan()).0 == expected, "step {step}");
    }
}

/// A damaged checkpoint counts for nothing: not as state, and not among those to keep.
#[test]
fn the_newest_whole_checkpoint_is_taken() {
    for keep_checkpoints in [1, 2] {
        let plan = TrainingPlan { keep_checkpoints, ..plan() };
        let expected = uninterrupted(&plan);
        for file in ["state.safetensors", "trainer.json"] {
            let folder = tempfile::tempdir().unwrap();
            let checkpoints = folder.path().join("checkpoints");
            let earlier = TrainingPlan { keep_checkpoints: 2, ..plan.clone() };
            let mut log = Log::and(Then::StopAfter(9));
            fit(folder.path(), &earlier, &mut Table::new(), &mut log).unwrap();
            let path = checkpoints.join("step-9").join(file);
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x80;
            fs::write(&path, bytes).unwrap();
            // Stopped again at once: the whole one may not have been pushed out by the damaged one.
            let mut log = Log::and(Then::DieIn(1));
            assert!(catch_unwind(AssertUnwindSafe(|| fit(folder.path(), &plan, &mut Table::new(), &mut log))).is_err());
            assert_eq!(log.first_step, 8);
            assert!(log.warnings.len() == 1 && log.warnings[0].contains("step-9"), "{:?}", log.warnings);
            assert_eq!(names(&checkpoints), ["step-8"]);
            assert!(go_on(folder.path(), &plan).0 == expected, "{file}");
        }
    }
}

#[test]
fn where_no_checkpoint_is_whole_nothing_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    go_on(folder.path(), &plan());
    let checkpoints = folder.path().join("checkpoints");
    for name in names(&checkpoints) {
        fs::write(checkpoints.join(name).join("state.safetensors"), "").unwrap();
    }
    let error = fit(folder.path(), &plan(), &mut Table::new(), &mut Log::default()).unwrap_err().to_string();
    assert!(error.contains("none of the checkpoints is whole") && error.contains("fix: "), "{error}");
    assert_eq!(names(&checkpoints).len(), 2);
}

#[test]
fn a_finished_run_trains_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let first = go_on(folder.path(), &plan()).0;
    let (again, log) = go_on(folder.path(), &plan());
    assert!(again == first && log.steps.is_empty());
}

#[test]
fn a_checkpoint_of_another_plan_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    go_on(folder.path(), &plan());
    let directory = RunDirectory::open(folder.path()).unwrap();
    let other = fit_on(&directory, &plan(), &records(18), "other", &mut Table::new(), &mut Log::default());
    let error = other.unwrap_err().to_string();
    assert!(error.contains("another recipe") && error.contains("fix: "), "{error}");
}

#[test]
fn a_directory_is_used_by_one_run_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let held = RunDirectory::open(folder.path()).unwrap();
    let Err(TrainError::File { reason, .. }) = RunDirectory::open(folder.path()) else { panic!("two runs") };
    assert!(reason.contains(&std::process::id().to_string()), "{reason}");
    drop(held);
    RunDirectory::open(folder.path()).unwrap();
}

/// Samples of the beginning stay; those of the end are drawn again, as the run is not over.
#[test]
fn samples_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let directory = RunDirectory::open(folder.path()).unwrap();
    for step in [0, 0, 15] {
        directory.append("samples.jsonl", &serde_json::json!({ "step": step })).unwrap();
    }
    directory.forget_after(Some(15)).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("samples.jsonl")).unwrap(), "{\"step\":0}\n{\"step\":0}\n");
}

/// A line that a kill cut short is dropped, not read and not built upon.
#[test]
fn half_a_line_of_metrics_is_dropped() {
    let expected = uninterrupted(&plan());
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::and(Then::StopAfter(4));
    fit(folder.path(), &plan(), &mut Table::new(), &mut log).unwrap();
    let path = folder.path().join("metrics.jsonl");
    let half = fs::read_to_string(&path).unwrap() + "{\"step\":5,\"epoch\":1.3";
    fs::write(&path, half).unwrap();
    assert!(go_on(folder.path(), &plan()).0 == expected);
}

#[test]
fn a_run_of_one_step_is_a_run() {
    let (engine, log) = trained(&TrainingPlan { max_steps: 1, ..plan() });
    assert_eq!((log.steps.len(), log.checkpoints.as_slice()), (1, &[1][..]));
    assert!(state(&engine) != state(&Table::new()));
}
