//! `camelid bench decode`: how fast answers are generated.

use std::time::Instant;

use anyhow::ensure;
use camelid_generate::engine::{Limits, answer_all};
use camelid_generate::{Request, Sampling, StopRules};
use serde_json::json;

use super::engine;
use crate::cli::{MachineArgs, WeightArgs};
use crate::process_memory;

/// What is measured.
pub(crate) struct DecodeBench<'a> {
    pub(crate) model: &'a str,
    /// Tokens of each prompt.
    pub(crate) prompt: usize,
    /// Different prompts.
    pub(crate) prompts: usize,
    /// Samples of each.
    pub(crate) samples: usize,
    /// Tokens of each answer.
    pub(crate) tokens: usize,
    pub(crate) json: bool,
    pub(crate) weights: WeightArgs,
    pub(crate) machine: &'a MachineArgs,
}

/// The best of so many runs is reported, after one that is not counted.
const RUNS: usize = 3;

pub(crate) fn run(bench: &DecodeBench<'_>) -> anyhow::Result<()> {
    let counts = [bench.prompt, bench.prompts, bench.samples, bench.tokens];
    ensure!(!counts.contains(&0), "a count is 0\n  fix: measure at least one prompt, sample and token");
    let (mut model, text) = engine::load(bench.model, bench.weights, bench.machine)?;
    let context = bench.prompt + bench.tokens;
    let blocks = |tokens: usize| tokens.div_ceil(64);
    let cache_tokens = 64 * bench.prompts * (blocks(bench.prompt) + bench.samples * blocks(bench.tokens));
    let samples = bench.prompts * bench.samples;
    let limits = Limits { context, cache_tokens, samples, prompt_tokens: 512 };
    let words = text.encode(&"Once upon a time there was a fox. ".repeat(context));
    let requests: Vec<Request> = (0..bench.prompts)
        .map(|index| Request {
            prompt: words.iter().copied().skip(index).take(bench.prompt).collect(),
            samples: bench.samples,
            max_tokens: bench.tokens,
            sampling: Sampling::plain(index as u64),
            stop: StopRules { ignore_end: true, ..StopRules::default() },
            choices: Vec::new(),
            top_log_probs: 0,
            prompt_log_probs: false,
        })
        .collect();
    let mut best = f64::INFINITY;
    for run in 0..=RUNS {
        let start = Instant::now();
        answer_all(&mut model, &text, limits, requests.clone(), &mut |_| {})?;
        if run > 0 {
            best = best.min(start.elapsed().as_secs_f64());
        }
    }
    let rate = (samples * bench.tokens) as f64 / best;
    let peak = process_memory::peak_megabytes();
    if bench.json {
        println!("{}", json!({ "tokens_per_second": rate, "seconds": best, "peak_memory_mb": peak }));
        return Ok(());
    }
    println!(
        "{rate:10.1} tokens/s: {} prompts of {} tokens, {} samples each, {} tokens each, prompts included\n\
         {peak:10.0} MB peak memory of the process",
        bench.prompts, bench.prompt, bench.samples, bench.tokens
    );
    Ok(())
}
