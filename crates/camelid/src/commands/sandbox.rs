//! `camelid sandbox`: one program of a model's, or what this machine offers to hold it.

use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use camelid_sandbox::{Layer, LayerReport, LayerState, Limits, Outcome, Program, Sandbox, Strictness};

use crate::cli::SandboxArgs;

/// The exit code where nothing was run.
const NOT_RUN: u8 = 2;

pub(crate) fn run(args: &SandboxArgs) -> ExitCode {
    match attempt(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", crate::explain(&error));
            ExitCode::from(NOT_RUN)
        }
    }
}

fn attempt(args: &SandboxArgs) -> anyhow::Result<bool> {
    let sandbox = Sandbox::with_python(&args.python)?;
    let Some(file) = args.file.as_deref().filter(|_| !args.check) else { return check(&sandbox, args.json) };
    let source = if file.as_os_str() == "-" {
        let mut source = String::new();
        std::io::stdin().read_to_string(&mut source).context("cannot read the program from standard input")?;
        source
    } else {
        std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}\n  fix: name a Python program in UTF-8", file.display()))?
    };
    let limits = Limits {
        memory: args.memory.saturating_mul(1 << 20),
        disk: args.disk.saturating_mul(1 << 20),
        processes: args.processes,
        ..Limits::default().with_seconds(args.seconds)
    };
    let strictness = if args.best_effort { Strictness::BestEffort } else { Strictness::Strict };
    let outcome = sandbox.run(&Program::script(source), &limits, strictness)?;
    if args.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        show(&outcome)?;
    }
    Ok(outcome.passed())
}

fn show(outcome: &Outcome) -> std::io::Result<()> {
    let mut output = std::io::stdout();
    output.write_all(outcome.stdout.as_bytes())?;
    output.flush()?;
    eprint!("{}", outcome.stderr);
    let by = outcome.stopped_by.map(|layer| format!(", stopped by the {layer}")).unwrap_or_default();
    let (wall, cpu) = (outcome.wall.as_secs_f64(), outcome.cpu.as_secs_f64());
    eprintln!("sandbox: {}{by}; {wall:.2} s, {cpu:.2} s of processor", outcome.verdict);
    if !outcome.refused.is_empty() {
        eprintln!("sandbox: refused system calls: {}", outcome.refused.join(", "));
    }
    for report in outcome.missing() {
        if let LayerState::Unavailable(why) = &report.state {
            eprintln!("sandbox: without the {}: {why}", report.layer);
        }
    }
    Ok(())
}

/// Prints each layer; whether all essential ones hold.
fn check(sandbox: &Sandbox, json: bool) -> anyhow::Result<bool> {
    let reports = sandbox.check()?;
    let holds = |layer: Layer| reports.iter().any(|report| report.layer == layer && report.is_applied());
    let strict = Layer::ALL.into_iter().all(|layer| holds(layer) || !layer.is_essential());
    if json {
        let object = serde_json::json!({"strict": strict, "python": sandbox.python().executable, "layers": reports});
        println!("{object}");
        return Ok(strict);
    }
    println!("python {}", sandbox.python().executable.display());
    for LayerReport { layer, state } in &reports {
        let essential = if layer.is_essential() { "essential" } else { "" };
        let (held, text) = match state {
            LayerState::Applied(how) => ("yes", how),
            LayerState::Unavailable(why) => ("NO", why),
        };
        println!("{}", format!("{layer:<18} {essential:<9} {held:<3} {text}").trim_end());
    }
    if strict {
        println!("all essential layers hold: strict sandboxes run here");
    } else {
        println!("an essential layer is missing: only --best-effort runs here");
    }
    Ok(strict)
}
