//! The loop that owns time: steps, evaluation, checkpoints, stopping, resuming.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use camelid_model::{Cotangents, Engine, Update, Updated, Want};
use camelid_objectives::{Metric, Reduced};

use crate::TrainError;
use crate::checkpoint::{self, Progress};
use crate::monitor::Monitor;
use crate::observer::{EvaluationReport, Metrics, Observer, StepReport};
use crate::order::{Order, permutation, stream};
use crate::plan::TrainingPlan;
use crate::run_directory::{DISTANCES, METRICS, RunDirectory};
use crate::task::{Example, Purpose, Round, Task, forest, micro_batches};
use crate::tensorboard::EventFile;

/// Asked of a run from outside, by a signal or a person.
#[derive(Debug, Default)]
pub struct Requests {
    /// Finish the step, write a checkpoint, return.
    pub stop: Arc<AtomicBool>,
    /// Write a checkpoint after this step and go on.
    pub checkpoint: Arc<AtomicBool>,
}

/// The examples of a stage as tokens.
pub struct TrainingData<'a> {
    pub training: &'a [Example],
    pub validation: &'a [Example],
    /// How messages call a record, by its index.
    pub name: &'a dyn Fn(u32) -> String,
}

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Finished,
    /// Validation did not get better for as long as the plan allows.
    EarlyStop,
    /// The monitor's reward fell for as long as it allows.
    OverOptimised,
    /// Asked to; a checkpoint is written.
    Stopped,
}

/// One stage.
pub struct Trainer<'a> {
    pub plan: &'a TrainingPlan,
    pub data: TrainingData<'a>,
    pub directory: &'a RunDirectory,
    /// Hash of everything the result depends on; a checkpoint with another is not continued.
    pub run_hash: String,
    pub requests: &'a Requests,
}

impl Trainer<'_> {
    /// Trains from the newest checkpoint, or from the start.
    pub fn fit(
        &self,
        task: &mut dyn Task,
        engine: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Result<Ended, TrainError> {
        self.fit_monitored(task, engine, None, observer)
    }

    /// The same, watched by `monitor`, which changes no bit of what is trained unless it ends the stage.
    pub fn fit_monitored(
        &self,
        task: &mut dyn Task,
        engine: &mut dyn Engine,
        monitor: Option<&mut Monitor>,
        observer: &mut dyn Observer,
    ) -> Result<Ended, TrainError> {
        let (plan, training) = (self.plan, self.data.training);
        let total = plan.steps(training.len());
        if total == 0 {
            return Err(TrainError::Data {
                reason: format!("{} records over {} epochs make no step", training.len(), plan.epochs),
                fix: "add records, or raise epochs".into(),
            });
        }
        let checkpoints = self.directory.checkpoints();
        let companions = &mut task.companions();
        let warn = &mut |message: &str| observer.warned(message);
        let restored = checkpoint::restore_newest(&checkpoints, engine, companions, &self.run_hash, warn)?;
        let resumed = restored.is_some();
        let mut progress = restored.unwrap_or_default();
        task.restore(&progress.task);
        let mut monitor = monitor;
        if let Some(monitor) = &mut monitor {
            monitor.restore(&progress.monitor);
        }
        let resumed = resumed.then_some(progress.step);
        self.directory.forget_after(resumed)?;
        let mut events = EventFile::create(&self.directory.path().join("tensorboard"), resumed, now())?;
        observer.started(progress.step, total);
        if resumed.is_none() {
            self.evaluate(task, engine, &mut progress, &mut events, observer)?;
            self.measure(monitor.as_deref_mut(), task, engine, &mut progress, &mut events, observer)?;
            if self.best_step(&progress, monitor.as_deref()) == Some(0) {
                self.save(task, engine, &progress, monitor.as_deref(), observer)?;
            }
        }
        let mut order = Order::new(plan.seed, training.len());
        while progress.step < total && self.ended_early(&progress, monitor.as_deref()).is_none() {
            let report = self.step(task, engine, &mut order, &mut progress, total)?;
            self.directory.append(METRICS, &report)?;
            let own = [
                ("loss", report.loss),
                ("grad_norm", report.grad_norm),
                ("learning_rate", report.learning_rate),
                ("tokens_per_second", report.tokens_per_second),
            ];
            scalars(&mut events, report.step, "train", &own, &report.metrics)?;
            observer.stepped(&report);
            let last = progress.step == total;
            if last || due(plan.eval_every, progress.step) {
                self.evaluate(task, engine, &mut progress, &mut events, observer)?;
            }
            let last = last || self.has_stalled(&progress);
            if last || monitor.as_ref().is_some_and(|monitor| due(monitor.every, progress.step)) {
                self.measure(monitor.as_deref_mut(), task, engine, &mut progress, &mut events, observer)?;
            }
            let over = last || self.ended_early(&progress, monitor.as_deref()).is_some();
            let stop = self.requests.stop.load(Ordering::Relaxed);
            let asked = self.requests.checkpoint.swap(false, Ordering::Relaxed);
            let is_best = self.best_step(&progress, monitor.as_deref()) == Some(progress.step);
            if over || stop || asked || is_best || due(plan.checkpoint_every, progress.step) {
                self.save(task, engine, &progress, monitor.as_deref(), observer)?;
            }
            if stop && !over {
                return Ok(Ended::Stopped);
            }
        }
        if let Some(best) = self.best_step(&progress, monitor.as_deref()).filter(|&best| best != progress.step) {
            checkpoint::restore_step(&checkpoints, engine, &mut task.companions(), best)?;
            observer.took_best(best);
        }
        if plan.ema.is_some() {
            engine.take_reference()?;
        }
        Ok(self.ended_early(&progress, monitor.as_deref()).unwrap_or(Ended::Finished))
    }

    /// Whether validation has not got better for as long as the plan allows.
    fn has_stalled(&self, progress: &Progress) -> bool {
        let patience = self.plan.early_stop_patience;
        patience > 0 && progress.evaluations_without_improvement >= patience
    }

    /// Why the steps that are left would do harm, if they would.
    fn ended_early(&self, progress: &Progress, monitor: Option<&Monitor>) -> Option<Ended> {
        if self.has_stalled(progress) {
            return Some(Ended::EarlyStop);
        }
        monitor.is_some_and(Monitor::has_fallen).then_some(Ended::OverOptimised)
    }

    /// The step so far whose state stopping would come back to; nothing where the last is taken whatever it is worth.
    fn best_step(&self, progress: &Progress, monitor: Option<&Monitor>) -> Option<u64> {
        let validated = progress.best_step.filter(|_| self.plan.early_stop_patience > 0);
        validated.or_else(|| monitor.and_then(Monitor::best_step))
    }

    fn save(
        &self,
        task: &mut dyn Task,
        engine: &dyn Engine,
        progress: &Progress,
        monitor: Option<&Monitor>,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let spared = self.best_step(progress, monitor);
        let (folder, keep) = (self.directory.checkpoints(), self.plan.keep_checkpoints);
        let path = checkpoint::save(&folder, engine, &task.companions(), progress, &self.run_hash, keep, spared)?;
        observer.saved_checkpoint(&path);
        Ok(())
    }

    /// Asks the monitor, if there is one.
    fn measure(
        &self,
        monitor: Option<&mut Monitor>,
        task: &mut dyn Task,
        engine: &mut dyn Engine,
        progress: &mut Progress,
        events: &mut EventFile,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let Some(monitor) = monitor else { return Ok(()) };
        let (distances, report) = monitor.measure(task, engine, progress.step)?;
        progress.monitor = monitor.state();
        self.directory.append(DISTANCES, &distances)?;
        self.directory.append(METRICS, &report)?;
        let values: Vec<(&str, f64)> = report.metrics.iter().map(|(name, &value)| (name.as_str(), value)).collect();
        events.scalars(now(), report.step, &values)?;
        observer.monitored(&report);
        Ok(())
    }

    /// One step: what its prompts become, and every optimiser update on that.
    fn step(
        &self,
        task: &mut dyn Task,
        engine: &mut dyn Engine,
        order: &mut Order,
        progress: &mut Progress,
        total: u64,
    ) -> Result<StepReport, TrainError> {
        let (plan, training) = (self.plan, self.data.training);
        let start = Instant::now();
        let first = progress.step * plan.batch_size as u64;
        let last = (first + plan.batch_size as u64).min(plan.records(training.len()));
        let prompts: Vec<&Example> = (first..last).map(|place| &training[order.record(place)]).collect();
        let learning_rate = plan.schedule.at(progress.step, total);
        let rolled = task.roll_out(engine, &round(plan, &prompts, progress.step, Purpose::Training))?;
        let mut figures = Figures::default();
        if let Some(rolled) = &rolled {
            add(&mut figures.sums, &rolled.metrics);
        }
        let examples = rolled.as_ref().map_or(prompts, |rolled| rolled.examples.iter().collect());
        for part in parts(plan, progress.step, examples.len()) {
            let part: Vec<&Example> = part.into_iter().map(|index| examples[index]).collect();
            self.update(task, engine, &part, progress, learning_rate, &mut figures)?;
            if task.step_is_over() {
                break;
            }
        }
        let tokens: usize = examples.iter().map(|example| example.tokens()).sum();
        progress.step += 1;
        task.stepped(engine, progress.step)?;
        if let Some(decay) = plan.ema {
            engine.update_reference(1.0 - decay)?;
        }
        progress.task = task.state();
        progress.num_tokens += tokens as u64;
        let step_seconds = start.elapsed().as_secs_f64();
        Ok(StepReport {
            step: progress.step,
            epoch: last as f64 / training.len() as f64,
            loss: figures.loss.mean().unwrap_or(f64::NAN),
            grad_norm: figures.grad_norm.mean().unwrap_or(f64::NAN),
            learning_rate,
            num_tokens: progress.num_tokens,
            metrics: means(&figures.sums, ""),
            tokens_per_second: tokens as f64 / step_seconds,
            step_seconds,
            flops: figures.flops,
            memory_bytes: engine.memory().in_use,
        })
    }

    /// One optimiser update; everything is divided by counts of all its examples.
    fn update(
        &self,
        task: &mut dyn Task,
        engine: &mut dyn Engine,
        examples: &[&Example],
        progress: &mut Progress,
        learning_rate: f64,
        figures: &mut Figures,
    ) -> Result<(), TrainError> {
        let plan = self.plan;
        task.begin(engine, examples, plan.tokens_per_micro_batch, Purpose::Training)?;
        let batches = micro_batches(examples, plan.tokens_per_micro_batch);
        let mut loss = Reduced::default();
        for (index, batch) in batches.iter().enumerate() {
            let noise_seed = noise_seed(plan.seed, progress.step, figures.micro_batches);
            figures.micro_batches += 1;
            let want = Want { gradients: true, noise_seed: Some(noise_seed), ..Want::default() };
            let batch: Vec<&Example> = batch.iter().map(|&index| examples[index]).collect();
            let forest = forest(&batch);
            let outcome = task.score(engine, &batch, &forest, want)?;
            figures.flops += engine.flops(&forest, true);
            loss += outcome.loss;
            add(&mut figures.sums, &outcome.metrics);
            if !loss.sum.is_finite() {
                return Err(self.diverged(progress, "loss", loss.sum, examples));
            }
            let cotangents =
                Cotangents { log_probs: outcome.d_log_probs, entropies: outcome.d_entropies, values: outcome.d_values };
            if index + 1 < batches.len() {
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
            let Updated { grad_norm, step } = engine.backward_and_update(&cotangents, &update)?;
            if !grad_norm.is_finite() {
                return Err(self.diverged(progress, "gradient's norm", grad_norm, examples));
            }
            task.update(&update)?;
            progress.updates = step;
            figures.grad_norm += Reduced::new(grad_norm, 1.0);
        }
        figures.loss += loss;
        Ok(())
    }

    /// The step after `progress` gave `value`, which is not finite.
    fn diverged(&self, progress: &Progress, quantity: &'static str, value: f64, examples: &[&Example]) -> TrainError {
        let names: Vec<String> = examples.iter().map(|example| (self.data.name)(example.record())).collect();
        TrainError::Diverged { step: progress.step + 1, quantity, value, records: names.join(", ") }
    }

    fn evaluate(
        &self,
        task: &mut dyn Task,
        engine: &mut dyn Engine,
        progress: &mut Progress,
        events: &mut EventFile,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        if self.data.validation.is_empty() {
            return Ok(());
        }
        let report = evaluate(task, engine, self.plan, self.data.validation, progress.step)?;
        if !report.eval_loss.is_finite() {
            let records = "those held out for validation".to_owned();
            let (step, value) = (progress.step, report.eval_loss);
            return Err(TrainError::Diverged { step, quantity: "validation loss", value, records });
        }
        self.directory.append(METRICS, &report)?;
        scalars(events, report.step, "eval", &[("loss", report.eval_loss)], &report.metrics)?;
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

/// Loss and metrics over examples, without gradients or noise.
pub fn evaluate(
    task: &mut dyn Task,
    engine: &mut dyn Engine,
    plan: &TrainingPlan,
    examples: &[Example],
    step: u64,
) -> Result<EvaluationReport, TrainError> {
    let (mut loss, mut sums) = (Reduced::default(), Sums::new());
    let examples: Vec<&Example> = examples.iter().collect();
    let rolled = task.roll_out(engine, &round(plan, &examples, step, Purpose::Evaluation))?;
    if let Some(rolled) = &rolled {
        add(&mut sums, &rolled.metrics);
    }
    let examples = rolled.as_ref().map_or(examples, |rolled| rolled.examples.iter().collect());
    task.begin(engine, &examples, plan.tokens_per_micro_batch, Purpose::Evaluation)?;
    for batch in micro_batches(&examples, plan.tokens_per_micro_batch) {
        let batch: Vec<&Example> = batch.into_iter().map(|index| examples[index]).collect();
        let outcome = task.score(engine, &batch, &forest(&batch), Want::default())?;
        loss += outcome.loss;
        add(&mut sums, &outcome.metrics);
    }
    Ok(EvaluationReport { step, eval_loss: loss.mean().unwrap_or(f64::NAN), metrics: means(&sums, "eval_") })
}

fn round<'a>(plan: &TrainingPlan, examples: &'a [&'a Example], step: u64, purpose: Purpose) -> Round<'a> {
    Round { examples, step, purpose, token_budget: plan.tokens_per_micro_batch }
}

/// The examples of each update of a step: every pass has each example once, in another order.
fn parts(plan: &TrainingPlan, step: u64, count: usize) -> Vec<Vec<usize>> {
    if plan.inner_epochs == 1 && plan.mini_batches == 1 {
        return if count == 0 { Vec::new() } else { vec![(0..count).collect()] };
    }
    let size = count.div_ceil(plan.mini_batches).max(1);
    let passes = (0..plan.inner_epochs).flat_map(|pass| {
        let order = permutation(count, stream(plan.seed, &format!("pass {pass} of step {step}")));
        order.chunks(size).map(<[usize]>::to_vec).collect::<Vec<_>>()
    });
    passes.collect()
}

/// What the updates of a step add up to.
#[derive(Default)]
struct Figures {
    loss: Reduced,
    grad_norm: Reduced,
    sums: Sums,
    flops: f64,
    micro_batches: u64,
}

/// Metrics by name, not yet divided.
type Sums = BTreeMap<Cow<'static, str>, Reduced>;

fn add(sums: &mut Sums, metrics: &[Metric]) {
    for metric in metrics {
        *sums.entry(metric.name.clone()).or_default() += metric.value;
    }
}

/// What was counted at all, divided.
fn means(sums: &Sums, prefix: &str) -> Metrics {
    sums.iter().filter_map(|(name, value)| Some((format!("{prefix}{name}"), value.mean()?))).collect()
}

/// Writes figures as event-file scalars `group/name`; metrics of an evaluation lose their `eval_`.
fn scalars(
    events: &mut EventFile,
    step: u64,
    group: &str,
    own: &[(&str, f64)],
    metrics: &Metrics,
) -> Result<(), TrainError> {
    let metrics = metrics.iter().map(|(name, &value)| (name.strip_prefix("eval_").unwrap_or(name), value));
    let values: Vec<(String, f64)> =
        own.iter().copied().chain(metrics).map(|(name, value)| (format!("{group}/{name}"), value)).collect();
    let values: Vec<(&str, f64)> = values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    events.scalars(now(), step, &values)
}

fn due(every: u64, step: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
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
