//! `camelid bench step`: one training step on packed tokens, all of them targets.

use std::time::Instant;

use camelid_model::{Cotangents, Engine, LowRank, Transformer, TransformerOptions, Tuning, Update, Want};
use camelid_text::{Encoded, Forest};
use serde::Serialize;

use crate::cli::{MachineArgs, TuneChoice};
use crate::recipe::MomentSpec;
use crate::{machine, models, process_memory};

/// Steps before the clock starts: they fill the buffer pool and the caches.
const WARM_UP: usize = 2;

/// What `--json` prints.
#[derive(Serialize)]
struct Figures {
    backend: String,
    tokens_per_second: f64,
    step_seconds: f64,
    gigaflops: f64,
    /// Of the process, as the system counts it.
    peak_memory_mb: f64,
    trained_parameters: usize,
    loss: f64,
}

pub(crate) struct StepBench<'a> {
    pub(crate) model: &'a str,
    pub(crate) tune: TuneChoice,
    pub(crate) rank: usize,
    pub(crate) moments: MomentSpec,
    pub(crate) activation_checkpointing: bool,
    pub(crate) sequences: usize,
    pub(crate) length: usize,
    pub(crate) steps: usize,
    pub(crate) json: bool,
    pub(crate) machine: &'a MachineArgs,
}

pub(crate) fn run(bench: &StepBench<'_>) -> anyhow::Result<()> {
    anyhow::ensure!(
        bench.steps > 0 && bench.sequences > 0 && bench.length > 1,
        "--steps and --sequences must be at least 1 and --length at least 2\n  fix: leave them out for the usual values"
    );
    let model = models::open(bench.model, &mut |line| eprintln!("{line}"))?;
    let vocabulary = model.arch.vocabulary();
    let tuning = match bench.tune {
        TuneChoice::Full => Tuning::Full,
        TuneChoice::Lora => Tuning::LowRank(LowRank {
            rank: bench.rank,
            alpha: 2.0 * bench.rank as f32,
            rslora: false,
            dropout: 0.0,
            targets: vec!["all-linear".into()],
        }),
    };
    let backend = machine::open(bench.machine.compute, bench.machine.threads);
    let options = TransformerOptions {
        moments: bench.moments.into(),
        activation_checkpointing: bench.activation_checkpointing,
        ..TransformerOptions::default()
    };
    let mut engine = Transformer::new(backend, model, tuning, 0, options)?;
    let update = Update {
        learning_rate: 1e-5,
        denominator: (bench.sequences * (bench.length - 1)) as f64,
        max_grad_norm: f32::INFINITY,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
    };
    let mut seconds = Vec::new();
    let (mut loss, mut flops) = (0.0, 0.0);
    for step in 0..WARM_UP + bench.steps {
        let batch = arbitrary_sequences(step, bench.sequences, bench.length, vocabulary);
        let forest = Forest::dense(&batch.iter().collect::<Vec<_>>());
        flops = engine.flops(&forest, true);
        let start = Instant::now();
        let scores = engine.forward(&forest, Want { gradients: true, ..Want::default() })?;
        let cotangents = Cotangents { log_probs: vec![-1.0; scores.log_probs.len()], ..Cotangents::default() };
        engine.backward_and_update(&cotangents, &update)?;
        loss = -scores.log_probs.iter().map(|&p| f64::from(p)).sum::<f64>() / update.denominator;
        if step >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let step_seconds = seconds[seconds.len() / 2];
    let figures = Figures {
        backend: engine.describe(),
        tokens_per_second: (bench.sequences * bench.length) as f64 / step_seconds,
        step_seconds,
        gigaflops: flops / step_seconds / 1e9,
        peak_memory_mb: process_memory::peak_megabytes(),
        trained_parameters: engine.parameters().1,
        loss,
    };
    if bench.json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        println!("{}", figures.backend);
        println!("{:>10.0} tokens/s", figures.tokens_per_second);
        println!("{:>10.3} s a step (median of {})", figures.step_seconds, bench.steps);
        println!("{:>10.0} GFLOP/s", figures.gigaflops);
        println!("{:>10.0} MB peak memory of the process", figures.peak_memory_mb);
        println!("{:>10} trained parameters", figures.trained_parameters);
    }
    Ok(())
}

/// Sequences of different tokens; the time of a step does not depend on which.
fn arbitrary_sequences(step: usize, count: usize, length: usize, vocabulary: usize) -> Vec<Encoded> {
    let token = |sequence: usize, place: usize| {
        let mixed = (step * count + sequence).wrapping_mul(7919).wrapping_add(place.wrapping_mul(104_729));
        (mixed % vocabulary) as u32
    };
    let weights: Vec<f32> = (0..length).map(|place| if place == 0 { 0.0 } else { 1.0 }).collect();
    (0..count)
        .map(|sequence| Encoded {
            tokens: (0..length).map(|place| token(sequence, place)).collect(),
            weights: weights.clone(),
            record: sequence as u32,
        })
        .collect()
}
