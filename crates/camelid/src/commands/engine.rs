//! A generation engine for commands that answer: the model, its text, and the engine's thread.

use std::sync::Arc;

use anyhow::{Context, ensure};
use camelid_generate::client::Totals;
use camelid_generate::engine::{EngineService, Limits};
use camelid_model::{Generate, Transformer, TransformerOptions, Tuning};
use camelid_text::Text;

use crate::cli::{EngineArgs, MachineArgs, WeightArgs};
use crate::{machine, models};

/// Loads a model, frozen.
pub(crate) fn load(
    model: &str,
    weights: WeightArgs,
    args: &MachineArgs,
) -> anyhow::Result<(Transformer<camelid_kernels::Cpu>, Text)> {
    let loaded = models::open(model, &mut |line| eprintln!("{line}"))?;
    let text = Text::new(loaded.text.clone())?;
    let backend = machine::open(args.compute, args.threads);
    let options = TransformerOptions { weights: weights.weights.into(), ..TransformerOptions::default() };
    let engine = Transformer::new(backend, loaded, Tuning::Frozen, 0, options)?;
    Ok((engine, text))
}

/// What an engine of this model takes on.
pub(crate) fn limits(args: &EngineArgs, engine: &impl Generate) -> anyhow::Result<Limits> {
    ensure!(args.context > 0, "--context is 0\n  fix: allow at least as many tokens as a prompt and its answer have");
    ensure!(args.batch > 0, "--batch is 0\n  fix: run at least one sample at a time");
    let context = args.context.min(engine.max_positions());
    let cache_tokens = args.cache_tokens.max(context).next_multiple_of(64);
    Ok(Limits { context, cache_tokens, samples: args.batch, prompt_tokens: args.prompt_tokens.max(1) })
}

/// Loads a model and starts an engine on it.
pub(crate) fn start(
    model: &str,
    args: &EngineArgs,
    weights: WeightArgs,
    machine: &MachineArgs,
) -> anyhow::Result<(Arc<EngineService>, Arc<Text>)> {
    let (engine, text) = load(model, weights, machine)?;
    let limits = limits(args, &engine)?;
    let Limits { context, cache_tokens, .. } = limits;
    let megabytes = (engine.cache_row_bytes() * cache_tokens) as f64 / 1e6;
    eprintln!("context of {context} tokens; a cache for {cache_tokens} tokens takes {megabytes:.0} MB");
    let text = Arc::new(text);
    let service = EngineService::start(Box::new(engine), Arc::clone(&text), limits, args.queue.max(1));
    Ok((Arc::new(service.context("the engine's thread cannot be started")?), text))
}

/// What asking a server took that a user may want to know of; nothing where all went smoothly and costs nothing.
pub(crate) fn spent(totals: &Totals) -> Option<String> {
    let mut parts = Vec::new();
    if totals.retries > 0 {
        parts.push(format!("{} attempts were repeated", totals.retries));
    }
    if totals.cost > 0.0 {
        let Totals { prompt_tokens, completion_tokens, cost, unmetered, .. } = totals;
        parts.push(format!("{prompt_tokens} prompt and {completion_tokens} answer tokens cost {cost:.4}"));
        if *unmetered > 0 {
            parts.push(format!("{unmetered} answers whose tokens the server did not count are not in that"));
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_and_repeated_attempts_are_told() {
        assert_eq!(spent(&Totals { answered: 3, prompt_tokens: 9, ..Totals::default() }), None);
        let totals = Totals {
            retries: 2,
            prompt_tokens: 9,
            completion_tokens: 1,
            cost: 0.25,
            unmetered: 1,
            ..Totals::default()
        };
        let said = spent(&totals).unwrap();
        assert!(
            said.starts_with("2 attempts were repeated; 9 prompt and 1 answer tokens cost 0.2500; 1 answers"),
            "{said}"
        );
    }
}
