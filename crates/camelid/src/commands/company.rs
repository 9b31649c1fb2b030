//! What a policy that learns from its own answers needs beside it: who judges them, and who draws them.

use std::path::Path;

use anyhow::{Context, bail};
use camelid_generate::client::{PolicyServer, RemoteSettings};
use camelid_kernels::Cpu;
use camelid_objectives::Reduced;
use camelid_objectives::reward::sentiment::Lexicon;
use camelid_text::{Text, TextAssets};
use camelid_train::rewards::{
    CheckerReward, LengthReward, ModelReward, PatternReward, Reward, Rewards, SentimentReward, StepsGiven, StepsReward,
    Term,
};
use camelid_train::{Answerer, RolloutServer};

use super::judge_reward;
use crate::machine;
use crate::recipe::{Company, ModelPlan, Plan, RolloutServerPlan, StagePlan, StepsPlan, TermKind, TermPlan};
use crate::reward_models::{self, Opened, Verdict};

/// Opens everything that a stage's rollouts name.
pub(crate) fn open(plan: &Plan, stage: &StagePlan, directory: &Path, text: &TextAssets) -> anyhow::Result<Company> {
    Ok(Company {
        text: Text::new(text.clone())?,
        rewards: rewards(plan, stage.rewards(), stage.training.tokens_per_micro_batch, text, &directory.join(JUDGE))?,
        answerer: answerer(stage.rollout_server.as_ref(), directory)?,
    })
}

/// The folder in a stage's directory where judges' answers are kept, so that none is asked for twice when a run goes on.
pub(crate) const JUDGE: &str = "judge";

/// Opens what `terms` name. Reward models compute at most `token_budget` rows at once; `text` is the policy's; judges keep their
/// answers in `judgements`, which is made where there is a judge.
pub(crate) fn rewards(
    plan: &Plan,
    terms: &[TermPlan],
    token_budget: usize,
    text: &TextAssets,
    judgements: &Path,
) -> anyhow::Result<Rewards> {
    let opener = Opener { plan, token_budget, text, judgements };
    let open =
        |(number, term): (usize, &TermPlan)| Ok(Term { weight: term.weight, reward: opener.reward(number + 1, term)? });
    Ok(Rewards { terms: terms.iter().enumerate().map(open).collect::<anyhow::Result<_>>()? })
}

struct Opener<'a> {
    plan: &'a Plan,
    token_budget: usize,
    text: &'a TextAssets,
    judgements: &'a Path,
}

impl Opener<'_> {
    fn reward(&self, number: usize, term: &TermPlan) -> anyhow::Result<Box<dyn Reward>> {
        let backend = || machine::open_precision(self.plan.compute, self.plan.threads);
        let Self { token_budget, text, .. } = *self;
        Ok(match &term.kind {
            TermKind::Check(check) => Box::new(CheckerReward((*check).into())),
            TermKind::Length(length) => Box::new(LengthReward((*length).into())),
            TermKind::Model(plan) => {
                let Opened { models, text, .. } = judges(plan, &backend)?;
                Box::new(ModelReward { models, text, token_budget })
            }
            TermKind::Steps(plan) => Box::new(steps(plan, token_budget, &backend, text)?),
            TermKind::Judge(plan) => {
                let path = self.judgements.join(format!("{number}.jsonl"));
                Box::new(judge_reward::open(plan, &path, &backend)?)
            }
            TermKind::Lexicon { path, with_prompt } => {
                Box::new(SentimentReward { lexicon: read_lexicon(path)?, with_prompt: *with_prompt })
            }
            TermKind::Pattern(pattern) => Box::new(PatternReward(regex::Regex::new(pattern)?)),
        })
    }
}

/// A policy that is optimised for a reward finds what the reward overlooks, so that a model which held-out comparisons speak
/// against is not used unasked.
fn judges(plan: &ModelPlan, backend: &dyn Fn() -> Cpu) -> anyhow::Result<Opened> {
    let opened = reward_models::open(&plan.paths, plan.combine(), backend, &mut |line| eprintln!("{line}"))?;
    let objections = match &opened.verdict {
        Verdict::Certified => Vec::new(),
        Verdict::Objections(list) => list.clone(),
        Verdict::Unknown => vec!["it has no reward_report.json: nobody has looked".to_owned()],
    };
    let name = plan.paths.join(", ");
    if !objections.is_empty() && !plan.force {
        bail!(
            "the reward model {name} is not certified: {}\n  fix: train it on more or better comparisons with some held out, or \
             set `force = true` beside its name",
            objections.join("; ")
        );
    }
    for objection in &objections {
        eprintln!("warning: the reward model {name} is used although {objection}");
    }
    Ok(opened)
}

fn steps(
    plan: &StepsPlan,
    token_budget: usize,
    backend: &dyn Fn() -> Cpu,
    policy: &TextAssets,
) -> anyhow::Result<StepsReward> {
    let Opened { models, text, of_comparisons, .. } = judges(&plan.models, backend)?;
    if let Some(name) = of_comparisons {
        bail!(
            "`steps`: {name} was trained on comparisons of whole answers, and its values are no probabilities of steps\n  fix: \
             name what a stage with kind = \"reward\" and loss = \"process\" wrote, or use `model` instead of `steps`"
        );
    }
    let given = match plan.aggregate {
        Some(aggregate) => StepsGiven::Once(aggregate.into()),
        None => StepsGiven::Each(Box::new(Text::new(policy.clone())?)),
    };
    Ok(StepsReward {
        models,
        text,
        separator: plan.separator.clone(),
        given,
        token_budget,
        counted: Reduced::default(),
    })
}

pub(crate) fn read_lexicon(path: &Path) -> anyhow::Result<Lexicon> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read\n  fix: name a lexicon", path.display()))?;
    Lexicon::parse(&text).map_err(|error| anyhow::anyhow!("{}, {error}", path.display()))
}

fn answerer(plan: Option<&RolloutServerPlan>, directory: &Path) -> anyhow::Result<Answerer> {
    let Some(plan) = plan else { return Ok(Answerer::Own) };
    let settings =
        RemoteSettings { key_variable: plan.key_variable.clone(), ..RemoteSettings::new(&plan.url, &plan.model) };
    let weights = directory.join("rollout-weights");
    Ok(Answerer::Server(Box::new(RolloutServer { server: PolicyServer::new(settings)?, weights })))
}
