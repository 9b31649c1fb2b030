//! `camelid bench recipe`: the first steps of a recipe on its own data.

use anyhow::Context;
use camelid_kernels::Backend;
use camelid_model::{Engine, Transformer};
use camelid_text::Text;
use camelid_train::{Observer, Requests, RunDirectory, StepReport, Trainer, TrainingData};
use serde_json::json;

use super::prepare::prepare;
use super::task::StageTask;
use crate::cli::RecipeArgs;
use crate::{machine, models, process_memory, recipe};

const WARM_UP: usize = 2;

#[derive(Default)]
struct Collect(Vec<StepReport>);

impl Observer for Collect {
    fn stepped(&mut self, report: &StepReport) {
        self.0.push(report.clone());
    }
}

pub(crate) fn run(args: &RecipeArgs, steps: usize, json_wanted: bool) -> anyhow::Result<()> {
    anyhow::ensure!(steps > 0, "--steps is 0\n  fix: measure at least one step");
    let mut plan = recipe::resolve(&args.recipe, &recipe::read(&args.recipe, &args.set)?)?;
    let scratch = tempfile::tempdir()?;
    plan.directory = scratch.path().join("run");
    let stage = plan.tuning().next();
    let stage =
        stage.context("no stage of this recipe trains anything\n  fix: name a recipe with a stage that tunes")?;
    let mut report = |line: &str| eprintln!("{line}");
    let loaded = models::open(&plan.model, &mut report)?;
    let prepared = prepare(&plan, stage, Some(Text::new(loaded.text.clone())?), &mut report)?;
    let mut training = stage.training.clone();
    training.max_steps = (WARM_UP + steps) as u64;
    (training.eval_every, training.checkpoint_every) = (0, 0);
    let backend = machine::open_precision(plan.compute, plan.threads);
    let name = backend.name();
    let options = stage.transformer_options();
    let mut engine = Transformer::new(backend, loaded, stage.tuning.clone(), plan.seed, options)?;
    let directory = RunDirectory::open(&plan.directory)?;
    let trainer = Trainer {
        plan: &training,
        data: TrainingData { training: &prepared.training, validation: &[], name: &|record| record.to_string() },
        directory: &directory,
        run_hash: String::new(),
        requests: &Requests::default(),
    };
    let mut collected = Collect::default();
    let mut task = StageTask::new(&plan, stage, &plan.directory, &plan.model, "", &prepared)?;
    task.record_reference(&mut engine, &prepared, training.tokens_per_micro_batch)?;
    trainer.fit(task.as_task(), &mut engine, &mut collected)?;
    let measured = collected.0.get(WARM_UP..).unwrap_or_default();
    anyhow::ensure!(!measured.is_empty(), "the recipe has too few steps to measure\n  fix: use more records or epochs");
    let seconds: f64 = measured.iter().map(|step| step.step_seconds).sum();
    let tokens: f64 = measured.iter().map(|step| step.tokens_per_second * step.step_seconds).sum();
    let examples = (measured.len() * training.batch_size) as f64;
    let flops: f64 = measured.iter().map(|step| step.flops).sum();
    let memory = process_memory::peak_megabytes();
    if json_wanted {
        println!(
            "{}",
            json!({
                "backend": name, "tokens_per_second": tokens / seconds,
                "examples_per_second": examples / seconds, "gigaflops": flops / seconds / 1e9,
                "peak_memory_mb": memory, "steps": measured.len(), "device_memory_peak_mb": engine.memory().peak >> 20,
            })
        );
    } else {
        println!("{name}\n{:>10.0} tokens/s over {} steps", tokens / seconds, measured.len());
        println!("{:>10.2} examples/s (records, or prompts with their responses)", examples / seconds);
        println!("{:>10.0} GFLOP/s\n{memory:>10.0} MB peak memory of the process", flops / seconds / 1e9);
    }
    Ok(())
}
