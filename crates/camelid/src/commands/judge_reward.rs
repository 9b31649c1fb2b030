//! The judge of a stage's answers: a server, or a model that is loaded here.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use camelid_generate::Sampling;
use camelid_generate::client::{
    CachedGenerator, Generator, RemoteGenerator, RemoteSettings, ResponseCache, ServiceGenerator,
};
use camelid_generate::engine::{EngineService, Limits};
use camelid_kernels::Cpu;
use camelid_model::{Generate, Transformer, TransformerOptions, Tuning};
use camelid_text::Text;
use camelid_train::rewards::{JudgeReward, Unparsed};

use crate::models;
use crate::recipe::{JudgePlace, JudgePlan};

/// Answers that are judged at a time, rows of cache for them and tokens of prompts that are computed at once.
const AT_ONCE: usize = 16;
const CACHE_TOKENS: usize = 16_384;
const PROMPT_TOKENS: usize = 1024;
/// Longer prompts and answers are refused.
const CONTEXT: usize = 4096;

/// Opens a judge that keeps its answers in a file.
pub(crate) fn open(plan: &JudgePlan, judgements: &Path, backend: &dyn Fn() -> Cpu) -> anyhow::Result<JudgeReward> {
    let (Some(scale), Some(wording)) = (plan.scale(), plan.wording()) else {
        bail!("`judge` has no scale or prompt\n  fix: this is a defect of the plan: please report it");
    };
    let (judge, chat): (Box<dyn Generator>, bool) = match &plan.place {
        JudgePlace::Server { server, model, key_variable, concurrency, attempts } => {
            let settings = RemoteSettings {
                key_variable: key_variable.clone(),
                concurrency: *concurrency,
                attempts: *attempts,
                ..RemoteSettings::new(server, model)
            };
            (Box::new(RemoteGenerator::new(settings).context("`judge`")?), true)
        }
        JudgePlace::Here { model } => here(model, backend)?,
    };
    if let Some(folder) = judgements.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let judge = Box::new(CachedGenerator::new(judge, ResponseCache::open(judgements)?));
    Ok(JudgeReward { judge, wording, scale, chat, max_unparsed: plan.max_unparsed, unparsed: Unparsed::default() })
}

/// A model in this process, and whether it has a chat template.
fn here(model: &str, backend: &dyn Fn() -> Cpu) -> anyhow::Result<(Box<dyn Generator>, bool)> {
    let loaded = models::open(model, &mut |line| eprintln!("{line}")).context("`judge.model`")?;
    ensure!(
        !loaded.has_value_head(),
        "`judge.model`: {model} is a reward model, which writes no answers\n  fix: use `model` instead of `judge`, or name a language \
         model"
    );
    let text = Arc::new(Text::new(loaded.text.clone())?);
    let chat = text.template().is_ok();
    let engine = Transformer::new(backend(), loaded, Tuning::Frozen, 0, TransformerOptions::default())?;
    let context = CONTEXT.min(engine.max_positions());
    let cache_tokens = CACHE_TOKENS.max(context.next_multiple_of(64));
    let limits = Limits { context, cache_tokens, samples: AT_ONCE, prompt_tokens: PROMPT_TOKENS };
    let service = EngineService::start(Box::new(engine), Arc::clone(&text), limits, usize::MAX);
    let service = Arc::new(service.context("the judge's thread cannot be started")?);
    let generator = ServiceGenerator::new(service, text, model, Sampling::greedy());
    Ok((Box::new(generator), chat))
}
