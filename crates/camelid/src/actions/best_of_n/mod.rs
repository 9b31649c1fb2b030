//! `kind = "best-of-n"`: many answers to each prompt, scored; the best of them as records, and what choosing does to the rewards.
//!
//! Answers are drawn as in reinforcement learning, from the policy's own distribution, and written as they come, so that nothing is
//! drawn twice. They can be scored again by another stage (`answers`): one pass of drawing serves every reward and every n.

mod answers;
mod curve;
mod draw;
mod export;

use std::path::{Path, PathBuf};

use camelid_report::Section;
use camelid_text::Text;
use camelid_train::{DISTANCES, METRICS};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Action, ActionKind, Finish, Setting};
use crate::commands::company::JUDGE;
use crate::commands::read_prompts::{Prompts, read_prompts};
use crate::recipe::{
    DataSource, Plan, RecipeError, RewardSpec, Sources, TermPlan, needs_expected, refuse_per_step, resolve_rewards,
    resolve_sources,
};
use crate::report::over_optimisation::{self, LAWS};

/// The stage as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BestOfNSpec {
    /// Prompts, or demonstrations whose last answers are expected.
    data: Sources,
    /// Answers to each prompt: the highest n.
    samples: Option<usize>,
    answer_tokens: Option<usize>,
    /// Most tokens of a prompt and its answer.
    max_length: Option<usize>,
    /// By what the best is chosen.
    reward: Option<RewardSpec>,
    /// What it should have been chosen by: only looked at.
    gold_reward: Option<RewardSpec>,
    /// So many of the best answers to a prompt become demonstrations.
    keep: Option<usize>,
    /// What another such stage drew from the same model for the same prompts, instead of drawing.
    answers: Option<PathBuf>,
    max_reject_share: Option<f64>,
    /// Rows that a reward model computes at once.
    tokens_per_micro_batch: Option<usize>,
}

/// The stage, resolved.
#[derive(Debug, Serialize)]
pub(crate) struct BestOfN {
    data: Vec<DataSource>,
    samples: usize,
    answer_tokens: usize,
    max_length: usize,
    reward: Vec<TermPlan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gold_reward: Option<Vec<TermPlan>>,
    keep: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<PathBuf>,
    max_reject_share: f64,
    tokens_per_micro_batch: usize,
}

/// More samples of a prompt than this are no matter of a run, but of a cluster.
const MOST_SAMPLES: usize = 65_536;

impl BestOfNSpec {
    pub(crate) fn resolve(&self, recipe: &Path, place: &str) -> Result<BestOfN, RecipeError> {
        let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
        let gold = self.gold_reward.as_ref();
        let plan = BestOfN {
            data: resolve_sources(recipe, place, "data", &self.data)?,
            samples: self.samples.unwrap_or(64),
            answer_tokens: self.answer_tokens.unwrap_or(128),
            max_length: self.max_length.unwrap_or(1024),
            reward: resolve_rewards(place, self.reward.as_ref())?,
            gold_reward: gold.map(|gold| resolve_rewards(&format!("{place}, gold_reward"), Some(gold))).transpose()?,
            keep: self.keep.unwrap_or(1),
            answers: self.answers.clone(),
            max_reject_share: self.max_reject_share.unwrap_or(0.05),
            tokens_per_micro_batch: self.tokens_per_micro_batch.unwrap_or(2048),
        };
        let gold = plan.gold_reward.as_deref().unwrap_or_default();
        for terms in [plan.reward.as_slice(), gold] {
            refuse_per_step(place, terms, "choosing among answers")?;
        }
        if !(2..=MOST_SAMPLES).contains(&plan.samples) {
            return error(format!("`samples` is {}", plan.samples), "use 2 to 65536; 64 is usual");
        }
        if plan.keep == 0 || plan.keep >= plan.samples {
            let what = format!("`keep` is {} of {} samples", plan.keep, plan.samples);
            return error(what, "use at least 1 and less than `samples`");
        }
        if plan.answer_tokens == 0 || plan.answer_tokens >= plan.max_length {
            let what = format!("`answer_tokens` is {} of `max_length` {}", plan.answer_tokens, plan.max_length);
            return error(what, "use at least 1, and leave room for the prompt");
        }
        if plan.tokens_per_micro_batch == 0 {
            return error("`tokens_per_micro_batch` is 0".into(), "use at least 1; 2048 is usual");
        }
        if !(0.0..=1.0).contains(&plan.max_reject_share) {
            return error(format!("`max_reject_share` is {}", plan.max_reject_share), "use a share from 0 to 1");
        }
        Ok(plan)
    }
}

impl BestOfN {
    fn prompts(&self, text: &Text) -> anyhow::Result<Prompts> {
        let longest = self.max_length - self.answer_tokens;
        let gold = self.gold_reward.as_deref().unwrap_or_default();
        let needs_expected = needs_expected(&self.reward) || needs_expected(gold);
        let prompts = read_prompts(text, &self.data, 0, longest, needs_expected, &mut |line| eprintln!("{line}"))?;
        prompts.check(self.max_reject_share)?;
        Ok(prompts)
    }
}

impl Action for BestOfN {
    fn kind(&self) -> ActionKind {
        ActionKind::BestOfN
    }

    fn view(&self) -> Json {
        json!(self)
    }

    fn inputs(&self, _setting: &Setting<'_>) -> Vec<PathBuf> {
        self.data.iter().map(|source| source.path.clone()).collect()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &[answers::FILE, export::BEST, export::PAIRS, "rejects.jsonl", METRICS, DISTANCES, LAWS, JUDGE]
    }

    fn outlook(&self, _plan: &Plan, _index: usize, text: &Text) -> anyhow::Result<Vec<(String, String)>> {
        let prompts = self.prompts(text)?.examples.len();
        let answers = prompts * self.samples;
        let fact = |name: &str, value: String| (name.to_owned(), value);
        Ok(vec![
            fact("prompts", prompts.to_string()),
            fact("answers", format!("{answers} of at most {} tokens", self.answer_tokens)),
            fact("trained", "nothing: the next stage goes on with the model that this one is given".into()),
        ])
    }

    fn run(&self, setting: &Setting<'_>) -> anyhow::Result<Finish> {
        let Some((prompts, groups)) = draw::answers(self, setting)? else { return Ok(Finish::Stopped) };
        export::write(setting.directory, &prompts, &groups, self.keep)?;
        curve::write(setting.directory, &groups)?;
        if let Some(words) = over_optimisation::conclude(setting.directory)? {
            eprintln!("{words}");
        }
        Ok(Finish::Done)
    }
}

/// What a report shows of such a stage besides its curve, which is shown as any stage's.
pub(crate) fn sections(_directory: &Path) -> Vec<Section> {
    Vec::new()
}
