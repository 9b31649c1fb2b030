//! The models of a ppo stage: the policy's task with a value model beside it.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use camelid_model::{Engine, Transformer, TransformerOptions};
use camelid_text::TextAssets;
use camelid_train::{Critic, PpoTask, Pretraining};
use serde_json::Value as Json;

use super::prepare::Prepared;
use crate::recipe::{Company, Plan, PpoPlan, StagePlan, TermKind, TermPlan};
use crate::reward_models::is_ensemble;
use crate::{machine, models};

/// Loads the value model: where the recipe names none, from the one reward model that judges the answers, else from `model` with a
/// head of zeros.
pub(crate) fn ppo_task(
    plan: &Plan,
    stage: &StagePlan,
    ppo: &PpoPlan,
    model: &str,
    prepared: &Prepared,
    company: Company,
) -> anyhow::Result<PpoTask> {
    let seed = stage.training.seed;
    let name = ppo.value_model.as_deref().or_else(|| judge(&ppo.rollout.reward)).unwrap_or(model);
    let loaded = models::open(name, &mut |line| eprintln!("{line}")).context("`value_model`")?;
    let text = prepared.text.assets();
    if vocabulary(&loaded.text) != vocabulary(text) {
        bail!(
            "`value_model`: the vocabulary of {name} is not the policy's, whose tokens it is to judge\n  \
             fix: name a model of the same family, or leave value_model out"
        );
    }
    let backend = machine::open_precision(plan.compute, plan.threads);
    let options = TransformerOptions { value_head: true, keep_reference: false, ..stage.transformer_options() };
    let engine = Transformer::new(backend, loaded, stage.tuning.clone(), plan.seed, options)?;
    eprintln!("value model: {name}, {} parameters are trained", engine.parameters().1);
    let critic =
        Critic::new(Box::new(engine), (ppo.value_learning_rate / stage.training.schedule.learning_rate) as f32);
    let pretraining = ppo
        .pretraining
        .as_ref()
        .map(|beside| Pretraining::new(prepared.pretraining.clone(), beside.coefficient, beside.batch_size, seed));
    let rollouts = company.rollouts(ppo.rollout.drawing(seed));
    Ok(PpoTask::new(ppo.method(stage.policy_reference()), rollouts, critic, ppo.controller(), pretraining))
}

/// The reward model, if a single one judges: its values are where a value model should start (Ouyang 2022, section 3.5).
fn judge(terms: &[TermPlan]) -> Option<&str> {
    let mut models = terms.iter().filter_map(|term| match &term.kind {
        TermKind::Model(plan) => Some(&plan.paths),
        _ => None,
    });
    match (models.next().map(Vec::as_slice), models.next()) {
        (Some([path]), None) if !is_ensemble(path) => Some(path),
        _ => None,
    }
}

/// Every token with its number, whatever else a tokenizer's file says.
fn vocabulary(text: &TextAssets) -> (Json, BTreeMap<String, u64>) {
    let mut tokenizer: Json = serde_json::from_slice(&text.tokenizer_json).unwrap_or_default();
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let added =
        added.filter_map(|token| Some((token["content"].as_str()?.to_owned(), token["id"].as_u64()?))).collect();
    (tokenizer["model"]["vocab"].take(), added)
}
