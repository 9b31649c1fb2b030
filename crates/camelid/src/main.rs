//! The `camelid` command.

mod actions;
mod cli;
mod commands;
mod estimate;
mod evaluations;
mod machine;
mod measure;
mod models;
mod process_memory;
mod progress;
mod pull;
mod recipe;
mod report;
mod reward_models;
mod sweep;
mod weights_hash;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Bench, Cli, Command, Inspect};
use crate::commands::bench_decode::DecodeBench;
use crate::commands::bench_step::StepBench;

fn main() -> ExitCode {
    // Before anything else: this process may have been started to hold a model's program.
    camelid_sandbox::enter_if_asked();
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(code) => code,
        // Whoever reads our output may stop reading.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, each said once, and what to do about it last.
fn explain(error: &anyhow::Error) -> String {
    let (mut said, mut fixes) = (String::new(), String::new());
    for cause in error.chain().map(ToString::to_string) {
        let (what, fix) = cause.split_once("\n  fix: ").unwrap_or((&cause, ""));
        if !said.contains(what) {
            said.push_str(if said.is_empty() { "" } else { ": " });
            said.push_str(what);
        }
        if !fix.is_empty() && !fixes.contains(fix) {
            fixes.push_str("\n  fix: ");
            fixes.push_str(fix);
        }
    }
    said + &fixes
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => return commands::run::run(&args),
        Command::Sweep(args) => return commands::sweep::run(&args),
        Command::Evaluate(args) => return commands::evaluate::run(&args),
        Command::Gate(args) => return commands::gate::run(&args),
        Command::Compare(args) => commands::compare::run(&args)?,
        Command::Contamination(args) => commands::contamination::run(&args)?,
        Command::Sandbox(args) => return Ok(commands::sandbox::run(&args)),
        Command::Plan(args) => commands::plan::run(&args)?,
        Command::New(args) => commands::new::run(&args)?,
        Command::Pull(args) => {
            let pulled = pull::pull(&args.name, &pull::PullOptions::default(), &mut |line| eprintln!("{line}"))?;
            println!("{}", pulled.path.display());
            let checked = if pulled.sha256_checked { ", sha256 checked" } else { "" };
            eprintln!("from {}, {} bytes{checked}", pulled.source, pulled.bytes);
        }
        Command::Inspect(Inspect::Data { file, show, prompts }) => commands::inspect_data::run(&file, show, prompts)?,
        Command::Inspect(Inspect::Batch { recipe, stage }) => commands::inspect_batch::run(&recipe, stage)?,
        Command::Inspect(Inspect::Model { model, tensors }) => commands::inspect_model::run(&model, tensors)?,
        Command::Inspect(Inspect::Run { directory }) => commands::inspect_run::run(&directory)?,
        Command::Report { directory, against, judgements } => {
            commands::report::run(&directory, against.as_deref(), judgements.as_deref())?;
        }
        Command::Chat(args) => commands::chat::run(&args)?,
        Command::Generate(args) => commands::generate::run(&args)?,
        Command::Label(args) => commands::label::run(&args)?,
        Command::Serve(args) => commands::serve::run(&args)?,
        Command::Judge(command) => return commands::judge::run(&command),
        Command::Score(args) => commands::score::run(&args)?,
        Command::Bench(Bench::Gemm { json, machine }) => commands::bench_gemm::run(json, &machine),
        Command::Bench(Bench::Step {
            model,
            tune,
            rank,
            moments,
            activation_checkpointing,
            sequences,
            length,
            steps,
            json,
            machine,
        }) => {
            let model = model.as_str();
            let machine = &machine;
            commands::bench_step::run(&StepBench {
                model,
                tune,
                rank,
                moments,
                activation_checkpointing,
                sequences,
                length,
                steps,
                json,
                machine,
            })?;
        }
        Command::Bench(Bench::Decode { model, prompt, prompts, samples, tokens, json, weights, machine }) => {
            let (model, machine) = (model.as_str(), &machine);
            commands::bench_decode::run(&DecodeBench {
                model,
                prompt,
                prompts,
                samples,
                tokens,
                json,
                weights,
                machine,
            })?;
        }
        Command::Bench(Bench::Serve(args)) => return commands::bench_serve::run(&args),
        Command::Bench(Bench::Recipe { recipe, steps, json }) => commands::bench_recipe::run(&recipe, steps, json)?,
        Command::Export(args) => commands::export::run(&args)?,
        Command::Completions { shell } => commands::completions::run(shell),
    }
    Ok(ExitCode::SUCCESS)
}
