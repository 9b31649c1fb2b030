//! The method of an expert-iteration stage: which of the policy's answers it learns from.

use camelid_model::Want;
use camelid_objectives::selection::rule::Rule;
use camelid_text::Text;
use camelid_train::{ExpertIterationTask, QuarkTask, Reduction, SftTask};
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::either::{ByName, NameOrTable};
use super::loss::preference_keys;
use super::rollout::{RolloutPlan, resolve_rollouts};
use super::spec::{ReductionSpec, StageSpec};

/// How answers are chosen.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SelectBy {
    /// The best of each prompt's answers.
    Best,
    /// Those whose reward is high in the round.
    Threshold,
    /// Right ones that calculate differently.
    Right,
    /// All, behind labels that say how good they are.
    Quantiles,
}

/// The key `select`: a name, or a table with `by` and the settings of that rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SelectSpec {
    by: SelectBy,
    /// Of `best`: how many of each prompt's answers.
    keep: Option<usize>,
    /// Of `threshold`: the share of the way from the lowest reward to the highest.
    above: Option<f64>,
    /// Of `right`: the reward from which an answer is right.
    from: Option<f64>,
    /// Of `quantiles`: from worst to best, and how many prompts are remembered.
    labels: Option<Vec<String>>,
    pool: Option<usize>,
}

impl ByName for SelectSpec {
    type Name = SelectBy;
    const EXPECTED: &str = "\"best\", \"threshold\", \"right\", \"quantiles\", or a table with `by`";

    fn named(by: SelectBy) -> Self {
        Self { by, keep: None, above: None, from: None, labels: None, pool: None }
    }
}

/// An expert-iteration stage, resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ExpertIterationPlan {
    pub(crate) select: SelectPlan,
    #[serde(flatten)]
    pub(crate) rollout: RolloutPlan,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub(crate) enum SelectPlan {
    Best { keep: usize, reduction: &'static str, demonstrations: bool },
    Threshold { above: f64, reduction: &'static str, demonstrations: bool },
    Right { from: f64, reduction: &'static str, demonstrations: bool },
    Quantiles { labels: Vec<String>, pool: usize, kl_coefficient: f64 },
}

/// What the trainer is given.
pub(crate) enum BuiltIteration {
    Rule(ExpertIterationTask),
    Quark(QuarkTask),
}

impl ExpertIterationPlan {
    /// `reference` is the forward pass of the first policy.
    pub(crate) fn task(&self, seed: u64, text: Text, reference: Want) -> BuiltIteration {
        let (rollouts, shaping) = (self.rollout.rollouts(seed, text), self.rollout.shaping());
        let (rule, reduction, demonstrations) = match self.select {
            SelectPlan::Best { keep, reduction, demonstrations } => (Rule::Best { keep }, reduction, demonstrations),
            SelectPlan::Threshold { above, reduction, demonstrations } => {
                (Rule::Threshold { above }, reduction, demonstrations)
            }
            SelectPlan::Right { from, reduction, demonstrations } => (Rule::Right { from }, reduction, demonstrations),
            SelectPlan::Quantiles { pool, kl_coefficient, .. } => {
                let task = QuarkTask::new(kl_coefficient, reference, pool, seed, shaping, rollouts);
                return BuiltIteration::Quark(task);
            }
        };
        let reduction = if reduction == RECORDS { Reduction::Records } else { Reduction::Tokens };
        let learning = SftTask { reduction };
        BuiltIteration::Rule(ExpertIterationTask { rule, learning, demonstrations, shaping, rollouts })
    }

    /// Labels in front of prompts, from worst to best.
    pub(crate) fn labels(&self) -> &[String] {
        match &self.select {
            SelectPlan::Quantiles { labels, .. } => labels,
            _ => &[],
        }
    }

    /// Whether the data's own answers are learned too.
    pub(crate) fn demonstrations(&self) -> bool {
        match self.select {
            SelectPlan::Best { demonstrations, .. }
            | SelectPlan::Threshold { demonstrations, .. }
            | SelectPlan::Right { demonstrations, .. } => demonstrations,
            SelectPlan::Quantiles { .. } => false,
        }
    }

    pub(crate) fn uses_reference(&self) -> bool {
        matches!(self.select, SelectPlan::Quantiles { kl_coefficient, .. } if kl_coefficient > 0.0)
    }
}

const TOKENS: &str = "tokens";
const RECORDS: &str = "records";

pub(crate) fn resolve_expert_iteration(place: &str, spec: &StageSpec) -> Result<ExpertIterationPlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if let Some(key) = preference_keys(spec).first() {
        let what = format!("`{key}` is not a key of an expert-iteration stage");
        return error(what, "remove it, or set kind = \"online-preference\"");
    }
    let select = spec.select.clone().map_or_else(|| SelectSpec::named(SelectBy::Best), |NameOrTable(select)| select);
    let rollout = resolve_rollouts(place, spec, 16)?;
    let settings = [
        ("keep", SelectBy::Best, select.keep.is_some()),
        ("above", SelectBy::Threshold, select.above.is_some()),
        ("from", SelectBy::Right, select.from.is_some()),
        ("labels", SelectBy::Quantiles, select.labels.is_some()),
        ("pool", SelectBy::Quantiles, select.pool.is_some()),
    ];
    if let Some((key, ..)) = settings.into_iter().find(|(_, by, is_set)| *is_set && *by != select.by) {
        let what = format!("`select.{key}` is no setting of {:?}", name_of(select.by));
        return error(what, "remove it; best has keep, threshold above, right from, quantiles labels and pool");
    }
    if select.by == SelectBy::Quantiles {
        return resolve_quantiles(place, spec, select).map(|select| ExpertIterationPlan { select, rollout });
    }
    if spec.kl_coefficient.is_some() {
        let what = format!("`kl_coefficient` is no setting of select = {:?}", name_of(select.by));
        return error(what, "remove it; quantiles has one");
    }
    let demonstrations = spec.demonstrations.unwrap_or(false);
    let reduction = match spec.reduction {
        Some(ReductionSpec::Records) => RECORDS,
        Some(ReductionSpec::Tokens) | None => TOKENS,
    };
    let select = match select.by {
        SelectBy::Threshold => {
            let above = select.above.unwrap_or(0.7);
            if !(0.0..1.0).contains(&above) {
                let fix = "use a share from 0 to below 1; 0.7 is ReST's";
                return error(format!("`select.above` is {above}"), fix);
            }
            SelectPlan::Threshold { above, reduction, demonstrations }
        }
        SelectBy::Right => {
            if select.from.is_none() && rollout.reward.len() > 1 {
                let what =
                    "`select` is \"right\", but with several terms of the reward that may be any number".to_owned();
                return error(what, "say from which reward on an answer is right: { by = \"right\", from = 1 }");
            }
            let from = select.from.unwrap_or(1.0);
            if !from.is_finite() {
                return error(format!("`select.from` is {from}"), "use the reward of a right answer");
            }
            SelectPlan::Right { from, reduction, demonstrations }
        }
        SelectBy::Best | SelectBy::Quantiles => {
            let keep = select.keep.unwrap_or(1);
            if keep == 0 || keep >= rollout.samples {
                let what = format!("`select.keep` is {keep} of {} samples", rollout.samples);
                return error(what, "keep at least 1 and fewer than there are");
            }
            SelectPlan::Best { keep, reduction, demonstrations }
        }
    };
    Ok(ExpertIterationPlan { select, rollout })
}

fn resolve_quantiles(place: &str, spec: &StageSpec, select: SelectSpec) -> Result<SelectPlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let of_rules = [("demonstrations", spec.demonstrations.is_some()), ("reduction", spec.reduction.is_some())];
    if let Some((key, _)) = of_rules.into_iter().find(|(_, is_set)| *is_set) {
        let what = format!("`{key}` is no setting of select = \"quantiles\"");
        return error(what, "remove it; best, threshold and right have it");
    }
    let fix =
        "give labels from worst to best: { by = \"quantiles\", labels = [\"<|bad|> \", \"<|fair|> \", \"<|good|> \"] }";
    let Some(labels) = select.labels else {
        return error("`select` is \"quantiles\" without `labels`".into(), fix);
    };
    if !(2..=64).contains(&labels.len()) {
        return error(format!("`select.labels` has {} entries", labels.len()), fix);
    }
    if let Some(index) = (1..labels.len()).find(|&index| labels[..index].contains(&labels[index])) {
        return error(format!("`select.labels` has {:?} twice", labels[index]), fix);
    }
    let pool = select.pool.unwrap_or(128);
    if pool == 0 {
        return error("`select.pool` is 0".into(), "use at least 1: so many prompts are remembered with their answers");
    }
    let kl_coefficient = spec.kl_coefficient.unwrap_or(0.05);
    if !(kl_coefficient >= 0.0 && kl_coefficient.is_finite()) {
        return error(format!("`kl_coefficient` is {kl_coefficient}"), "use a number from 0 up; 0.05 is Quark's");
    }
    Ok(SelectPlan::Quantiles { labels, pool, kl_coefficient })
}

fn name_of(by: SelectBy) -> &'static str {
    match by {
        SelectBy::Best => "best",
        SelectBy::Threshold => "threshold",
        SelectBy::Right => "right",
        SelectBy::Quantiles => "quantiles",
    }
}
