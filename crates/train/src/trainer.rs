//! The loop that owns time: steps, evaluation, checkpoints, stopping, resuming.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use camelid_model::{Cotangents, Engine, Update, Want};
use camelid_objectives::{Outcome, Reduced, sft};
use camelid_text::{Encoded, Forest, pack};

use crate::TrainError;
use crate::checkpoint::{self, Progress};
use crate::observer::{EvaluationReport, Observer, StepReport};
use crate::order::Order;
use crate::plan::SftPlan;
use crate::run_directory::RunDirectory;
use crate::tensorboard::EventFile;

/// Asked of a run from outside, by a signal or a person.
#[derive(Debug, Default)]
pub struct Requests {
    /// Finish the step, write a checkpoint, return.
    pub stop: Arc<AtomicBool>,
    /// Write a checkpoint after this step and go on.
    pub checkpoint: Arc<AtomicBool>,
}

/// The records of a stage as tokens.
pub struct TrainingData<'a> {
    pub training: &'a [Encoded],
    pub validation: &'a [Encoded],
    /// How messages call a record, by its index.
    pub name: &'a dyn Fn(u32) -> String,
}

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Finished,
    /// Validation did not get better for as long as the plan allows.
    EarlyStop,
    /// Asked to; a checkpoint is written.
    Stopped,
}

/// One supervised stage.
pub struct Trainer<'a> {
    pub plan: &'a SftPlan,
    pub data: TrainingData<'a>,
    pub directory: &'a RunDirectory,
    /// Hash of everything the result depends on; a checkpoint with another is not continued.
    pub run_hash: String,
    pub requests: &'a Requests,
}

impl Trainer<'_> {
    /// Trains from the newest checkpoint, or from the start.
    pub fn fit(&self, engine: &mut dyn Engine, observer: &mut dyn Observer) -> Result<Ended, TrainError> {
        let (plan, training) = (self.plan, self.data.training);
        let total = plan.steps(training.len());
        if total == 0 {
            return Err(TrainError::Data {
                reason: format!("{} records over {} epochs make no step", training.len(), plan.epochs),
                fix: "add records, or raise epochs".into(),
            });
        }
        let checkpoints = self.directory.checkpoints();
        let restored = checkpoint::restore_newest(&checkpoints, engine, &self.run_hash, &mut |m| observer.warned(m))?;
        let resumed = restored.is_some();
        let mut progress = restored.unwrap_or(Progress {
            step: 0,
            num_tokens: 0,
            best_eval_loss: None,
            best_step: None,
            evaluations_without_improvement: 0,
        });
        let resumed = resumed.then_some(progress.step);
        self.directory.forget_after(resumed)?;
        let mut events = EventFile::create(&self.directory.path().join("tensorboard"), resumed, now())?;
        observer.started(progress.step, total);
        if resumed.is_none() {
            self.evaluate(engine, &mut progress, &mut events, observer)?;
            if self.is_best(&progress) {
                self.save(engine, &progress, observer)?;
            }
        }
        let mut order = Order::new(plan.seed, training.len());
        while progress.step < total && !self.has_stalled(&progress) {
            let report = self.step(engine, &mut order, &mut progress, total)?;
            self.directory.append("metrics.jsonl", &report)?;
            events.scalars(
                now(),
                report.step,
                &[
                    ("train/loss", report.loss),
                    ("train/grad_norm", report.grad_norm),
                    ("train/learning_rate", report.learning_rate),
                    ("train/mean_token_accuracy", report.mean_token_accuracy),
                    ("train/tokens_per_second", report.tokens_per_second),
                ],
            )?;
            observer.stepped(&report);
            let last = progress.step == total;
            if last || due(plan.eval_every, progress.step) {
                self.evaluate(engine, &mut progress, &mut events, observer)?;
            }
            let over = last || self.has_stalled(&progress);
            let stop = self.requests.stop.load(Ordering::Relaxed);
            let asked = self.requests.checkpoint.swap(false, Ordering::Relaxed);
            if over || stop || asked || self.is_best(&progress) || due(plan.checkpoint_every, progress.step) {
                self.save(engine, &progress, observer)?;
            }
            if stop && !over {
                return Ok(Ended::Stopped);
            }
        }
        if let Some(best) = progress.best_step.filter(|&best| plan.early_stop_patience > 0 && best != progress.step) {
            checkpoint::restore_step(&checkpoints, engine, best)?;
            observer.took_best(best);
        }
        Ok(if self.has_stalled(&progress) { Ended::EarlyStop } else { Ended::Finished })
    }

    /// Whether validation has not got better for as long as the plan allows.
    fn has_stalled(&self, progress: &Progress) -> bool {
        let patience = self.plan.early_stop_patience;
        patience > 0 && progress.evaluations_without_improvement >= patience
    }

    /// Whether early stopping may come back to this step.
    fn is_best(&self, progress: &Progress) -> bool {
        self.plan.early_stop_patience > 0 && progress.best_step == Some(progress.step)
    }

    fn save(&self, engine: &dyn Engine, progress: &Progress, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let spared = progress.best_step.filter(|_| self.plan.early_stop_patience > 0);
        let (folder, keep) = (self.directory.checkpoints(), self.plan.keep_checkpoints);
        let path = checkpoint::save(&folder, engine, progress, &self.run_hash, keep, spared)?;
        observer.saved_checkpoint(&path);
        Ok(())
    }

    /// One optimiser step; everything is divided by counts of the whole step.
    fn step(
        &self,
        engine: &mut dyn Engine,
        order: &mut Order,
        progress: &mut Progress,
        total: u64,
    ) -> Result<StepReport, TrainError> {
        let (plan, training) = (self.plan, self.data.training);
        let start = Instant::now();
        let first = progress.step * plan.batch_size as u64;
        let last = (first + plan.batch_size as u64).min(plan.records(training.len()));
        let records: Vec<&Encoded> = (first..last).map(|place| &training[order.record(place)]).collect();
        let (mut loss, mut accuracy, mut flops) = (Reduced::default(), Reduced::default(), 0.0);
        let learning_rate = plan.schedule.at(progress.step, total);
        let forests = micro_batches(&records, plan.tokens_per_micro_batch);
        let mut updated = None;
        for (index, forest) in forests.iter().enumerate() {
            let noise_seed = noise_seed(plan.seed, progress.step, index as u64);
            let want = Want { gradients: true, noise_seed: Some(noise_seed), ..Want::default() };
            let outcome = score(engine, forest, plan, want)?;
            flops += engine.flops(forest, true);
            loss += outcome.loss;
            accuracy += metric(&outcome, "mean_token_accuracy");
            if !loss.sum.is_finite() {
                return Err(self.diverged(progress, "loss", loss.sum, &records));
            }
            let cotangents = Cotangents { log_probs: outcome.d_log_probs, entropies: Vec::new() };
            if index + 1 < forests.len() {
                engine.backward(&cotangents)?;
                continue;
            }
            let update = Update {
                learning_rate: learning_rate as f32,
                denominator: loss.count,
                max_grad_norm: plan.max_grad_norm,
                beta1: plan.beta1,
                beta2: plan.beta2,
                epsilon: plan.epsilon,
                weight_decay: plan.weight_decay,
            };
            updated = Some(engine.backward_and_update(&cotangents, &update)?);
        }
        let grad_norm = updated.map_or(f64::NAN, |updated| updated.grad_norm);
        if !grad_norm.is_finite() {
            return Err(self.diverged(progress, "gradient's norm", grad_norm, &records));
        }
        let tokens: usize = records.iter().map(|record| record.tokens.len()).sum();
        progress.step += 1;
        progress.num_tokens += tokens as u64;
        let step_seconds = start.elapsed().as_secs_f64();
        Ok(StepReport {
            step: progress.step,
            epoch: last as f64 / training.len() as f64,
            loss: loss.mean().unwrap_or(f64::NAN),
            grad_norm,
            learning_rate,
            num_tokens: progress.num_tokens,
            mean_token_accuracy: accuracy.mean().unwrap_or(f64::NAN),
            tokens_per_second: tokens as f64 / step_seconds,
            step_seconds,
            flops,
            memory_bytes: engine.memory().in_use,
        })
    }

    /// The step after `progress` gave `value`, which is not finite.
    fn diverged(&self, progress: &Progress, quantity: &'static str, value: f64, records: &[&Encoded]) -> TrainError {
        let names: Vec<String> = records.iter().map(|record| (self.data.name)(record.record)).collect();
        TrainError::Diverged { step: progress.step + 1, quantity, value, records: names.join(", ") }
    }

    fn evaluate(
        &self,
        engine: &mut dyn Engine,
        progress: &mut Progress,
        events: &mut EventFile,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        if self.data.validation.is_empty() {
            return Ok(());
        }
        let report = evaluate(engine, self.plan, self.data.validation, progress.step)?;
        if !report.eval_loss.is_finite() {
            let records = "those held out for validation".to_owned();
            let (step, value) = (progress.step, report.eval_loss);
            return Err(TrainError::Diverged { step, quantity: "validation loss", value, records });
        }
        self.directory.append("metrics.jsonl", &report)?;
        let values = [("eval/loss", report.eval_loss), ("eval/mean_token_accuracy", report.eval_mean_token_accuracy)];
        events.scalars(now(), report.step, &values)?;
        observer.evaluated(&report);
        if progress.best_eval_loss.is_none_or(|best| report.eval_loss < best) {
            progress.best_eval_loss = Some(report.eval_loss);
            progress.best_step = Some(report.step);
            progress.evaluations_without_improvement = 0;
        } else {
            progress.evaluations_without_improvement += 1;
        }
        Ok(())
    }
}

/// Loss and accuracy over records, without gradients or noise.
pub fn evaluate(
    engine: &mut dyn Engine,
    plan: &SftPlan,
    records: &[Encoded],
    step: u64,
) -> Result<EvaluationReport, TrainError> {
    let (mut loss, mut accuracy) = (Reduced::default(), Reduced::default());
    for forest in micro_batches(&records.iter().collect::<Vec<_>>(), plan.tokens_per_micro_batch) {
        let outcome = score(engine, &forest, plan, Want::default())?;
        loss += outcome.loss;
        accuracy += metric(&outcome, "mean_token_accuracy");
    }
    Ok(EvaluationReport {
        step,
        eval_loss: loss.mean().unwrap_or(f64::NAN),
        eval_mean_token_accuracy: accuracy.mean().unwrap_or(f64::NAN),
    })
}

fn due(every: u64, step: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}

fn metric(outcome: &Outcome, name: &str) -> Reduced {
    outcome.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value).unwrap_or_default()
}

/// Records as forests under the token budget, prefixes shared within each.
pub(crate) fn micro_batches(records: &[&Encoded], token_budget: usize) -> Vec<Forest> {
    let lengths: Vec<usize> = records.iter().map(|record| record.tokens.len()).collect();
    let forest = |batch: Vec<usize>| {
        let sequences: Vec<&Encoded> = batch.into_iter().map(|index| records[index]).collect();
        Forest::from_sequences(&sequences)
    };
    pack(&lengths, token_budget).into_iter().map(forest).collect()
}

/// Scores a forest and applies the objective.
pub(crate) fn score(
    engine: &mut dyn Engine,
    forest: &Forest,
    plan: &SftPlan,
    want: Want,
) -> Result<Outcome, TrainError> {
    let scores = engine.forward(forest, want)?;
    let weights: Vec<f32> = forest.targets.iter().map(|target| target.weight).collect();
    let branches: Vec<u32> = forest.targets.iter().map(|target| target.branch).collect();
    let targets = sft::Targets {
        log_probs: &scores.log_probs,
        weights: &weights,
        branches: &branches,
        hits: &scores.hits,
        entropies: &scores.entropies,
        records: forest.branches as usize,
    };
    Ok(sft::loss(targets, plan.reduction))
}

/// Dropout and noise of one micro-batch: a resumed step draws the same.
fn noise_seed(seed: u64, step: u64, micro_batch: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in [seed, step, micro_batch] {
        hasher.update(&part.to_le_bytes());
    }
    hasher.update(b"noise");
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Seconds since 1970, for event files only: nothing that is trained depends on it.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
