//! The method of a group stage: reinforcement learning on samples with rewards that can be checked.

use camelid_model::Want;
use camelid_objectives::reinforcement::group::Deviation;
use camelid_objectives::reinforcement::kl::Estimator;
use camelid_objectives::reinforcement::policy_gradient::{Clip, Denominator, KlTerm, PolicyGradient, Ratio};
use camelid_objectives::reinforcement::shaping::{MissingEnd, Shaping};
use camelid_train::{Baseline, Drawing, Evaluation, GroupTask};
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::rewards::{TermPlan, needs_expected, refuse_per_step, resolve_rewards};
use super::rollout::Company;
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

/// Where a KL penalty is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KlPlace {
    /// A term of the loss (`k3`, weighed by the ratio).
    Loss,
    /// A part of each token's reward (`k1`).
    Reward,
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
    pub(crate) kl_in: KlPlace,
    pub(crate) clip_low: f64,
    pub(crate) clip_high: f64,
    pub(crate) entropy_coefficient: f64,
    pub(crate) missing_end_penalty: f64,
}

/// What a method is where a recipe says nothing else.
struct Method {
    name: &'static str,
    clip: (f64, f64),
    kl: (f64, KlPlace),
    /// Answers to each prompt, and the fewest it can do with.
    samples: (usize, usize),
}

const fn method(name: &'static str, clip: (f64, f64), kl: (f64, KlPlace), samples: (usize, usize)) -> Method {
    Method { name, clip, kl, samples }
}

/// Name, clip range on both sides, KL coefficient and place, samples: the papers' defaults.
const METHODS: [Method; 9] = [
    // Shao 2024 (arXiv 2402.03300).
    method("grpo", (0.2, 0.2), (0.04, KlPlace::Loss), (8, 2)),
    // Liu 2025 (arXiv 2503.20783).
    method("dr-grpo", (0.2, 0.2), (0.0, KlPlace::Loss), (8, 2)),
    // Yu 2025 (arXiv 2503.14476).
    method("dapo", (0.2, 0.28), (0.0, KlPlace::Loss), (8, 2)),
    // Zheng 2025 (arXiv 2507.18071).
    method("gspo", (3e-4, 4e-4), (0.0, KlPlace::Loss), (8, 2)),
    // Ahmadian 2024 (arXiv 2402.14740).
    method("rloo", (0.2, 0.2), (0.05, KlPlace::Reward), (8, 2)),
    // Williams 1992, with the group's mean as baseline.
    method("reinforce", (0.2, 0.2), (0.0, KlPlace::Reward), (8, 2)),
    // Li 2023 (arXiv 2310.10505).
    method("remax", (0.2, 0.2), (0.05, KlPlace::Reward), (1, 1)),
    // Hu 2025 (arXiv 2501.03262), without and with groups.
    method("reinforce++", (0.2, 0.2), (0.01, KlPlace::Reward), (1, 1)),
    method("reinforce++-baseline", (0.2, 0.2), (0.01, KlPlace::Reward), (8, 2)),
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
            kl: (self.kl_coefficient > 0.0 && self.kl_in == KlPlace::Loss).then_some(kl),
            entropy_coefficient: self.entropy_coefficient,
        }
    }

    fn baseline(&self) -> Baseline {
        match self.loss {
            "rloo" => Baseline::LeaveOneOut,
            "remax" => Baseline::Greedy,
            "reinforce++" => Baseline::Step { of_groups: false },
            "reinforce++-baseline" => Baseline::Step { of_groups: true },
            "dr-grpo" | "reinforce" => Baseline::Group(Deviation::One),
            _ => Baseline::Group(Deviation::Group),
        }
    }

    /// Whether advantages have mean 0 and deviation 1 over a step's tokens.
    pub(crate) fn normalises(&self) -> bool {
        matches!(self.baseline(), Baseline::Step { .. })
    }

    /// `reference` is the forward pass of the policy that penalties are relative to.
    pub(crate) fn task(&self, seed: u64, company: Company, reference: Want) -> GroupTask {
        let evaluation = match self.evaluation {
            EvaluationChoice::Greedy => Evaluation::Greedy,
            EvaluationChoice::Sampled => Evaluation::Sampled,
        };
        let drawing = Drawing { samples: self.samples, answer_tokens: self.answer_tokens, seed, evaluation };
        GroupTask {
            method: self.method(),
            baseline: self.baseline(),
            shaping: Shaping {
                kl_coefficient: if self.kl_in == KlPlace::Reward { self.kl_coefficient } else { 0.0 },
                missing_end: MissingEnd::Penalty(self.missing_end_penalty),
                ..Shaping::default()
            },
            reference,
            rollouts: company.rollouts(drawing),
        }
    }

    /// Whether prompts must come with the answers that are right.
    pub(crate) fn needs_expected(&self) -> bool {
        needs_expected(&self.reward)
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
        ("kl_in", spec.kl_in.is_some()),
        ("clip_low", spec.clip_low.is_some()),
        ("clip_high", spec.clip_high.is_some()),
        ("entropy_coefficient", spec.entropy_coefficient.is_some()),
        ("missing_end_penalty", spec.missing_end_penalty.is_some()),
    ];
    named.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

pub(crate) fn resolve_group(place: &str, spec: &StageSpec) -> Result<GroupPlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let name = spec.loss.as_deref().unwrap_or("grpo");
    let Some(&Method { name: loss, clip, kl, samples }) = METHODS.iter().find(|method| method.name == name) else {
        let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
        return error(
            format!("`loss` is {name:?}, which no group stage has"),
            &format!("use one of {}", names.join(", ")),
        );
    };
    let plan = GroupPlan {
        loss,
        reward: resolve_rewards(place, spec.reward.as_ref())?,
        evaluation: spec.evaluation.unwrap_or_default(),
        samples: spec.samples.unwrap_or(samples.0),
        answer_tokens: spec.answer_tokens.unwrap_or(128),
        kl_coefficient: spec.kl_coefficient.unwrap_or(kl.0),
        kl_in: spec.kl_in.unwrap_or(kl.1),
        clip_low: spec.clip_low.unwrap_or(clip.0),
        clip_high: spec.clip_high.unwrap_or(clip.1),
        entropy_coefficient: spec.entropy_coefficient.unwrap_or(0.0),
        missing_end_penalty: spec.missing_end_penalty.unwrap_or(0.0),
    };
    if matches!(plan.loss, "rloo" | "gspo") {
        refuse_per_step(place, &plan.reward, &format!("loss = {:?}", plan.loss))?;
    }
    if plan.samples > 128 || plan.samples < samples.1 {
        let fix = match samples.1 {
            1 => "use 1 to 128",
            _ => "use 2 to 128: answers are compared with each other",
        };
        return error(format!("`samples` is {}", plan.samples), fix);
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
    Ok(plan)
}
