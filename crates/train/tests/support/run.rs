//! Runs of the table, and a log of what they tell.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use camelid_model::{Engine, StateTensor};
use camelid_text::Encoded;
use camelid_train::{
    Ended, EvaluationReport, Example, Observer, Reduction, Requests, RunDirectory, SftTask, StepReport, Task,
    TrainError, Trainer, TrainingData, TrainingPlan,
};

use serde_json::Value as Json;

use super::{Table, records};

/// What a log does besides listening.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Then {
    #[default]
    Listen,
    StopAfter(u64),
    CheckpointAfter(u64),
    /// The process ends in this call, counted from 1.
    DieIn(usize),
}

/// Keeps every report; may ask for something after a step, or end the process.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) steps: Vec<StepReport>,
    pub(crate) evaluations: Vec<EvaluationReport>,
    pub(crate) checkpoints: Vec<u64>,
    pub(crate) warnings: Vec<String>,
    pub(crate) first_step: u64,
    pub(crate) best: Option<u64>,
    pub(crate) reduction: Reduction,
    then: Then,
    calls: usize,
    stop: Arc<AtomicBool>,
    checkpoint: Arc<AtomicBool>,
}

impl Log {
    pub(crate) fn and(then: Then) -> Self {
        Self { then, ..Self::default() }
    }

    pub(crate) fn losses(&self) -> Vec<f64> {
        self.steps.iter().map(|report| report.loss).collect()
    }

    /// Nothing after a panic runs but destructors, which write nothing: as when the process is killed.
    fn call(&mut self) {
        self.calls += 1;
        if self.then == Then::DieIn(self.calls) {
            std::panic::resume_unwind(Box::new("the process ends"));
        }
    }
}

impl Observer for Log {
    fn started(&mut self, first_step: u64, _total_steps: u64) {
        self.first_step = first_step;
        self.call();
    }

    fn stepped(&mut self, report: &StepReport) {
        self.steps.push(report.clone());
        self.call();
        self.stop.store(self.then == Then::StopAfter(report.step), Ordering::Relaxed);
        self.checkpoint.store(self.then == Then::CheckpointAfter(report.step), Ordering::Relaxed);
    }

    fn evaluated(&mut self, report: &EvaluationReport) {
        self.evaluations.push(report.clone());
        self.call();
    }

    fn saved_checkpoint(&mut self, path: &Path) {
        let step = path.file_name().unwrap().to_str().unwrap().strip_prefix("step-").unwrap();
        self.checkpoints.push(step.parse().unwrap());
        self.call();
    }

    fn took_best(&mut self, step: u64) {
        self.best = Some(step);
        self.call();
    }

    fn warned(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
}

/// Trains on 18 records, validates on 6 others.
pub(crate) fn fit(folder: &Path, plan: &TrainingPlan, engine: &mut Table, log: &mut Log) -> Result<Ended, TrainError> {
    fit_on(&RunDirectory::open(folder)?, plan, &records(18), "hash", engine, log)
}

pub(crate) fn fit_on(
    directory: &RunDirectory,
    plan: &TrainingPlan,
    training: &[Encoded],
    run_hash: &str,
    engine: &mut Table,
    log: &mut Log,
) -> Result<Ended, TrainError> {
    let examples = |records: &[Encoded]| -> Vec<Example> { records.iter().cloned().map(Example::from).collect() };
    let task = &mut SftTask { reduction: log.reduction };
    let examples = [examples(training), examples(&records(24)[18..])];
    fit_task(directory, plan, task, &examples, run_hash, engine, log)
}

/// Any task on training and validation examples.
pub(crate) fn fit_task(
    directory: &RunDirectory,
    plan: &TrainingPlan,
    task: &mut dyn Task,
    [training, validation]: &[Vec<Example>; 2],
    run_hash: &str,
    engine: &mut Table,
    log: &mut Log,
) -> Result<Ended, TrainError> {
    let requests = Requests { stop: log.stop.clone(), checkpoint: log.checkpoint.clone() };
    let name = |record: u32| format!("data:{}", record + 1);
    let data = TrainingData { training, validation, name: &name };
    let trainer = Trainer { plan, data, directory, run_hash: run_hash.to_owned(), requests: &requests };
    trainer.fit(task, engine, log)
}

/// A run from start to end, by tokens.
pub(crate) fn trained(plan: &TrainingPlan) -> (Table, Log) {
    trained_by(Reduction::Tokens, plan)
}

pub(crate) fn trained_by(reduction: Reduction, plan: &TrainingPlan) -> (Table, Log) {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut log) = (Table::new(), Log { reduction, ..Log::default() });
    assert_eq!(fit(folder.path(), plan, &mut engine, &mut log).unwrap(), Ended::Finished);
    (engine, log)
}

pub(crate) fn state(engine: &Table) -> Vec<StateTensor> {
    let mut all = Vec::new();
    let visited = engine.visit_state(&mut |tensor| {
        all.push(tensor);
        Ok(())
    });
    visited.unwrap();
    all
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What must not depend on interruptions: final tensors, the last checkpoint, metrics without times.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    ended: Ended,
    state: Vec<StateTensor>,
    checkpoints: Vec<(String, Vec<u8>)>,
    pub(crate) metrics: Vec<Json>,
}

pub(crate) fn outcome(folder: &Path, ended: Ended, engine: &Table) -> Outcome {
    let checkpoints = folder.join("checkpoints");
    let files = |name: String| {
        let folder = checkpoints.join(&name);
        let read = |file: &String| (format!("{name}/{file}"), fs::read(folder.join(file)).unwrap());
        names(&folder).iter().map(read).collect::<Vec<_>>()
    };
    let measured = |line: &str| {
        let mut object: Json = serde_json::from_str(line).unwrap();
        for key in ["tokens_per_second", "step_seconds"] {
            object.as_object_mut().unwrap().remove(key);
        }
        object
    };
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap().lines().map(measured).collect();
    Outcome {
        ended,
        state: state(engine),
        checkpoints: names(&checkpoints).into_iter().flat_map(files).collect(),
        metrics,
    }
}
