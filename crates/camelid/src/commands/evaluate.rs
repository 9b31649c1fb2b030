//! `camelid evaluate`: benchmarks, asked of a model here or behind a server.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail, ensure};
use camelid_eval::results::{Evaluation, Model};
use camelid_eval::task::{
    Answerer, Asked, CodeRunner, Exemplars, Format, Options, Rater, Resolved, Sampling, Scoring, Task, builtin,
    builtin_names,
};
use camelid_generate::client::{Generator, RemoteGenerator, RemoteSettings};
use camelid_model::{Transformer, TransformerOptions, Tuning};
use camelid_text::Text;
use serde_json::{Map, Value as Json, json};

use super::engine::spent;
use crate::cli::{EvaluateArgs, ExemplarChoice, SampleArgs, WeightChoice};
use crate::evaluations::{
    Cached, Local, Pace, Programs, Remote, RewardRater, Stoppable, Store, TaskData, objections, read_task_data,
    summary, text_table,
};
use crate::{machine, models, weights_hash};

/// Of several answers to an item: what votes are usually taken from (Wang 2022, arXiv 2203.11171).
const TEMPERATURE: f32 = 0.7;

/// A task that is to be asked.
struct Planned {
    task: Task,
    data: TaskData,
    resolved: Resolved,
}

pub(crate) fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        print!("{}", list()?);
        return Ok(ExitCode::SUCCESS);
    }
    let Some(shown) = evaluate(args, &AtomicBool::new(false))? else { return Ok(ExitCode::FAILURE) };
    if args.json {
        print!("{}", shown.to_json());
    } else if !shown.tasks.is_empty() {
        print!("{}", summary(&shown));
    }
    eprintln!("written to {}", args.out.display());
    let objections = objections(&shown);
    for objection in &objections {
        eprintln!("void: {objection}");
    }
    Ok(if objections.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks every task and writes the directory; returns the figures of these tasks, or nothing if `stop` was set before the end.
pub(crate) fn evaluate(args: &EvaluateArgs, stop: &AtomicBool) -> anyhow::Result<Option<Evaluation>> {
    let tasks = open_tasks(args)?;
    // Found out before any model is loaded.
    let needs_programs = tasks.iter().any(|task| matches!(task.definition.score, Scoring::Program { .. }));
    let mut programs = needs_programs.then(|| Programs::open(&args.python, args.best_effort)).transpose()?;
    let mut rater = RewardRater::open(&args.sample, args.batch_tokens, &args.machine)?;
    let model = args.model.as_deref().unwrap_or_default();
    let mut asked = None;
    let (answerer, identity, has_template, template) = match args.remote.settings(model) {
        Some(settings) => {
            let generator = Arc::new(RemoteGenerator::new(RemoteSettings { token_ids: true, ..settings })?);
            remote(asked.insert(generator))
        }
        None => local(args, model)?,
    };
    let mut answerer = Stoppable { inner: answerer, stop };
    let mut planned = Vec::new();
    for task in tasks {
        let resolved = task.resolve(&options(args), has_template)?;
        let data = data_of(&task, args, &resolved)?;
        planned.push(Planned { task, data, resolved });
    }
    let head = Evaluation {
        model: Model { name: model.to_owned(), identity: identity.clone() },
        template,
        options: described(args),
        tasks: Vec::new(),
    };
    let mut store = Store::open(&args.out, head, args.restart)?;
    for Planned { task, data, resolved } in &planned {
        let instruments = (programs.as_mut(), rater.as_mut());
        if !ask(&mut store, &mut answerer, instruments, &identity, task, data, *resolved)? {
            return Ok(None);
        }
    }
    if let Some(spent) = asked.and_then(|generator| spent(&generator.totals())) {
        eprintln!("{spent}");
    }
    let named: Vec<&str> = planned.iter().map(|planned| planned.task.name()).collect();
    let mut shown = store.evaluation.clone();
    shown.tasks.retain(|task| named.contains(&task.task.as_str()));
    Ok(Some(shown))
}

/// The tasks, each once, and nothing that could not be asked: found out before any model is loaded.
pub(crate) fn open_tasks(args: &EvaluateArgs) -> anyhow::Result<Vec<Task>> {
    for (flag, value) in
        [("--batch", args.batch), ("--batch-tokens", args.batch_tokens), ("--concurrency", args.remote.concurrency)]
    {
        ensure!(value > 0, "{flag} is 0\n  fix: use a number from 1 up");
    }
    ensure!(args.limit != Some(0), "--limit is 0\n  fix: ask at least one item of each task");
    ensure!(args.max_tokens != Some(0), "--max-tokens is 0\n  fix: allow at least one token");
    check_samples(args)?;
    let tasks = args.tasks.iter().map(|name| open_task(name)).collect::<anyhow::Result<Vec<Task>>>()?;
    for (place, task) in tasks.iter().enumerate() {
        let again = tasks[..place].iter().any(|earlier| earlier.name() == task.name());
        ensure!(!again, "the task {} is named twice\n  fix: name it once", task.name());
    }
    Ok(tasks)
}

fn check_samples(args: &EvaluateArgs) -> anyhow::Result<()> {
    let SampleArgs { samples, temperature, top_p, hints, .. } = &args.sample;
    ensure!(samples.is_none_or(|samples| samples > 1), "--samples is below 2\n  fix: leave it out to ask once");
    ensure!(hints.is_none_or(|most| most > 1), "--hints is below 2\n  fix: leave it out to ask once");
    if let Some(temperature) = temperature {
        let usable = *temperature > 0.0 && temperature.is_finite();
        ensure!(usable, "--temperature is {temperature}\n  fix: use a number above 0, or all samples are the same");
    }
    if let Some(top_p) = top_p {
        ensure!(*top_p > 0.0 && *top_p <= 1.0, "--top-p is {top_p}\n  fix: use a number above 0, up to 1");
    }
    Ok(())
}

/// The items of a task and what its exemplars come from.
pub(crate) fn data_of(task: &Task, args: &EvaluateArgs, resolved: &Resolved) -> anyhow::Result<TaskData> {
    let data = read_task_data(task, &args.data, args.limit, resolved)?;
    ensure!(!data.items.is_empty(), "{}: its data has no items\n  fix: get the data again", task.name());
    Ok(data)
}

/// Whether it was asked to the end.
fn ask(
    store: &mut Store,
    answerer: &mut Stoppable<'_>,
    (programs, rater): (Option<&mut Programs>, Option<&mut RewardRater>),
    identity: &str,
    task: &Task,
    data: &TaskData,
    resolved: Resolved,
) -> anyhow::Result<bool> {
    let stop = answerer.stop;
    let asked = Asked { task, items: &data.items, pool: &data.pool, texts: &data.texts, resolved };
    let answers = data.items.len() * asked.samples();
    let mut pace = Pace::new(task.name(), answers);
    let mut cached = Cached { inner: answerer, cache: &store.replies, identity: identity.to_owned(), found: 0 };
    let programs = programs.map(|programs| programs as &mut dyn CodeRunner);
    let rater = rater.map(|rater| rater as &mut dyn Rater);
    let (mut result, items) = asked.evaluate(&mut cached, programs, rater, &mut |ended, failed| {
        // What a stop leaves unasked has not failed.
        if !stop.load(Ordering::Relaxed) {
            pace.at(ended, failed);
        }
    })?;
    let found = cached.found;
    result.seconds = pace.finish();
    // What was not asked would count as failed; what was is among the replies.
    if stop.load(Ordering::Relaxed) {
        return Ok(false);
    }
    if found > 0 {
        eprintln!("{}: {found} replies of {answers} were there already", task.name());
    }
    if matches!(task.definition.score, Scoring::Answers { .. }) {
        let path = store.add_answers(task.name(), &items)?;
        eprintln!("{}: {} answers for a judge in {}", task.name(), items.len(), path.display());
        return Ok(true);
    }
    store.add(result, &items)?;
    Ok(true)
}

/// A task of the program by name, or a file.
fn open_task(name: &str) -> anyhow::Result<Task> {
    if std::path::Path::new(name).extension().is_some_and(|extension| extension == "toml") {
        let text = std::fs::read_to_string(name)
            .with_context(|| format!("{name} cannot be read\n  fix: name a task file that is there"))?;
        return Ok(Task::parse(name, &text)?);
    }
    let Some(task) = builtin(name) else {
        let near = builtin_names()
            .max_by(|one, other| strsim::jaro_winkler(one, name).total_cmp(&strsim::jaro_winkler(other, name)));
        bail!(
            "there is no task `{name}`\n  fix: did you mean `{}`? camelid evaluate --list shows all; a file's name ends in .toml",
            near.unwrap_or_default()
        );
    };
    Ok(task?)
}

/// What of a task the arguments decide.
pub(crate) fn options(args: &EvaluateArgs) -> Options {
    Options {
        few_shot: args.shots,
        format: match (args.chat, args.plain) {
            (true, _) => Some(Format::Chat),
            (_, true) => Some(Format::Plain),
            _ => None,
        },
        exemplars: match args.exemplars {
            ExemplarChoice::Turns => Exemplars::Turns,
            ExemplarChoice::OneTurn => Exemplars::OneTurn,
        },
        seed: args.seed,
        max_tokens: args.max_tokens,
        sampling: args.sample.samples.map(|samples| Sampling {
            samples,
            temperature: args.sample.temperature.unwrap_or(TEMPERATURE),
            top_p: args.sample.top_p.unwrap_or(1.0),
        }),
        hints: args.sample.hints,
    }
}

/// All that decides figures beside the model and the tasks.
fn described(args: &EvaluateArgs) -> Map<String, Json> {
    let Json::Object(mut options) = json!({
        "limit": args.limit,
        "shots": args.shots,
        "format": options(args).format,
        "exemplars": options(args).exemplars,
        "seed": args.seed,
        "max_tokens": args.max_tokens,
        "temperature": options(args).sampling.map_or(0.0, |sampling| sampling.temperature),
        "samples": args.sample.samples,
        "top_p": options(args).sampling.map(|sampling| sampling.top_p),
        "reward_models": args.sample.reward_model,
        "rate_steps": args.sample.rate_steps,
        "hints": args.sample.hints,
    }) else {
        return Map::new();
    };
    if args.remote.server.is_none() {
        options
            .insert("compute".into(), json!(format!("{:?}", machine::precision(args.machine.compute)).to_lowercase()));
        options.insert(
            "weights".into(),
            json!(if args.weights.weights == WeightChoice::Int8 { "int8" } else { "computed" }),
        );
    }
    options
}

/// The model that answers, what tells it from others, whether it has a chat template, and that template's hash.
type Opened = (Box<dyn Answerer>, String, bool, Option<String>);

fn local(args: &EvaluateArgs, model: &str) -> anyhow::Result<Opened> {
    let loaded = models::open(model, &mut |line| eprintln!("{line}"))?;
    ensure!(
        !loaded.has_value_head(),
        "{model} is a reward model\n  fix: evaluate it with camelid score and reports of its run"
    );
    let template = loaded.text.chat_template.as_ref();
    let (has_template, template) =
        (template.is_some(), template.map(|text| blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()));
    let text = Text::new(loaded.text.clone())?;
    let mut identity = blake3::Hasher::new();
    identity.update(weights_hash::of(&loaded)?.as_bytes());
    let setting = described(args);
    for key in ["compute", "weights"] {
        identity.update(setting[key].to_string().as_bytes());
    }
    let backend = machine::open(args.machine.compute, args.machine.threads);
    let options = TransformerOptions { weights: args.weights.weights.into(), ..TransformerOptions::default() };
    let engine = Transformer::new(backend, loaded, Tuning::Frozen, 0, options)?;
    let mut local = Local {
        engine,
        text,
        context: 0,
        rows_at_once: args.batch_tokens,
        samples: args.batch,
        cache_tokens: args.cache_tokens,
        prompt_tokens: 512,
    };
    local.context = args.context.unwrap_or(usize::MAX).min(local.positions());
    ensure!(local.context > 1, "--context is {}\n  fix: allow at least as many tokens as a prompt has", local.context);
    Ok((Box::new(local), identity.finalize().to_hex()[..32].to_owned(), has_template, template))
}

fn remote(generator: &Arc<RemoteGenerator>) -> Opened {
    let identity = blake3::hash(generator.identity().as_bytes()).to_hex()[..32].to_owned();
    // Whether there is a template the server knows; it says so itself when it is asked for a chat without one.
    (Box::new(Remote { generator: Arc::clone(generator) }), identity, true, None)
}

fn list() -> anyhow::Result<String> {
    let mut rows = vec![["task", "axis", "metric", "shots", "licence", ""].map(str::to_owned).to_vec()];
    for name in builtin_names() {
        let Some(task) = builtin(name) else { continue };
        let definition = task?.definition;
        rows.push(vec![
            name.to_owned(),
            definition.axis.name().to_owned(),
            definition.score.metric().to_owned(),
            definition.few_shot.count.to_string(),
            definition.licence.clone(),
            definition.title.clone(),
        ]);
    }
    Ok(text_table(&rows))
}
