//! `camelid bench serve`: how fast a server is under many clients, and whether it stands those that misbehave.

mod client;
mod compare;
mod figures;
mod load;
mod memory;
mod raw;
mod report;
mod soak;
mod target;
mod unruly;
mod workload;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use camelid_generate::engine::Limits;
use camelid_text::Text;
use tokio::runtime::Runtime;

use super::engine;
use crate::cli::BenchServeArgs;
use compare::Comparison;
use load::{Load, Until};
use memory::MemoryWatch;
use report::Report;
use soak::Soak;
use target::{Lent, Local, Target};
use workload::Workload;

const MODEL: &str = "smollm2-135m-instruct";

/// A model and what its server takes on.
struct Loaded {
    model: Lent,
    text: Arc<Text>,
    limits: Limits,
}

pub(crate) fn run(args: &BenchServeArgs) -> anyhow::Result<ExitCode> {
    check(args)?;
    // Clients have a thread of their own; the server in this process has others, as in `serve`.
    let clients = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let report = if let Some(url) = &args.url {
        let (model, key) = (args.model.as_deref(), args.api_key.as_deref());
        let (target, model) = clients.block_on(Target::elsewhere(url, model, key))?;
        drive(args, Arc::new(target), workload(args, model), false, &clients)?
    } else {
        here(args, &clients)?
    };
    report.print(args.json)?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(args: &BenchServeArgs) -> anyhow::Result<()> {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    ensure!(args.clients > 0, "--clients is 0\n  fix: ask with at least one client");
    ensure!(args.tokens > 0 && args.words > 0, "--tokens or --words is 0\n  fix: ask for at least one");
    ensure!(args.requests != Some(0), "--requests is 0\n  fix: ask at least one question");
    ensure!((0.0..=1.0).contains(&args.stream_share), "--stream-share is no share\n  fix: use a number from 0 to 1");
    ensure!(args.seconds.is_none_or(positive), "--seconds is not above 0\n  fix: give a time");
    ensure!(args.soak.is_none_or(positive), "--soak is not above 0\n  fix: give minutes, such as 10 or 0.5");
    ensure!(args.memory_bound >= 0.0, "--memory-bound is below 0\n  fix: give megabytes");
    Ok(())
}

fn workload(args: &BenchServeArgs, model: String) -> Workload {
    let BenchServeArgs { seed, words, tokens, stream_share, .. } = *args;
    Workload { model, seed, words, tokens, stream_share, token_ids: args.soak.is_some() }
}

/// With a server in this process.
fn here(args: &BenchServeArgs, clients: &Runtime) -> anyhow::Result<Report> {
    let name = args.model.as_deref().unwrap_or(MODEL);
    let (model, text) = engine::load(name, args.weights, &args.machine)?;
    let limits = engine::limits(&args.engine, &model)?;
    let mut loaded = Loaded { model: Lent::new(model), text: Arc::new(text), limits };
    let (workload, queue) = (workload(args, name.to_owned()), args.engine.queue.max(1));
    if args.compare {
        let comparison = Comparison {
            text: &loaded.text,
            limits: loaded.limits,
            queue,
            workload: &workload,
            clients: args.clients,
            requests: args.requests.unwrap_or(4 * args.clients),
            rounds: args.rounds,
        };
        let compared = comparison.run(&mut loaded.model, clients)?;
        return Ok(Report::of_comparison(compared));
    }
    let local = Local::start(&loaded.model, &loaded.text, loaded.limits, queue, name)?;
    let report = drive(args, Arc::new(local.target.clone()), workload, true, clients);
    local.finish(&mut loaded.model).context("the server did not end well")?;
    report
}

fn drive(
    args: &BenchServeArgs,
    target: Arc<Target>,
    workload: Workload,
    in_process: bool,
    clients: &Runtime,
) -> anyhow::Result<Report> {
    if let Some(minutes) = args.soak {
        let soak = Soak {
            workload,
            clients: args.clients,
            time: Duration::try_from_secs_f64(minutes * 60.0).context("--soak is too long\n  fix: give minutes")?,
            room: args.engine.queue + args.engine.batch,
            memory_bound: in_process.then_some(args.memory_bound),
        };
        return Ok(Report::of_soak(clients.block_on(soak::run(target, soak))?));
    }
    let until = match args.seconds.map(Duration::try_from_secs_f64) {
        Some(time) => Until::Elapsed(time.context("--seconds is too long\n  fix: give a shorter time")?),
        None => Until::Requests(args.requests.unwrap_or(4 * args.clients)),
    };
    let watch = if in_process { Some(MemoryWatch::start()?) } else { None };
    let load = Load { workload, clients: args.clients, until, expected: Vec::new() };
    let done = clients.block_on(load::run(target, load))?;
    Ok(Report::of_load(done.figures, watch.and_then(MemoryWatch::finish)))
}
