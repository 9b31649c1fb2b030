//! What watches a stage for over-optimisation, opened.

use std::path::Path;

use anyhow::ensure;
use camelid_model::{Transformer, TransformerOptions, Tuning};
use camelid_text::Text;
use camelid_train::{Answerer, Drawing, Evaluation, Monitor, MonitorReference, Rollouts};

use super::company::{JUDGE, rewards};
use super::prepare::Prepared;
use crate::recipe::{Plan, StagePlan};
use crate::{machine, models};

/// `model` is what the stage starts from. `None` where the stage has no monitor.
pub(crate) fn open(
    plan: &Plan,
    stage: &StagePlan,
    model: &str,
    prepared: &Prepared,
    directory: &Path,
) -> anyhow::Result<Option<Monitor>> {
    let Some(monitor) = &stage.monitor else { return Ok(None) };
    let token_budget = stage.training.tokens_per_micro_batch;
    // Greedy answers have no KL.
    let (seed, evaluation) = (stage.training.seed, Evaluation::Sampled);
    let drawing = Drawing { samples: 1, answer_tokens: monitor.answer_tokens, seed, evaluation };
    let rollouts = Rollouts {
        drawing,
        text: Text::new(prepared.text.assets().clone())?,
        rewards: rewards(
            plan,
            &monitor.reward,
            token_budget,
            prepared.text.assets(),
            &directory.join(JUDGE).join("monitor"),
        )?,
        answerer: Answerer::Own,
    };
    let reference = reference(plan, stage, model)?;
    let mut opened = Monitor::new(prepared.monitor.clone(), rollouts, reference, token_budget);
    (opened.every, opened.patience) = (monitor.every, monitor.patience);
    Ok(Some(opened))
}

/// The engine's own where it has the starting model, or a copy beside it.
fn reference(plan: &Plan, stage: &StagePlan, model: &str) -> anyhow::Result<MonitorReference> {
    if let Some(want) = stage.monitor_reference() {
        return Ok(MonitorReference::Own(want));
    }
    let loaded = models::open(model, &mut |line| eprintln!("{line}"))?;
    ensure!(
        !loaded.has_value_head(),
        "{model} is a reward model, which writes no answers\n  fix: name a language model"
    );
    let backend = machine::open_precision(plan.compute, plan.threads);
    let options = TransformerOptions::default();
    let engine = Transformer::new(backend, loaded, Tuning::Frozen, plan.seed, options)?;
    Ok(MonitorReference::Other(Box::new(engine)))
}
