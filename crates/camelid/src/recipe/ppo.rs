//! The method of a ppo stage: rewards of tokens, a value model, and what holds the policy where it was.

use std::path::Path;

use camelid_model::Want;
use camelid_objectives::reinforcement::kl::{AdaptiveController, Estimator, FixedController};
use camelid_objectives::reinforcement::policy_gradient::{Clip, PolicyGradient};
use camelid_objectives::reinforcement::ppo::{PRETRAINING_COEFFICIENT, Ppo};
use camelid_objectives::reinforcement::shaping::{MissingEnd, Scale};
use camelid_train::{Controller, PpoMethod, ScoreScale, TrainingPlan};
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::loss::preference_keys;
use super::rewards::resolve_rewards;
use super::rollout::RolloutPlan;
use super::sources::{DataSource, resolve_sources};
use super::spec::{Sources, StageSpec};

/// The key `kl`: the penalty in the rewards. With a target its coefficient adapts.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KlSpec {
    coefficient: Option<f64>,
    /// Nats over a whole answer.
    target: Option<f64>,
    /// Answers after which the coefficient has moved by a fifth.
    horizon: Option<f64>,
    estimator: Option<EstimatorChoice>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EstimatorChoice {
    /// The one whose penalty has the gradient of the KL.
    #[default]
    K1,
    K2,
    K3,
}

/// The key `score_scale`: scores less `mean`, over `deviation`, then bounded; both of all scores so far with `running`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScoreScaleSpec {
    running: Option<bool>,
    mean: Option<f64>,
    deviation: Option<f64>,
    bound: Option<f64>,
}

/// The key `pretraining`: other records whose likelihood is held up (PPO-ptx).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PretrainingSpec {
    data: Sources,
    coefficient: Option<f64>,
    /// Records of an update.
    batch_size: Option<usize>,
}

impl PretrainingSpec {
    pub(crate) fn sources(&self) -> &Sources {
        &self.data
    }
}

/// A ppo stage, resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PpoPlan {
    #[serde(flatten)]
    pub(crate) rollout: RolloutPlan,
    /// Replaces the score of an answer that reached the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_end_score: Option<f64>,
    kl: KlPlan,
    /// What the value model starts from, if not from the policy's own starting point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value_model: Option<String>,
    /// Highest, on the policy's schedule.
    pub(crate) value_learning_rate: f64,
    value_coefficient: f64,
    /// 0 is off.
    value_clip: f64,
    clip_low: f64,
    clip_high: f64,
    entropy_coefficient: f64,
    discount: f64,
    gae_lambda: f64,
    whiten_advantages: bool,
    whiten_rewards: bool,
    score_scale: ScalePlan,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_kl: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pretraining: Option<PretrainingPlan>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct KlPlan {
    coefficient: f64,
    estimator: EstimatorChoice,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    adaptive: Option<AdaptivePlan>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct AdaptivePlan {
    target: f64,
    horizon: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct ScalePlan {
    running: bool,
    mean: f64,
    deviation: f64,
    /// 0 is off.
    bound: f64,
}

/// Other records beside the policy's answers, resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PretrainingPlan {
    pub(crate) data: Vec<DataSource>,
    pub(crate) coefficient: f64,
    pub(crate) batch_size: usize,
}

/// A bound that 0 takes away.
fn bound(value: f64) -> f64 {
    if value == 0.0 { f64::INFINITY } else { value }
}

impl PpoPlan {
    /// Whether answers are penalised for leaving the reference.
    pub(crate) fn uses_reference(&self) -> bool {
        self.kl.coefficient > 0.0
    }

    pub(crate) fn whitens_advantages(&self) -> bool {
        self.whiten_advantages
    }

    pub(crate) fn method(&self, reference: Option<Want>) -> PpoMethod {
        let clip = Clip { low: self.clip_low, high: self.clip_high, dual: None };
        let policy = PolicyGradient {
            clip,
            entropy_coefficient: self.entropy_coefficient,
            ..PolicyGradient::new(self.clip_high)
        };
        let ScalePlan { running, mean, deviation, bound: most } = self.score_scale;
        PpoMethod {
            loss: Ppo { policy, value_clip: bound(self.value_clip), value_coefficient: self.value_coefficient },
            discount: self.discount,
            lambda: self.gae_lambda,
            kl_estimator: match self.kl.estimator {
                EstimatorChoice::K1 => Estimator::K1,
                EstimatorChoice::K2 => Estimator::K2,
                EstimatorChoice::K3 => Estimator::K3,
            },
            missing_end: match self.missing_end_score {
                Some(score) => MissingEnd::Fixed(score),
                None => MissingEnd::Penalty(self.rollout.missing_end_penalty),
            },
            score_scale: if running {
                ScoreScale::Running { bound: bound(most) }
            } else {
                ScoreScale::Fixed(Scale { mean, deviation, bound: bound(most) })
            },
            whiten_rewards: self.whiten_rewards,
            whiten_advantages: self.whiten_advantages,
            target_kl: self.target_kl.unwrap_or(f64::INFINITY),
            reference,
        }
    }

    pub(crate) fn controller(&self) -> Controller {
        let coefficient = self.kl.coefficient;
        match self.kl.adaptive {
            Some(AdaptivePlan { target, horizon }) => {
                Controller::Adaptive(AdaptiveController::new(coefficient, target, horizon))
            }
            None => Controller::Fixed(FixedController { coefficient }),
        }
    }
}

/// What a recipe says that only a ppo stage reads.
pub(crate) fn ppo_keys(spec: &StageSpec) -> Vec<&'static str> {
    let named = [
        ("kl", spec.kl.is_some()),
        ("value_model", spec.value_model.is_some()),
        ("value_learning_rate", spec.value_learning_rate.is_some()),
        ("value_coefficient", spec.value_coefficient.is_some()),
        ("value_clip", spec.value_clip.is_some()),
        ("discount", spec.discount.is_some()),
        ("gae_lambda", spec.gae_lambda.is_some()),
        ("whiten_advantages", spec.whiten_advantages.is_some()),
        ("whiten_rewards", spec.whiten_rewards.is_some()),
        ("score_scale", spec.score_scale.is_some()),
        ("missing_end_score", spec.missing_end_score.is_some()),
        ("target_kl", spec.target_kl.is_some()),
        ("pretraining", spec.pretraining.is_some()),
    ];
    named.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

pub(crate) fn resolve_ppo(
    path: &Path,
    place: &str,
    spec: &StageSpec,
    training: &TrainingPlan,
) -> Result<PpoPlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if spec.kl_coefficient.is_some() {
        return error("`kl_coefficient` is not a key of a ppo stage".into(), "write kl = { coefficient = 0.05 }");
    }
    let other = preference_keys(spec).into_iter().chain(spec.kl_in.map(|_| "kl_in")).next();
    if let Some(key) = other {
        return error(format!("`{key}` is not a key of a ppo stage"), "remove it: a ppo stage has one loss");
    }
    let plan = PpoPlan {
        rollout: RolloutPlan {
            reward: resolve_rewards(place, spec.reward.as_ref())?,
            evaluation: spec.evaluation.unwrap_or_default(),
            samples: spec.samples.unwrap_or(1),
            answer_tokens: spec.answer_tokens.unwrap_or(128),
            missing_end_penalty: spec.missing_end_penalty.unwrap_or(0.0),
        },
        missing_end_score: spec.missing_end_score,
        kl: resolve_kl(place, spec.kl.unwrap_or_default())?,
        value_model: spec.value_model.clone(),
        value_learning_rate: spec.value_learning_rate.unwrap_or(training.schedule.learning_rate),
        // These are lm-human-preferences' (Ziegler 2019, arXiv 1909.08593).
        value_coefficient: spec.value_coefficient.unwrap_or(0.1),
        value_clip: spec.value_clip.unwrap_or(0.2),
        clip_low: spec.clip_low.unwrap_or(0.2),
        clip_high: spec.clip_high.unwrap_or(0.2),
        entropy_coefficient: spec.entropy_coefficient.unwrap_or(0.0),
        discount: spec.discount.unwrap_or(1.0),
        gae_lambda: spec.gae_lambda.unwrap_or(0.95),
        whiten_advantages: spec.whiten_advantages.unwrap_or(true),
        whiten_rewards: spec.whiten_rewards.unwrap_or(false),
        score_scale: resolve_scale(place, spec.score_scale.unwrap_or_default())?,
        target_kl: spec.target_kl,
        pretraining: resolve_pretraining(path, place, spec.pretraining.as_ref(), training)?,
    };
    check(place, spec, &plan).map(|()| plan)
}

fn check(place: &str, spec: &StageSpec, plan: &PpoPlan) -> Result<(), RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if plan.rollout.samples == 0 || plan.rollout.samples > 128 {
        return error(format!("`samples` is {}", plan.rollout.samples), "use 1 to 128 answers to each prompt");
    }
    if plan.rollout.answer_tokens == 0 {
        return error("`answer_tokens` is 0".into(), "use at least 1; 128 is usual");
    }
    if spec.missing_end_score.is_some() && spec.missing_end_penalty.is_some() {
        let what = "both `missing_end_score` and `missing_end_penalty` are given".to_owned();
        return error(what, "keep one: the score replaces what an answer was given, the penalty is subtracted from it");
    }
    let from_0 = |value: f64| value >= 0.0 && value.is_finite();
    let share = |value: f64| (0.0..=1.0).contains(&value);
    let rules = [
        (
            from_0(plan.rollout.missing_end_penalty),
            "missing_end_penalty",
            plan.rollout.missing_end_penalty,
            "a number from 0 up",
        ),
        (
            plan.missing_end_score.is_none_or(f64::is_finite),
            "missing_end_score",
            plan.missing_end_score.unwrap_or(0.0),
            "a finite number; -1 is usual",
        ),
        (
            plan.value_learning_rate > 0.0 && plan.value_learning_rate < 1.0,
            "value_learning_rate",
            plan.value_learning_rate,
            "a number above 0 and below 1, such as 1e-5",
        ),
        (
            plan.value_coefficient > 0.0 && plan.value_coefficient.is_finite(),
            "value_coefficient",
            plan.value_coefficient,
            "a number above 0; 0.1 is usual",
        ),
        (from_0(plan.value_clip), "value_clip", plan.value_clip, "a number above 0, or 0 for off"),
        (
            from_0(plan.clip_low) && plan.clip_low < 1.0,
            "clip_low",
            plan.clip_low,
            "a number from 0 to below 1; 0.2 is usual",
        ),
        (from_0(plan.clip_high), "clip_high", plan.clip_high, "a number from 0 up; 0.2 is usual"),
        (from_0(plan.entropy_coefficient), "entropy_coefficient", plan.entropy_coefficient, "a number from 0 up"),
        (share(plan.discount) && plan.discount > 0.0, "discount", plan.discount, "a share above 0; 1 is usual"),
        (share(plan.gae_lambda), "gae_lambda", plan.gae_lambda, "a share from 0 to 1; 0.95 is usual"),
        (
            plan.target_kl.is_none_or(|kl| kl > 0.0 && kl.is_finite()),
            "target_kl",
            plan.target_kl.unwrap_or(0.0),
            "a number of nats above 0, such as 0.02",
        ),
    ];
    if let Some((_, key, value, range)) = rules.into_iter().find(|(holds, ..)| !holds) {
        return error(format!("`{key}` is {value}"), &format!("use {range}"));
    }
    Ok(())
}

/// 0.05, fixed: the reproduction of TL;DR (arXiv 2403.17031). The horizon is Ziegler's.
fn resolve_kl(place: &str, spec: KlSpec) -> Result<KlPlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let coefficient = spec.coefficient.unwrap_or(0.05);
    if !(coefficient >= 0.0 && coefficient.is_finite()) {
        return error(format!("`kl.coefficient` is {coefficient}"), "use a number from 0 up; 0.02 to 0.15 is usual");
    }
    if spec.horizon.is_some() && spec.target.is_none() {
        let what = "`kl.horizon` is set but the coefficient does not adapt".to_owned();
        return error(what, "give `kl.target` too, or remove it");
    }
    let adaptive = spec.target.map(|target| AdaptivePlan { target, horizon: spec.horizon.unwrap_or(10_000.0) });
    if let Some(AdaptivePlan { target, horizon }) = adaptive {
        for (key, value) in [("target", target), ("horizon", horizon)] {
            if !(value > 0.0 && value.is_finite()) {
                return error(format!("`kl.{key}` is {value}"), "use a number above 0; a target of 6 nats is usual");
            }
        }
        if coefficient == 0.0 {
            let what = "`kl.coefficient` is 0, which no target can move".to_owned();
            return error(what, "start above 0, or remove `kl.target`");
        }
    }
    Ok(KlPlan { coefficient, estimator: spec.estimator.unwrap_or_default(), adaptive })
}

fn resolve_scale(place: &str, spec: ScoreScaleSpec) -> Result<ScalePlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let plan = ScalePlan {
        running: spec.running.unwrap_or(false),
        mean: spec.mean.unwrap_or(0.0),
        deviation: spec.deviation.unwrap_or(1.0),
        bound: spec.bound.unwrap_or(0.0),
    };
    if plan.running && (spec.mean.is_some() || spec.deviation.is_some()) {
        let what = "`score_scale` is running and has numbers of its own".to_owned();
        return error(what, "remove `mean` and `deviation`, or `running`");
    }
    if !plan.mean.is_finite() {
        return error(format!("`score_scale.mean` is {}", plan.mean), "use a finite number");
    }
    if !(plan.deviation > 0.0 && plan.deviation.is_finite()) {
        return error(format!("`score_scale.deviation` is {}", plan.deviation), "use a number above 0");
    }
    if !(plan.bound >= 0.0 && plan.bound.is_finite()) {
        return error(format!("`score_scale.bound` is {}", plan.bound), "use a number above 0, or 0 for off");
    }
    Ok(plan)
}

/// As many records as an update has prompts: `InstructGPT` has eight times as many, at eight times the cost.
fn resolve_pretraining(
    path: &Path,
    place: &str,
    spec: Option<&PretrainingSpec>,
    training: &TrainingPlan,
) -> Result<Option<PretrainingPlan>, RecipeError> {
    let Some(spec) = spec else { return Ok(None) };
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let data = resolve_sources(path, place, "pretraining.data", &spec.data)?;
    let coefficient = spec.coefficient.unwrap_or(PRETRAINING_COEFFICIENT);
    if !(coefficient > 0.0 && coefficient.is_finite()) {
        let what = format!("`pretraining.coefficient` is {coefficient}");
        return error(what, "use a number above 0; 27.8 is InstructGPT's");
    }
    let batch_size = spec.batch_size.unwrap_or(training.batch_size.div_ceil(training.mini_batches));
    if batch_size == 0 {
        return error("`pretraining.batch_size` is 0".into(), "use at least 1, or leave `pretraining` out");
    }
    Ok(Some(PretrainingPlan { data, coefficient, batch_size }))
}
