//! `camelid run`: every stage of a recipe, from data to a model that loads elsewhere.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use camelid_generate::{Sampler, Sampling, answer};
use camelid_kernels::{Backend, Compute, Cpu};
use camelid_model::io::{ElementType, write_hf_model, write_hf_reward_model, write_text};
use camelid_model::{Engine, LoadedModel, ModelError, Transformer, Tuning};
use camelid_records::{Message, Role};
use camelid_text::{Encoded, Text};
use camelid_train::checks::{
    CheckReport, Normalised, Tolerance, first_round, first_step, generator_is_trainer, policy_is_reference,
};
use camelid_train::{
    DISTANCES, Ended, Example, Label, Purpose, Requests, Round, RunDirectory, Task, Trainer, TrainingData,
};
use serde::Serialize;
use serde_json::json;

use super::company::JUDGE;
use super::ensemble::{join, member_name, member_stage};
use super::monitor;
use super::prepare::{Prepared, first_examples, prepare, write_rejects};
use super::reward_report::reward_report;
use super::task::StageTask;
use super::watch::Watch;
use crate::actions::{self, Finish, Setting};
use crate::cli::RunArgs;
use crate::evaluations::NOT_PASSED;
use crate::recipe::{self, Objective, Plan, Stage, StagePlan};
use crate::report::over_optimisation::{self, LAWS};
use crate::report::write_report;
use crate::reward_models::{ENSEMBLE, REPORT};
use crate::{machine, measure, models, process_memory};

/// Files and folders that a stage writes and `--restart` removes.
const OUTPUTS: [&str; 17] = [
    "report.html",
    REPORT,
    ENSEMBLE,
    "rollout-weights",
    JUDGE,
    "checkpoints",
    "reference.jsonl",
    "metrics.jsonl",
    DISTANCES,
    LAWS,
    "samples.jsonl",
    "rejects.jsonl",
    "tensorboard",
    "adapter",
    "model",
    "value",
    "finished.json",
];

/// Exit code of a run that was asked to stop, as shells give it for Ctrl-C.
pub(crate) const STOPPED: u8 = 130;

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let spec = recipe::read(&args.recipe.recipe, &args.recipe.set)?;
    let plan = recipe::resolve(&args.recipe.recipe, &spec)?;
    let requests = listen()?;
    let mut model = plan.model.clone();
    for (index, stage) in plan.stages.iter().enumerate() {
        let directory = plan.stage_directory(index);
        if plan.stages.len() > 1 {
            eprintln!("stage {} of {}: {}", index + 1, plan.stages.len(), directory.display());
        }
        let stage = match stage {
            Stage::Tuning(stage) => stage.as_ref(),
            Stage::Action(action) => {
                let opened = RunDirectory::open(&directory)?;
                let setting = Setting { plan: &plan, index, model: &model, directory: &opened, requests: &requests };
                let finish = actions::run(action.as_ref(), &setting, args.restart)?;
                report(&directory);
                match finish {
                    Finish::Done => continue,
                    Finish::Stopped => return Ok(ExitCode::from(STOPPED)),
                    Finish::NotPassed(why) => {
                        if plan.stages.len() > 1 {
                            report(&plan.directory);
                        }
                        eprintln!("error: {why}");
                        return Ok(ExitCode::from(NOT_PASSED));
                    }
                }
            }
        };
        let seed = plan.seed;
        let run = StageRun { plan: &plan, stage, directory: &directory, model: &model, seed, requests: &requests };
        let result = run.run(args)?;
        if result.is_some() {
            report(&directory);
        }
        match result {
            // A reward model judges; the next stage goes on with what there was before.
            Some(_) if stage.objective.is_reward() => {}
            Some(result) => model = result.display().to_string(),
            // What follows in a script must not take this for a finished run.
            None => return Ok(ExitCode::from(STOPPED)),
        }
    }
    if plan.stages.len() > 1 {
        report(&plan.directory);
    }
    if plan.stages.last().and_then(Stage::tuning).is_some_and(|stage| stage.objective.is_reward()) {
        eprintln!("\nTry it:  camelid score {} FILE", plan.directory.display());
    } else {
        eprintln!("\nTry it:  camelid chat {}", plan.directory.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of what happened. A run is not worth less for want of it.
fn report(directory: &Path) {
    match write_report(directory) {
        Ok(path) => eprintln!("the report is {}", path.display()),
        Err(error) => eprintln!("warning: no report: {error:#}"),
    }
}

/// Ctrl-C and SIGTERM end the run after the step, with a checkpoint; a second one ends it at once. SIGUSR1 asks for a
/// checkpoint.
fn listen() -> anyhow::Result<Requests> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let requests = Requests::default();
    for signal in [SIGINT, SIGTERM] {
        // The order matters: this one acts only if the flag was already set.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(STOPPED), Arc::clone(&requests.stop))?;
        signal_hook::flag::register(signal, Arc::clone(&requests.stop))?;
    }
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&requests.checkpoint))?;
    Ok(requests)
}

struct StageRun<'a> {
    plan: &'a Plan,
    stage: &'a StagePlan,
    directory: &'a Path,
    /// What the stage starts from.
    model: &'a str,
    /// Of what is drawn when the model is made: its adapter.
    seed: u64,
    requests: &'a Requests,
}

/// What the last line of a stage says.
#[derive(Serialize)]
struct Finished {
    run_hash: String,
    steps: u64,
}

impl StageRun<'_> {
    /// Runs the stage and returns the model it wrote; `None` when it was asked to stop before the end.
    fn run(&self, args: &RunArgs) -> anyhow::Result<Option<PathBuf>> {
        let directory = RunDirectory::open(self.directory)?;
        if args.restart {
            self.clear()?;
        }
        self.check_layout()?;
        let mut report = |line: &str| eprintln!("{line}");
        let loaded = models::open(self.model, &mut report)?;
        let text = Text::new(loaded.text.clone())?;
        let prepared = prepare(self.plan, self.stage, Some(text), &mut report)?;
        write_rejects(self.directory, &prepared.rejects)?;
        if self.stage.members > 1 {
            return self.train_members(&directory, loaded, &prepared, args);
        }
        self.train(&directory, loaded, &prepared, args)
    }

    /// Trains each member, one after another, and puts them on one scale.
    fn train_members(
        &self,
        directory: &RunDirectory,
        loaded: LoadedModel,
        prepared: &Prepared,
        args: &RunArgs,
    ) -> anyhow::Result<Option<PathBuf>> {
        if prepared.validation.is_empty() {
            bail!("no record is held out to bring the members to one scale\n  fix: raise validation_share");
        }
        directory.write("plan.toml", &recipe::plan_text(self.plan)?)?;
        let (mut loaded, mut models) = (Some(loaded), Vec::new());
        for number in 1..=self.stage.members {
            let folder = self.directory.join(member_name(number));
            eprintln!("member {number} of {}: {}", self.stage.members, folder.display());
            let loaded = match loaded.take() {
                Some(loaded) => loaded,
                None => models::open(self.model, &mut |line| eprintln!("{line}"))?,
            };
            let stage = member_stage(self.stage, number);
            let seed = self.seed.wrapping_add(number as u64 - 1);
            let member = StageRun { stage: &stage, directory: &folder, seed, ..*self };
            let Some(model) = member.train(&RunDirectory::open(&folder)?, loaded, prepared, args)? else {
                return Ok(None);
            };
            models.push(model.strip_prefix(self.directory).map(Path::to_path_buf).unwrap_or(model));
        }
        let backend = || machine::open_precision(self.plan.compute, self.plan.threads);
        let report = join(directory, &models, self.stage, prepared, &backend)?;
        if let Some(report) = report {
            eprintln!("{}", report.to_text());
        }
        eprintln!("{} members on one scale are in {}", models.len(), self.directory.display());
        Ok(Some(self.directory.to_owned()))
    }

    /// A stage of one model and one of several keep their files in different places.
    fn check_layout(&self) -> anyhow::Result<()> {
        let (mine, other) =
            if self.stage.members > 1 { ("several models", "checkpoints") } else { ("one model", "member-1") };
        if self.directory.join(other).is_dir() {
            bail!(
                "{}: an earlier run here had another number of `members` than this one of {mine}\n  fix: restore the recipe, set \
                 another name, or start anew with --restart",
                self.directory.display()
            );
        }
        Ok(())
    }

    /// Trains one model and writes it.
    fn train(
        &self,
        directory: &RunDirectory,
        loaded: LoadedModel,
        prepared: &Prepared,
        args: &RunArgs,
    ) -> anyhow::Result<Option<PathBuf>> {
        let run_hash = self.hash(prepared);
        let finished = self.directory.join("finished.json");
        if self.is_finished(&finished, &run_hash) {
            eprintln!("{} is finished; --restart runs it again", self.directory.display());
            return Ok(Some(self.result()));
        }
        directory.write("plan.toml", &recipe::plan_text(self.plan)?)?;

        let backend = machine::open_precision(self.plan.compute, self.plan.threads);
        if self.plan.compute == Compute::Bf16 && backend.compute() != Compute::Bf16 {
            eprintln!("this processor has no bf16 products; computing in f32");
        }
        let peak = measure::product_rate(&backend);
        let options = self.stage.transformer_options();
        let mut engine = Transformer::new(backend, loaded, self.stage.tuning.clone(), self.seed, options)?;
        let (all, trained) = engine.parameters();
        eprintln!("{}", engine.describe());
        eprintln!(
            "{trained} of {all} parameters are trained; {} records, {} held out, {} of {} rows refused",
            prepared.training.len(),
            prepared.validation.len(),
            prepared.rejects.len(),
            prepared.rows
        );

        let resuming = self.directory.join("checkpoints").is_dir();
        let mut task = StageTask::new(self.plan, self.stage, self.directory, self.model, &run_hash, prepared)?;
        task.record_reference(&mut engine, prepared, self.stage.training.tokens_per_micro_batch)?;
        if !resuming {
            if !args.no_checks {
                self.check(&mut engine, task.as_task(), prepared)?;
            }
            // An earlier attempt may have come as far as its samples.
            directory.write("samples.jsonl", "")?;
            self.sample(&mut engine, &prepared.text, directory, "before", 0)?;
        }
        let trainer = Trainer {
            plan: &self.stage.training,
            data: TrainingData {
                training: &prepared.training,
                validation: &prepared.validation,
                name: &|record| prepared.names.get(record as usize).cloned().unwrap_or_default(),
            },
            directory,
            run_hash: run_hash.clone(),
            requests: self.requests,
        };
        let mut watch = Watch::new(self.stage.kind.name(), peak);
        let mut monitor = monitor::open(self.plan, self.stage, self.model, prepared, directory.path())?;
        let ended = trainer.fit_monitored(task.as_task(), &mut engine, monitor.as_mut(), &mut watch)?;
        // The starting model may be a copy of its own.
        drop(monitor);
        watch.finish();
        let steps = watch.steps();
        match ended {
            Ended::Stopped => {
                eprintln!("stopped after step {steps}; the same command goes on from there");
                return Ok(None);
            }
            Ended::EarlyStop => eprintln!("stopped early: validation has not got better"),
            Ended::OverOptimised => eprintln!("stopped early: the monitor's reward falls"),
            Ended::Finished => {}
        }
        self.sample(&mut engine, &prepared.text, directory, "after", steps)?;
        let report = if self.stage.objective.is_reward() {
            reward_report(&mut engine, prepared, self.stage.training.tokens_per_micro_batch)?
        } else {
            None
        };
        if let Some(report) = &report {
            directory.write(REPORT, &format!("{:#}\n", report.to_json()))?;
        }
        let laws = over_optimisation::conclude(directory)?;
        self.save_companions(task.as_task())?;
        drop(task);
        let result = self.save(engine)?;
        directory.write("finished.json", &serde_json::to_string(&Finished { run_hash, steps })?)?;
        eprintln!("{}", watch.summary());
        if let Some(words) = laws {
            eprintln!("{words}");
        }
        if let Some(report) = &report {
            eprintln!("{}", report.to_text());
        }
        eprintln!("peak memory {:.0} MB; the model is in {}", process_memory::peak_megabytes(), result.display());
        Ok(Some(result))
    }

    /// Everything the result depends on: plan, starting model, tokens.
    fn hash(&self, prepared: &Prepared) -> String {
        let mut hasher = blake3::Hasher::new();
        let stage = recipe::stage_view(self.stage);
        // What is only looked at does not change what is trained.
        let mut decisive = stage.clone();
        for key in ["sample_prompts", "sample_tokens", "save_merged", "max_reject_share"] {
            if let Some(fields) = decisive.as_object_mut() {
                fields.remove(key);
            }
        }
        let mut head = recipe::plan_view(self.plan);
        for key in ["name", "run_directory", "threads"] {
            if let Some(fields) = head.as_object_mut() {
                fields.remove(key);
            }
        }
        hasher.update(decisive.to_string().as_bytes()).update(head.to_string().as_bytes());
        hasher.update(self.model.as_bytes());
        let examples =
            prepared.training.iter().chain(&prepared.validation).chain(&prepared.pretraining).chain(&prepared.monitor);
        for record in examples.clone().flat_map(|example| &example.sequences) {
            hasher.update(&(record.tokens.len() as u64).to_le_bytes());
            for token in &record.tokens {
                hasher.update(&token.to_le_bytes());
            }
            for weight in &record.weights {
                hasher.update(&weight.to_le_bytes());
            }
        }
        for example in examples.filter(|example| example.label != Label::None) {
            hasher.update(format!("{:?}", example.label).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    fn is_finished(&self, path: &Path, run_hash: &str) -> bool {
        let finished = std::fs::read_to_string(path).ok();
        let json: Option<serde_json::Value> = finished.and_then(|text| serde_json::from_str(&text).ok());
        json.is_some_and(|json| json["run_hash"] == run_hash) && self.result().is_dir()
    }

    fn clear(&self) -> anyhow::Result<()> {
        let members = std::fs::read_dir(self.directory).into_iter().flatten().filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix("member-").is_some_and(|rest| rest.parse::<usize>().is_ok()).then_some(name)
        });
        for name in OUTPUTS.into_iter().map(str::to_owned).chain(members) {
            let path = self.directory.join(name);
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("{} cannot be removed", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&self, engine: &mut Transformer<Cpu>, task: &mut dyn Task, prepared: &Prepared) -> anyhow::Result<()> {
        let tolerance = match engine.backend().compute() {
            Compute::F32 => Tolerance::F32,
            Compute::Bf16 => Tolerance::BF16,
        };
        let say = |report: &CheckReport| {
            eprintln!("check: {}: {} ({:.1} s)", report.name, report.detail, report.seconds);
        };
        let examples: Vec<&Example> = first_examples(self.stage, prepared);
        if self.stage.kind.samples() {
            say(&generator_is_trainer(engine, task, &examples)?);
            let normalised = match &self.stage.objective {
                Objective::Group(group) => Some(group.normalises()),
                Objective::Ppo(ppo) => Some(ppo.whitens_advantages()),
                _ => None,
            };
            if let Some(normalised) = normalised {
                let normalised = if normalised { Normalised::Yes } else { Normalised::No };
                first_round(engine, task, &prepared.text, &examples, normalised)?.iter().for_each(say);
            }
            if let Some(report) = self.check_online_reference(engine, task, &examples)? {
                say(&report);
            }
            return Ok(());
        }
        let records: Vec<&Encoded> = examples.iter().flat_map(|example| &example.sequences).collect();
        first_step(engine, &prepared.text, &records, tolerance)?.iter().for_each(say);
        if let Objective::Preference(loss) = &self.stage.objective
            && loss.uses_reference()
        {
            let reference = self.stage.reference(self.directory).want();
            say(&policy_is_reference(engine, task, &examples, reference, loss.at_start())?);
        }
        Ok(())
    }

    /// Policy and reference on the first pairs that an online-preference stage would learn; `None` if there are none.
    fn check_online_reference(
        &self,
        engine: &mut Transformer<Cpu>,
        task: &mut dyn Task,
        examples: &[&Example],
    ) -> anyhow::Result<Option<CheckReport>> {
        let Objective::OnlinePreference(online) = &self.stage.objective else { return Ok(None) };
        if !online.loss.uses_reference() {
            return Ok(None);
        }
        let examples = &examples[..examples.len().min(2)];
        let token_budget = self.stage.training.tokens_per_micro_batch;
        let round = Round { examples, step: 0, purpose: Purpose::Training, token_budget };
        let ranked = task.roll_out(engine, &round)?.unwrap_or_default().examples;
        if ranked.is_empty() {
            return Ok(None);
        }
        let ranked: Vec<&Example> = ranked.iter().collect();
        let reference = self.stage.reference(self.directory).want();
        Ok(Some(policy_is_reference(engine, task, &ranked, reference, online.loss.at_start())?))
    }

    /// Answers the sample prompts, most likely token each time, onto the screen and into `samples.jsonl`.
    fn sample(
        &self,
        engine: &mut Transformer<Cpu>,
        text: &Text,
        directory: &RunDirectory,
        when: &str,
        step: u64,
    ) -> anyhow::Result<()> {
        for prompt in &self.stage.sample_prompts {
            let messages = [Message::new(Role::User, prompt)];
            let tokens = text.encode_chat(&messages, None, &serde_json::Map::new())?;
            let mut decoder = engine.decoder(tokens.len() + self.stage.sample_tokens);
            let mut sampler = Sampler::new(Sampling::greedy())?;
            let mut append = |tokens: &[u32]| decoder.append(tokens);
            let limit = self.stage.sample_tokens;
            let answer = answer::<ModelError>(&tokens, limit, text, &mut sampler, &mut append, &mut |_| true)?;
            eprintln!("\n{when} tuning: {prompt}\n  {}", answer.text.trim().replace('\n', "\n  "));
            directory.append(
                "samples.jsonl",
                &json!({ "step": step, "when": when, "prompt": prompt, "answer": answer.text, "finish": format!("{:?}", answer.finish).to_lowercase() }),
            )?;
        }
        Ok(())
    }

    /// The folder that the next stage, `chat` and `transformers` load.
    fn result(&self) -> PathBuf {
        let adapter_only = matches!(self.stage.tuning, Tuning::LowRank(_)) && !self.stage.save_merged;
        self.directory.join(if adapter_only { "adapter" } else { "model" })
    }

    /// Writes the models that were trained beside the policy, such as PPO's `value`, each to a folder of its name that loads as a reward
    /// model does: merged where the policy is.
    fn save_companions(&self, task: &mut dyn Task) -> anyhow::Result<()> {
        for (name, companion) in task.companions() {
            let folder = self.directory.join(name);
            if self.result().ends_with("adapter") || !matches!(self.stage.tuning, Tuning::LowRank(_)) {
                companion.save(&folder)?;
            } else {
                let adapter = self.directory.join(format!(".{name}-adapter"));
                companion.save(&adapter)?;
                write_merged(&adapter, &folder)?;
                std::fs::remove_dir_all(&adapter)
                    .with_context(|| format!("{} cannot be removed", adapter.display()))?;
            }
            eprintln!("the {name} model is in {}", folder.display());
        }
        Ok(())
    }

    /// Writes the adapter and the merged model, or the tuned model.
    fn save(&self, engine: Transformer<Cpu>) -> anyhow::Result<PathBuf> {
        let result = self.result();
        if !matches!(self.stage.tuning, Tuning::LowRank(_)) {
            engine.save(&result)?;
            return Ok(result);
        }
        let adapter = self.directory.join("adapter");
        engine.save(&adapter)?;
        drop(engine);
        if self.stage.save_merged {
            write_merged(&adapter, &result)?;
        }
        if !result.is_dir() {
            bail!("{} was not written\n  fix: look at the messages above", result.display());
        }
        Ok(result)
    }
}

/// Merges an adapter that was just written, and writes the whole model.
fn write_merged(adapter: &Path, folder: &Path) -> anyhow::Result<()> {
    let merged = models::open_path(adapter, &mut |line| eprintln!("{line}"))
        .context("the adapter just written cannot be read back")?;
    let mut fetch = |name: &str| merged.weights.load(name);
    let write = if merged.has_value_head() { write_hf_reward_model } else { write_hf_model };
    write(folder, &merged.arch, &merged.config, ElementType::F32, &mut fetch)?;
    write_text(folder, &merged.text)?;
    Ok(())
}
