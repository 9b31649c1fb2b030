//! What answers are rewarded for: `reward = "number"`, one table, or a list of tables whose terms are added.

use std::fmt;

use camelid_objectives::reinforcement::shaping::Length;
use camelid_objectives::reward::checker::Checker;
use camelid_train::rewards::{CheckerReward, LengthReward, Reward, Rewards, Term};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::RecipeError;

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
    pub(crate) check: Option<Check>,
    pub(crate) length: Option<LengthSpec>,
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
    let kind = match (term.check, &term.length) {
        (Some(check), None) => TermKind::Check(check),
        (None, Some(length)) => TermKind::Length(resolve_length(place, *length)?),
        (None, None) => return error("a reward has no kind".into(), "give one of check, length"),
        _ => return error("a reward has several kinds".into(), "make each a table of its own in a list"),
    };
    Ok(TermPlan { weight, kind })
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

/// Ready to be asked.
pub(crate) fn build_rewards(terms: &[TermPlan]) -> Rewards {
    let term = |plan: &TermPlan| {
        let reward: Box<dyn Reward> = match plan.kind {
            TermKind::Check(check) => Box::new(CheckerReward(check.into())),
            TermKind::Length(length) => Box::new(LengthReward(length.into())),
        };
        Term { weight: plan.weight, reward }
    };
    Rewards { terms: terms.iter().map(term).collect() }
}
