//! What stages have in common whose policy answers prompts that are then chosen from.

use camelid_objectives::reinforcement::shaping::{MissingEnd, Shaping};
use camelid_text::Text;
use camelid_train::rewards::Rewards;
use camelid_train::{Answerer, Drawing, Evaluation, Rollouts};
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::group::EvaluationChoice;
use super::rewards::{TermPlan, needs_expected, refuse_per_step, resolve_rewards};
use super::spec::StageSpec;

/// What a policy that learns from its own answers needs beside it, opened.
pub(crate) struct Company {
    pub(crate) text: Text,
    pub(crate) rewards: Rewards,
    pub(crate) answerer: Answerer,
}

impl Company {
    pub(crate) fn rollouts(self, drawing: Drawing) -> Rollouts {
        let Self { text, rewards, answerer } = self;
        Rollouts { drawing, text, rewards, answerer }
    }
}

/// The key `rollout_server`: a `camelid serve` process that draws the answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RolloutServerSpec {
    url: String,
    /// The name that the server answers under; whatever it has where nothing is said.
    model: Option<String>,
    /// Environment variable that holds the server's key.
    key_variable: Option<String>,
}

/// As [`RolloutServerSpec`], resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RolloutServerPlan {
    pub(crate) url: String,
    pub(crate) model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_variable: Option<String>,
}

pub(crate) fn resolve_rollout_server(place: &str, spec: &StageSpec) -> Result<Option<RolloutServerPlan>, RecipeError> {
    let Some(server) = &spec.rollout_server else { return Ok(None) };
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if !spec.kind.samples() {
        let what = format!("`rollout_server` is set but stages of kind {:?} sample no answers", spec.kind.name());
        return error(what, "remove it");
    }
    if !server.url.starts_with("http://") && !server.url.starts_with("https://") {
        let what = format!("`rollout_server.url` is {:?}, which is no address", server.url);
        return error(
            what,
            "use one like \"http://127.0.0.1:8000\"; start it with camelid serve --allow-weight-updates",
        );
    }
    let RolloutServerSpec { url, model, key_variable } = server.clone();
    Ok(Some(RolloutServerPlan { url, model: model.unwrap_or_default(), key_variable }))
}

/// How answers are drawn and rewarded, resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RolloutPlan {
    pub(crate) reward: Vec<TermPlan>,
    pub(crate) evaluation: EvaluationChoice,
    pub(crate) samples: usize,
    pub(crate) answer_tokens: usize,
    pub(crate) missing_end_penalty: f64,
}

impl RolloutPlan {
    pub(crate) fn drawing(&self, seed: u64) -> Drawing {
        let evaluation = match self.evaluation {
            EvaluationChoice::Greedy => Evaluation::Greedy,
            EvaluationChoice::Sampled => Evaluation::Sampled,
        };
        Drawing { samples: self.samples, answer_tokens: self.answer_tokens, seed, evaluation }
    }

    pub(crate) fn shaping(&self) -> Shaping {
        Shaping { missing_end: MissingEnd::Penalty(self.missing_end_penalty), ..Shaping::default() }
    }

    /// Whether prompts must come with the answers that are right.
    pub(crate) fn needs_expected(&self) -> bool {
        needs_expected(&self.reward)
    }
}

/// `samples` is how many answers a prompt gets where the recipe does not say.
pub(crate) fn resolve_rollouts(place: &str, spec: &StageSpec, samples: usize) -> Result<RolloutPlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let kind = spec.kind.name();
    let of_others = [
        ("clip_low", spec.clip_low.is_some()),
        ("clip_high", spec.clip_high.is_some()),
        ("entropy_coefficient", spec.entropy_coefficient.is_some()),
    ];
    if let Some((key, _)) = of_others.into_iter().find(|(_, is_set)| *is_set) {
        return error(format!("`{key}` is not a key of an {kind} stage"), "remove it, or set kind = \"group\"");
    }
    let plan = RolloutPlan {
        reward: resolve_rewards(place, spec.reward.as_ref())?,
        evaluation: spec.evaluation.unwrap_or_default(),
        samples: spec.samples.unwrap_or(samples),
        answer_tokens: spec.answer_tokens.unwrap_or(128),
        missing_end_penalty: spec.missing_end_penalty.unwrap_or(0.0),
    };
    refuse_per_step(place, &plan.reward, &format!("a stage of kind {kind:?}"))?;
    if plan.samples < 2 || plan.samples > 128 {
        return error(format!("`samples` is {}", plan.samples), "use 2 to 128: answers are compared with each other");
    }
    if plan.answer_tokens == 0 {
        return error("`answer_tokens` is 0".into(), "use at least 1; 128 is usual");
    }
    if !(plan.missing_end_penalty >= 0.0 && plan.missing_end_penalty.is_finite()) {
        let what = format!("`missing_end_penalty` is {}", plan.missing_end_penalty);
        return error(what, "use a number from 0 up");
    }
    Ok(plan)
}

/// What a recipe says that only stages on chosen answers read, with the kind that does.
pub(crate) fn selection_keys(spec: &StageSpec) -> Vec<(&'static str, &'static str)> {
    let named = [
        ("select", "expert-iteration", spec.select.is_some()),
        ("demonstrations", "expert-iteration", spec.demonstrations.is_some()),
        ("sampler", "online-preference", spec.sampler.is_some()),
    ];
    named.into_iter().filter(|(.., is_set)| *is_set).map(|(key, kind, _)| (key, kind)).collect()
}
