//! What answers are rewarded for: `reward = "number"`, one table, or a list of tables whose terms are added.

use std::fmt;
use std::path::PathBuf;

use camelid_objectives::reinforcement::shaping::Length;
use camelid_objectives::reward::checker::Checker;
use camelid_objectives::reward::ensemble::Combine;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::either::OneOrMany;
use super::judge_reward::{JudgePlan, JudgeSpec, resolve_judge};
use super::steps_reward::{AggregateChoice, StepsPlan, resolve_steps};

/// How an answer is compared with the expected one.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Check {
    /// Whether its last number is the expected one.
    #[default]
    Number,
    /// Whether it is the expected text.
    Exact,
    /// Whether it has the expected text in it.
    Contains,
}

impl From<Check> for Checker {
    fn from(check: Check) -> Self {
        match check {
            Check::Number => Self::Number,
            Check::Exact => Self::Exact,
            Check::Contains => Self::Contains,
        }
    }
}

/// A term as written: `weight` and exactly one of the others.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermSpec {
    pub(crate) weight: Option<f64>,
    check: Option<Check>,
    length: Option<LengthSpec>,
    /// Reward models: a run, a folder, an ensemble, or several.
    model: Option<OneOrMany>,
    /// Process reward models, which judge every step; see `steps_reward` for what is read beside them.
    pub(super) steps: Option<OneOrMany>,
    pub(super) aggregate: Option<AggregateChoice>,
    pub(super) separator: Option<String>,
    pub(super) per_step: Option<bool>,
    combine: Option<CombineChoice>,
    /// Of `combine = "lower-bound"`: how many deviations are taken from the mean.
    penalty: Option<f64>,
    /// Use a reward model although it is not certified.
    force: Option<bool>,
    /// A language model that says how good an answer is.
    judge: Option<JudgeSpec>,
    /// A file of words and their valences.
    lexicon: Option<PathBuf>,
    /// Of `lexicon`: judge prompt and answer as one text.
    with_prompt: Option<bool>,
    /// A regular expression that a good answer matches.
    pattern: Option<String>,
}

/// One reward from several reward models.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CombineChoice {
    #[default]
    Mean,
    Minimum,
    LowerBound,
}

/// A term for an answer's tokens: `per_token`, or `target` and `scale`, or `limit` and `margin`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LengthSpec {
    /// Taken for each token.
    per_token: Option<f64>,
    /// `(1 - tokens / target) scale`.
    target: Option<f64>,
    scale: Option<f64>,
    /// 0 up to `limit - margin` tokens, from there down to -1.
    limit: Option<f64>,
    margin: Option<f64>,
}

/// The key `reward`.
#[derive(Clone, Debug)]
pub(crate) struct RewardSpec(pub(crate) Vec<TermSpec>);

impl<'de> Deserialize<'de> for RewardSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameTableOrList;
        impl<'de> Visitor<'de> for NameTableOrList {
            type Value = RewardSpec;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"number\", \"exact\", \"contains\", a table, or a list of tables")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<RewardSpec, E> {
                let check = Check::deserialize(StrDeserializer::new(name))?;
                Ok(RewardSpec(vec![TermSpec { check: Some(check), ..TermSpec::default() }]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RewardSpec, A::Error> {
                Ok(RewardSpec(vec![TermSpec::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RewardSpec, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(RewardSpec)
            }
        }
        deserializer.deserialize_any(NameTableOrList)
    }
}

/// A term, resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TermPlan {
    pub(crate) weight: f64,
    #[serde(flatten)]
    pub(crate) kind: TermKind,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TermKind {
    Check(Check),
    Length(LengthPlan),
    Model(ModelPlan),
    Steps(StepsPlan),
    Judge(JudgePlan),
    Lexicon { path: PathBuf, with_prompt: bool },
    Pattern(String),
}

/// Reward models as one reward.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelPlan {
    pub(crate) paths: Vec<String>,
    combine: CombineChoice,
    penalty: f64,
    pub(crate) force: bool,
}

impl ModelPlan {
    pub(crate) fn combine(&self) -> Combine {
        match self.combine {
            CombineChoice::Mean => Combine::Mean,
            CombineChoice::Minimum => Combine::Minimum,
            CombineChoice::LowerBound => Combine::LowerBound(self.penalty),
        }
    }
}

/// Whether prompts must come with the answers that are right.
pub(crate) fn needs_expected(terms: &[TermPlan]) -> bool {
    terms.iter().any(|term| matches!(term.kind, TermKind::Check(_)))
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum LengthPlan {
    PerToken { per_token: f64 },
    Target { target: f64, scale: f64 },
    Limit { limit: f64, margin: f64 },
}

impl From<LengthPlan> for Length {
    fn from(plan: LengthPlan) -> Self {
        match plan {
            LengthPlan::PerToken { per_token } => Self::PerToken(per_token),
            LengthPlan::Target { target, scale } => Self::Target { tokens: target, scale },
            LengthPlan::Limit { limit, margin } => Self::Overlong { limit, margin },
        }
    }
}

/// Refuses rewards of single steps where an answer is learned as a whole: their sum grows with the number of steps.
pub(crate) fn refuse_per_step(place: &str, terms: &[TermPlan], learner: &str) -> Result<(), RecipeError> {
    if terms.iter().all(|term| !matches!(&term.kind, TermKind::Steps(plan) if plan.is_per_step())) {
        return Ok(());
    }
    let what = format!("`per_step` gives each step a reward, but {learner} takes an answer as a whole");
    let fix = "leave per_step out, and set `aggregate`; or use kind = \"ppo\", or \"group\" with loss = \"grpo\"";
    Err(RecipeError::new(place.to_owned(), what, fix))
}

/// The terms, each with exactly one kind; the last number of an answer is checked where nothing is said.
pub(crate) fn resolve_rewards(place: &str, spec: Option<&RewardSpec>) -> Result<Vec<TermPlan>, RecipeError> {
    let Some(RewardSpec(terms)) = spec else {
        return Ok(vec![TermPlan { weight: 1.0, kind: TermKind::Check(Check::default()) }]);
    };
    if terms.is_empty() {
        let what = "`reward` is an empty list: nothing would be learned".to_owned();
        return Err(RecipeError::new(place.to_owned(), what, "name a term, or leave `reward` out"));
    }
    let several = terms.len() > 1;
    let place = |index: usize| if several { format!("{place}, reward {}", index + 1) } else { place.to_owned() };
    terms.iter().enumerate().map(|(index, term)| resolve_term(&place(index), term)).collect()
}

fn resolve_term(place: &str, term: &TermSpec) -> Result<TermPlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let weight = term.weight.unwrap_or(1.0);
    if !weight.is_finite() || weight == 0.0 {
        return error(format!("`weight` is {weight}"), "use a number other than 0; below 0 it is a penalty");
    }
    let kinds = [
        term.check.map(TermKind::Check),
        term.length.map(|length| resolve_length(place, length)).transpose()?.map(TermKind::Length),
        term.model.as_ref().map(|paths| resolve_model(place, term, paths, "model")).transpose()?.map(TermKind::Model),
        resolve_steps(place, term)?.map(TermKind::Steps),
        term.judge.as_ref().map(|judge| resolve_judge(place, judge)).transpose()?.map(TermKind::Judge),
        term.lexicon.clone().map(|path| TermKind::Lexicon { path, with_prompt: term.with_prompt.unwrap_or(false) }),
        term.pattern.as_ref().map(|pattern| resolve_pattern(place, pattern)).transpose()?.map(TermKind::Pattern),
    ];
    let mut kinds = kinds.into_iter().flatten();
    let Some(kind) = kinds.next() else {
        return error(
            "a reward has no kind".into(),
            "give one of check, length, model, steps, judge, lexicon, pattern",
        );
    };
    if kinds.next().is_some() {
        return error("a reward has several kinds".into(), "make each a table of its own in a list");
    }
    let models = term.model.is_some() || term.steps.is_some();
    let of_others = [
        ("combine", "model` or `steps", term.combine.is_some() && !models),
        ("penalty", "model` or `steps", term.penalty.is_some() && !models),
        ("force", "model` or `steps", term.force.is_some() && !models),
        ("aggregate", "steps", term.aggregate.is_some() && term.steps.is_none()),
        ("separator", "steps", term.separator.is_some() && term.steps.is_none()),
        ("per_step", "steps", term.per_step.is_some() && term.steps.is_none()),
        ("with_prompt", "lexicon", term.with_prompt.is_some() && term.lexicon.is_none()),
    ];
    if let Some((key, kind, _)) = of_others.into_iter().find(|(.., is_wrong)| *is_wrong) {
        return error(format!("`{key}` is read with `{kind}` only"), "remove it");
    }
    Ok(TermPlan { weight, kind })
}

/// The models that the key names.
pub(super) fn resolve_model(
    place: &str,
    term: &TermSpec,
    OneOrMany(paths): &OneOrMany,
    key: &str,
) -> Result<ModelPlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if paths.is_empty() || paths.iter().any(|path| path.trim().is_empty()) {
        return error(format!("`{key}` names no reward model"), "name what a stage with kind = \"reward\" wrote");
    }
    let combine = term.combine.unwrap_or_default();
    let penalty = term.penalty.unwrap_or(0.5);
    if term.penalty.is_some() && combine != CombineChoice::LowerBound {
        return error("`penalty` is set but rewards are not combined by their lower bound".into(), "remove it");
    }
    if !(penalty >= 0.0 && penalty.is_finite()) {
        return error(format!("`penalty` is {penalty}"), "use a number from 0 up; 0.3 to 1 is usual");
    }
    Ok(ModelPlan { paths: paths.clone(), combine, penalty, force: term.force.unwrap_or(false) })
}

fn resolve_pattern(place: &str, pattern: &str) -> Result<String, RecipeError> {
    match regex::Regex::new(pattern) {
        Ok(_) => Ok(pattern.to_owned()),
        Err(error) => {
            let reason = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            let what = format!("`pattern` is no regular expression: {reason}");
            Err(RecipeError::new(place.to_owned(), what, "correct it; \\ before a character takes it as it is"))
        }
    }
}

fn resolve_length(place: &str, length: LengthSpec) -> Result<LengthPlan, RecipeError> {
    let error = |what: &str, fix: &str| Err(RecipeError::new(place.to_owned(), what.to_owned(), fix));
    let plan = match length {
        LengthSpec { per_token: Some(per_token), target: None, scale: None, limit: None, margin: None } => {
            LengthPlan::PerToken { per_token }
        }
        LengthSpec { per_token: None, target: Some(target), scale, limit: None, margin: None } => {
            LengthPlan::Target { target, scale: scale.unwrap_or(1.0) }
        }
        LengthSpec { per_token: None, target: None, scale: None, limit: Some(limit), margin: Some(margin) } => {
            LengthPlan::Limit { limit, margin }
        }
        _ => {
            let fix = "give `per_token`, or `target` (and `scale`), or `limit` and `margin`";
            return error("`length` is no rule for lengths", fix);
        }
    };
    let (positive, any) = match plan {
        LengthPlan::PerToken { per_token } => (vec![], vec![per_token]),
        LengthPlan::Target { target, scale } => (vec![target], vec![scale]),
        LengthPlan::Limit { limit, margin } => (vec![limit, margin], vec![]),
    };
    if positive.iter().any(|value| !(*value > 0.0 && value.is_finite())) || any.iter().any(|value| !value.is_finite()) {
        return error("a number of `length` is out of range", "use numbers of tokens above 0, and finite prices");
    }
    Ok(plan)
}
