//! The loop: what a step is divided by, what is seen how often, when it stops.

#[allow(dead_code, reason = "each test file uses its part")]
mod support;

use camelid_text::Encoded;
use camelid_train::{
    Ended, EvaluationReport, Example, Reduction, RunDirectory, Schedule, SftTask, Shape, TrainingPlan, evaluate,
};
use support::run::{Log, fit, names, state, trained, trained_by};
use support::{Fault, Table, plan, records};

#[test]
fn the_loss_falls() {
    let (_, log) = trained(&plan());
    let losses = log.losses();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[10..]) < 0.8 * mean(&losses[..5]), "{losses:?}");
    assert!(log.evaluations.last().unwrap().eval_loss < log.evaluations[0].eval_loss);
    assert!(log.steps.iter().all(|report| report.grad_norm > 0.0));
}

#[test]
fn every_record_is_seen_once_an_epoch() {
    let (engine, log) = trained(&plan());
    // 18 records, 5 a step: four epochs are 72 records in 15 steps; a step may hold the end of one epoch and the start
    // of the next.
    assert_eq!(log.steps.len(), 15);
    assert_eq!(engine.seen.len(), 18);
    assert!(engine.seen.values().all(|&times| times == 4), "{:?}", engine.seen);
    let tokens: usize = records(18).iter().map(|record| record.tokens.len()).sum();
    assert_eq!(log.steps.last().unwrap().num_tokens, 4 * tokens as u64);
    assert!((log.steps.last().unwrap().epoch - 4.0).abs() < 1e-12);
    assert_eq!(log.evaluations.iter().map(|report| report.step).collect::<Vec<_>>(), [0, 3, 6, 9, 12, 15]);
}

/// Every pass over a step's records has each once, whatever they are divided into.
#[test]
fn a_step_may_have_several_updates() {
    let folder = tempfile::tempdir().unwrap();
    let several = TrainingPlan { inner_epochs: 3, mini_batches: 2, ..plan() };
    let (mut engine, mut log) = (Table::new(), Log::default());
    fit(folder.path(), &several, &mut engine, &mut log).unwrap();
    assert_eq!(log.steps.len(), 15);
    assert!(engine.seen.values().all(|&times| times == 4 * 3), "{:?}", engine.seen);
    let trainer = std::fs::read_to_string(folder.path().join("checkpoints/step-15/trainer.json")).unwrap();
    let trainer: serde_json::Value = serde_json::from_str(&trainer).unwrap();
    assert_eq!(trainer["progress"]["updates"], 15 * 3 * 2);
    assert!(log.losses()[14] < trained(&plan()).1.losses()[14], "more updates learn more");
}

#[test]
fn part_of_an_epoch_and_a_limit_of_steps_are_kept() {
    let (engine, log) = trained(&TrainingPlan { epochs: 0.5, ..plan() });
    assert_eq!((log.steps.len(), engine.seen.values().sum::<usize>()), (2, 9));
    let (engine, log) = trained(&TrainingPlan { max_steps: 3, ..plan() });
    assert_eq!((log.steps.len(), engine.seen.values().sum::<usize>()), (3, 15));
}

/// The loss of a step is divided by what the whole step holds, however it is cut (transformers issue 34191).
#[test]
fn micro_batches_change_nothing() {
    for reduction in [Reduction::Tokens, Reduction::Records] {
        let (engine, log) = trained_by(reduction, &plan());
        for tokens_per_micro_batch in [1, 9, 20] {
            let cut = trained_by(reduction, &TrainingPlan { tokens_per_micro_batch, ..plan() });
            for (a, b) in log.losses().iter().zip(cut.1.losses()) {
                assert!((a - b).abs() < 1e-5, "{reduction:?}, {tokens_per_micro_batch} tokens: {a} and {b}");
            }
            for (a, b) in state(&engine)[0].values.iter().zip(&state(&cut.0)[0].values) {
                assert!((a - b).abs() < 1e-4, "{reduction:?}, {tokens_per_micro_batch} tokens: {a} and {b}");
            }
        }
    }
}

#[test]
fn losses_are_those_of_a_hand_computation() {
    for reduction in [Reduction::Tokens, Reduction::Records] {
        let plan = TrainingPlan { batch_size: 18, tokens_per_micro_batch: 15, ..plan() };
        let (_, log) = trained_by(reduction, &plan);
        assert!((log.steps[0].loss - by_hand(&records(18), reduction)).abs() < 1e-6, "{reduction:?}");
        let validation = &records(24)[18..];
        assert!((log.evaluations[0].eval_loss - by_hand(validation, reduction)).abs() < 1e-6, "{reduction:?}");
        let examples: Vec<Example> = validation.iter().cloned().map(Example::from).collect();
        let again = evaluate(&mut SftTask { reduction }, &mut Table::new(), &plan, &examples, 0).unwrap();
        assert_eq!(again, log.evaluations[0]);
    }
}

/// An evaluation by tokens on the records that the runs here validate on.
fn validated(engine: &mut Table, plan: &TrainingPlan) -> EvaluationReport {
    let examples: Vec<Example> = records(24).drain(18..).map(Example::from).collect();
    evaluate(&mut SftTask { reduction: Reduction::Tokens }, engine, plan, &examples, 0).unwrap()
}

fn by_hand(records: &[Encoded], reduction: Reduction) -> f64 {
    let table = Table::new();
    let of_record = |record: &Encoded| {
        let places = 1..record.tokens.len();
        let weight: f64 = places.clone().map(|i| f64::from(record.weights[i])).sum();
        let log_prob = |i: usize| table.log_prob(record.tokens[i - 1], record.tokens[i]);
        let sum: f64 = places.map(|i| -f64::from(record.weights[i]) * log_prob(i)).sum();
        (sum, weight)
    };
    let parts: Vec<(f64, f64)> = records.iter().map(of_record).collect();
    let sums: f64 = parts.iter().map(|part| part.0).sum();
    let weights: f64 = parts.iter().map(|part| part.1).sum();
    match reduction {
        Reduction::Tokens => sums / weights,
        Reduction::Records => parts.iter().map(|(sum, weight)| sum / weight).sum::<f64>() / parts.len() as f64,
    }
}

/// Two steps of warm-up to 0.1, then down to 0.01 over thirteen.
#[test]
fn the_learning_rate_is_the_schedule_s() {
    let shapes = [
        (Shape::Constant, [0.05, 0.1, 0.1, 0.1, 0.1]),
        (Shape::Linear, [0.05, 0.1, 0.1, 0.058_461_538, 0.016_923_077]),
        (Shape::Cosine, [0.05, 0.1, 0.1, 0.060_424_151, 0.011_307_611]),
        (Shape::Wsd, [0.05, 0.1, 0.1, 0.1, 0.04]),
    ];
    for (shape, expected) in shapes {
        let schedule = Schedule { shape, decay_share: 0.2, ..plan().schedule };
        let (_, log) = trained(&TrainingPlan { schedule, ..plan() });
        let rates = [0, 1, 2, 8, 14].map(|step| log.steps[step].learning_rate);
        for (rate, expected) in rates.iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-8, "{shape:?}: {rates:?}");
        }
    }
}

#[test]
fn values_that_are_not_finite_end_the_run_with_their_place() {
    let diverged = |fault| {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::default();
        let error = fit(folder.path(), &plan(), &mut Table::with(fault), &mut log).unwrap_err();
        let newest = folder.path().join(format!("checkpoints/step-{}", log.steps.len()));
        assert!(newest.is_dir() || log.steps.is_empty(), "the last good state is there");
        (error.to_string(), log.steps.len())
    };
    let (error, steps) = diverged(Fault::NanAfter(4));
    assert!(error.starts_with("step 5: the loss is NaN\n  records: data:") && error.contains("fix: "), "{error}");
    assert_eq!((steps, error.matches("data:").count()), (4, 5));
    let (error, steps) = diverged(Fault::InfiniteGradientAt(3));
    assert!(error.starts_with("step 3: the gradient's norm is inf\n  records: data:"), "{error}");
    assert_eq!((steps, error.matches("data:").count()), (2, 5));
}

#[test]
fn a_first_validation_that_is_not_finite_ends_the_run_before_any_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::default();
    let error = fit(folder.path(), &plan(), &mut Table::with(Fault::NanAfter(0)), &mut log).unwrap_err().to_string();
    assert!(error.starts_with("step 0: the validation loss is NaN") && error.contains("held out"), "{error}");
    assert!(log.steps.is_empty() && log.evaluations.is_empty());
}

/// A rate so high that validation soon gets worse.
fn overshooting() -> TrainingPlan {
    let schedule = Schedule { shape: Shape::Constant, learning_rate: 0.5, ..plan().schedule };
    TrainingPlan { epochs: 60.0, eval_every: 1, early_stop_patience: 3, schedule, ..plan() }
}

#[test]
fn early_stopping_ends_with_what_validated_best() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut log) = (Table::new(), Log::default());
    assert_eq!(fit(folder.path(), &overshooting(), &mut engine, &mut log).unwrap(), Ended::EarlyStop);
    let losses: Vec<f64> = log.evaluations.iter().map(|report| report.eval_loss).collect();
    let (before, last) = losses.split_at(losses.len() - 3);
    let best = before.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(last.iter().all(|&loss| loss >= best) && before.last() == Some(&best), "{losses:?}");
    assert_eq!(log.best, Some(before.len() as u64 - 1));
    let now = validated(&mut engine, &overshooting());
    assert_eq!(now.eval_loss.to_bits(), best.to_bits());
    // The two newest, and the best one although it is older.
    assert_eq!(names(&folder.path().join("checkpoints")).len(), 3);
}

#[test]
fn without_early_stopping_the_last_state_is_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut log) = (Table::new(), Log::default());
    let plan = TrainingPlan { early_stop_patience: 0, epochs: 10.0, ..overshooting() };
    assert_eq!(fit(folder.path(), &plan, &mut engine, &mut log).unwrap(), Ended::Finished);
    let last = log.evaluations.last().unwrap().eval_loss;
    assert!(log.evaluations.iter().any(|report| report.eval_loss < last));
    let now = validated(&mut engine, &plan);
    assert_eq!((now.eval_loss.to_bits(), log.best), (last.to_bits(), None));
}

#[test]
fn the_newest_checkpoints_are_kept() {
    for (keep_checkpoints, checkpoint_every, expected) in [
        (1, 1, vec!["step-15"]),
        (3, 1, vec!["step-13", "step-14", "step-15"]),
        (2, 4, vec!["step-12", "step-15"]),
        (2, 0, vec!["step-15"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let plan = TrainingPlan { keep_checkpoints, checkpoint_every, ..plan() };
        fit(folder.path(), &plan, &mut Table::new(), &mut Log::default()).unwrap();
        assert_eq!(names(&folder.path().join("checkpoints")), expected);
    }
}

#[test]
fn no_records_are_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let directory = RunDirectory::open(folder.path()).unwrap();
    let error = support::run::fit_on(&directory, &plan(), &[], "", &mut Table::new(), &mut Log::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("0 records") && error.contains("fix: "), "{error}");
}
