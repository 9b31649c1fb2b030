//! The reward `steps`: process reward models that judge every step of an answer.

use camelid_objectives::reward::steps::Aggregate;
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::rewards::{ModelPlan, TermSpec, resolve_model};

/// How the steps' probabilities become one reward.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AggregateChoice {
    #[default]
    Min,
    Product,
    Last,
    Mean,
}

impl From<AggregateChoice> for Aggregate {
    fn from(choice: AggregateChoice) -> Self {
        match choice {
            AggregateChoice::Min => Self::Min,
            AggregateChoice::Product => Self::Product,
            AggregateChoice::Last => Self::Last,
            AggregateChoice::Mean => Self::Mean,
        }
    }
}

/// Process reward models as one reward, or one for each step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StepsPlan {
    pub(crate) models: ModelPlan,
    /// What stands between two steps.
    pub(crate) separator: String,
    /// Absent: each step has its own reward, at its last token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aggregate: Option<AggregateChoice>,
}

impl StepsPlan {
    pub(crate) fn is_per_step(&self) -> bool {
        self.aggregate.is_none()
    }
}

/// Nothing where the term has no `steps`.
pub(super) fn resolve_steps(place: &str, term: &TermSpec) -> Result<Option<StepsPlan>, RecipeError> {
    let Some(paths) = &term.steps else { return Ok(None) };
    let error = |what: &str, fix: &str| Err(RecipeError::new(place.to_owned(), what.to_owned(), fix));
    let per_step = term.per_step.unwrap_or(false);
    if per_step && term.aggregate.is_some() {
        return error("`aggregate` is set but `per_step` gives each step its own reward", "remove one of the two");
    }
    let separator = term.separator.clone().unwrap_or_else(|| "\n".into());
    if separator.is_empty() {
        return error("`separator` is empty: nothing would stand between steps", "use \"\\n\", which is the default");
    }
    let models = resolve_model(place, term, paths, "steps")?;
    let aggregate = (!per_step).then(|| term.aggregate.unwrap_or_default());
    Ok(Some(StepsPlan { models, separator, aggregate }))
}
