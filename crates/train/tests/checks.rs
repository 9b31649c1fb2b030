//! The first-step checks pass on what is right and fail on each planted fault.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use camelid_text::Encoded;
use camelid_train::TrainError;
use camelid_train::checks::{CheckReport, Tolerance, first_step};
use support::{Fault, Table, text};

/// A prompt of three tokens, an answer of four, the end.
fn record(record: u32) -> Encoded {
    let tokens = vec![0, 2 + record, 3, 4, 5, 6 + record, 7, 8, 1];
    Encoded { weights: vec![0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0], tokens, record }
}

fn check(engine: &mut Table, records: &[Encoded]) -> Result<Vec<CheckReport>, TrainError> {
    first_step(engine, &text(), &records.iter().collect::<Vec<_>>(), Tolerance::F32)
}

#[track_caller]
fn fails(fault: Fault, change: impl Fn(&mut Encoded), check_name: &str, expected: &str) {
    let mut records = [record(0), record(1)];
    records.iter_mut().for_each(change);
    match check(&mut Table::with(fault), &records) {
        Err(TrainError::Check { name, detail, fix }) => {
            assert_eq!(name, check_name);
            assert!(detail.contains(expected) && !fix.is_empty(), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_right_passes_and_the_engine_is_left_as_it_was() {
    let mut engine = Table::new();
    let reports = check(&mut engine, &[record(0), record(1)]).unwrap();
    assert_eq!(reports.len(), 3);
    assert!(reports[0].detail.contains("10 trained tokens in 2 records, 2 stop tokens"), "{}", reports[0].detail);
    let again = check(&mut engine, &[record(0), record(1)]).unwrap();
    let details = |reports: &[CheckReport]| reports.iter().map(|report| report.detail.clone()).collect::<Vec<_>>();
    assert_eq!(details(&again), details(&reports));
}

#[test]
fn a_mask_shifted_by_one_is_noticed() {
    // Everything one token early: the end of the turn is never trained.
    fails(
        Fault::None,
        |record| record.weights.rotate_left(1),
        "trained spans",
        "no trained span ends with a stop token",
    );
    // One token late: what the template writes after the turn is trained in its place.
    let late = |record: &mut Encoded| {
        record.tokens.push(2);
        record.weights.push(0.0);
        record.weights.rotate_right(1);
    };
    fails(Fault::None, late, "trained spans", "no trained span ends with a stop token");
}

#[test]
fn a_record_that_trains_nothing_is_noticed() {
    fails(Fault::None, |record| record.weights.fill(0.0), "trained spans", "trains no token");
}

#[test]
fn two_beginnings_are_noticed() {
    fails(Fault::None, |record| record.tokens[1] = 0, "trained spans", "two BOS");
}

#[test]
fn sequences_that_disturb_each_other_are_noticed() {
    fails(Fault::SharingLeaks, |_| {}, "forest equals dense", "log-probabilities within 5.0e-1");
}

#[test]
fn a_generator_that_differs_is_noticed() {
    fails(Fault::DecodingDiffers, |_| {}, "decoding equals scoring", "within 1.0e0");
}

#[test]
fn scores_that_are_no_numbers_are_noticed() {
    fails(Fault::NanAfter(0), |_| {}, "forest equals dense", "not finite");
}
