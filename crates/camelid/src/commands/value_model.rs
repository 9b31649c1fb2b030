//! The models of a ppo stage: the policy's task with a value model beside it.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use camelid_model::{Engine, Transformer, TransformerOptions};
use camelid_text::{Text, TextAssets};
use camelid_train::{Critic, PpoTask, Pretraining};
use serde_json::Value as Json;

use super::prepare::Prepared;
use crate::recipe::{Plan, PpoPlan, StagePlan};
use crate::{machine, models};

/// Loads the value model, from `model` with a head of zeros where the recipe names none.
pub(crate) fn ppo_task(
    plan: &Plan,
    stage: &StagePlan,
    ppo: &PpoPlan,
    model: &str,
    prepared: &Prepared,
) -> anyhow::Result<PpoTask> {
    let seed = stage.training.seed;
    let name = ppo.value_model.as_deref().unwrap_or(model);
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
    let rollouts = ppo.rollout.rollouts(seed, Text::new(text.clone())?);
    Ok(PpoTask::new(ppo.method(stage.policy_reference()), rollouts, critic, ppo.controller(), pretraining))
}

/// Every token with its number, whatever else a tokenizer's file says.
fn vocabulary(text: &TextAssets) -> (Json, BTreeMap<String, u64>) {
    let mut tokenizer: Json = serde_json::from_slice(&text.tokenizer_json).unwrap_or_default();
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let added =
        added.filter_map(|token| Some((token["content"].as_str()?.to_owned(), token["id"].as_u64()?))).collect();
    (tokenizer["model"]["vocab"].take(), added)
}
