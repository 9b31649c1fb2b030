//! The method of a group stage: reinforcement learning on samples with rewards that can be checked.

use camelid_objectives::reinforcement::group::Deviation;
use camelid_objectives::reinforcement::kl::Estimator;
use camelid_objectives::reinforcement::policy_gradient::{Clip, Denominator, KlTerm, PolicyGradient, Ratio};
use camelid_objectives::reinforcement::shaping::{MissingEnd, Shaping};
use camelid_text::Text;
use camelid_train::{Baseline, Drawing, Evaluation, GroupTask, Rollouts};
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::rewards::{TermPlan, build_rewards, resolve_rewards};
use super::spec::StageSpec;

/// How held-out prompts are answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EvaluationChoice {
    /// The most likely token each time.
    #[default]
    Greedy,
    /// As in training.
    Sampled,
}

/// A group stage, resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupPlan {
    pub(crate) loss: &'static str,
    pub(crate) reward: Vec<TermPlan>,
    pub(crate) evaluation: EvaluationChoice,
    pub(crate) samples: usize,
    pub(crate) answer_tokens: usize,
    pub(crate) kl_coefficient: f64,
    pub(crate) clip_low: f64,
    pub(crate) clip_high: f64,
    pub(crate) entropy_coefficient: f64,
    pub(crate) missing_end_penalty: f64,
}

/// Name, clip range on both sides, KL coefficient: the papers' defaults.
const METHODS: [(&str, f64, f64, f64); 6] = [
    // Shao 2024 (arXiv 2402.03300).
    ("grpo", 0.2, 0.2, 0.04),
    // Liu 2025 (arXiv 2503.20783).
    ("dr-grpo", 0.2, 0.2, 0.0),
    // Yu 2025 (arXiv 2503.14476).
    ("dapo", 0.2, 0.28, 0.0),
    // Zheng 2025 (arXiv 2507.18071).
    ("gspo", 3e-4, 4e-4, 0.0),
    // Ahmadian 2024 (arXiv 2402.14740).
    ("rloo", 0.2, 0.2, 0.05),
    // Williams 1992, with the group's mean as baseline.
    ("reinforce", 0.2, 0.2, 0.0),
];

impl GroupPlan {
    fn method(&self) -> PolicyGradient {
        let (ratio, denominator) = match self.loss {
            "grpo" => (Ratio::Token, Denominator::Sequences),
            "dr-grpo" => (Ratio::Token, Denominator::Constant(self.answer_tokens as f64)),
            "gspo" => (Ratio::Sequence, Denominator::Sequences),
            "rloo" => (Ratio::Product, Denominator::Sequences),
            _ => (Ratio::Token, Denominator::Tokens),
        };
        let kl = KlTerm { coefficient: self.kl_coefficient, estimator: Estimator::K3, importance_weighted: true };
        PolicyGradient {
            clip: Clip { low: self.clip_low, high: self.clip_high, dual: None },
            ratio,
            denominator,
            kl: (self.kl_coefficient > 0.0).then_some(kl),
            entropy_coefficient: self.entropy_coefficient,
        }
    }

    fn baseline(&self) -> Baseline {
        match self.loss {
            "rloo" => Baseline::LeaveOneOut,
            "dr-grpo" | "reinforce" => Baseline::Group(Deviation::One),
            _ => Baseline::Group(Deviation::Group),
        }
    }

    pub(crate) fn task(&self, seed: u64, text: Text) -> GroupTask {
        let evaluation = match self.evaluation {
            EvaluationChoice::Greedy => Evaluation::Greedy,
            EvaluationChoice::Sampled => Evaluation::Sampled,
        };
        let drawing = Drawing { samples: self.samples, answer_tokens: self.answer_tokens, seed, evaluation };
        GroupTask {
            method: self.method(),
            baseline: self.baseline(),
            shaping: Shaping { missing_end: MissingEnd::Penalty(self.missing_end_penalty), ..Shaping::default() },
            rollouts: Rollouts { drawing, text, rewards: build_rewards(&self.reward) },
        }
    }

    /// Whether prompts must come with the answers that are right.
    pub(crate) fn needs_expected(&self) -> bool {
        build_rewards(&self.reward).needs_expected()
    }
}

/// What a recipe says that only a group stage reads.
pub(crate) fn group_keys(spec: &StageSpec) -> Vec<&'static str> {
    let named = [
        ("reward", spec.reward.is_some()),
        ("evaluation", spec.evaluation.is_some()),
        ("inner_epochs", spec.inner_epochs.is_some()),
        ("mini_batches", spec.mini_batches.is_some()),
        ("samples", spec.samples.is_some()),
        ("answer_tokens", spec.answer_tokens.is_some()),
        ("kl_coefficient", spec.kl_coefficient.is_some()),
        ("clip_low", spec.clip_low.is_some()),
        ("clip_high", spec.clip_high.is_some()),
        ("entropy_coefficient", spec.entropy_coefficient.is_some()),
        ("missing_end_penalty", spec.missing_end_penalty.is_some()),
    ];
    named.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

pub(crate) fn resolve_group(place: &str, spec: &StageSpec, has_adapter: bool) -> Result<GroupPlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let name = spec.loss.as_deref().unwrap_or("grpo");
    let Some((loss, clip_low, clip_high, kl_coefficient)) = METHODS.into_iter().find(|(known, ..)| *known == name)
    else {
        let names: Vec<&str> = METHODS.iter().map(|(name, ..)| *name).collect();
        return error(
            format!("`loss` is {name:?}, which no group stage has"),
            &format!("use one of {}", names.join(", ")),
        );
    };
    let plan = GroupPlan {
        loss,
        reward: resolve_rewards(place, spec.reward.as_ref())?,
        evaluation: spec.evaluation.unwrap_or_default(),
        samples: spec.samples.unwrap_or(8),
        answer_tokens: spec.answer_tokens.unwrap_or(128),
        kl_coefficient: spec.kl_coefficient.unwrap_or(if has_adapter { kl_coefficient } else { 0.0 }),
        clip_low: spec.clip_low.unwrap_or(clip_low),
        clip_high: spec.clip_high.unwrap_or(clip_high),
        entropy_coefficient: spec.entropy_coefficient.unwrap_or(0.0),
        missing_end_penalty: spec.missing_end_penalty.unwrap_or(0.0),
    };
    if plan.samples < 2 || plan.samples > 128 {
        return error(format!("`samples` is {}", plan.samples), "use 2 to 128: answers are compared with each other");
    }
    if plan.answer_tokens == 0 {
        return error("`answer_tokens` is 0".into(), "use at least 1; 128 is usual");
    }
    for (key, value) in [
        ("kl_coefficient", plan.kl_coefficient),
        ("clip_low", plan.clip_low),
        ("clip_high", plan.clip_high),
        ("entropy_coefficient", plan.entropy_coefficient),
        ("missing_end_penalty", plan.missing_end_penalty),
    ] {
        if !(value >= 0.0 && value.is_finite()) {
            return error(format!("`{key}` is {value}"), "use a number from 0 up");
        }
    }
    if plan.clip_low >= 1.0 {
        return error(format!("`clip_low` is {}", plan.clip_low), "use a number below 1; 0.2 is usual");
    }
    if plan.kl_coefficient > 0.0 && !has_adapter {
        let what = "`kl_coefficient` needs the starting policy, which full tuning does not keep".to_owned();
        return error(what, "use `lora`, or leave `kl_coefficient` out");
    }
    Ok(plan)
}
