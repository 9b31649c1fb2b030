//! The loss of a reward stage: what the scalar head learns to say.

use camelid_objectives::reward::bradley_terry::BradleyTerry;
use camelid_records::PairChoice;
use serde::Serialize;

use super::RecipeError;
use super::loss::preference_keys;
use super::spec::{StageKind, StageSpec};

/// A reward stage, resolved.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "loss", rename_all = "kebab-case")]
pub(crate) enum RewardPlan {
    /// Rewards whose differences explain a ranking.
    BradleyTerry { margin_weight: f64, label_smoothing: f64, centring: f64, pairs: PairChoice },
    /// Whether an answer is right.
    Outcome,
    /// Whether a solution is right up to each of its steps.
    Process,
}

impl RewardPlan {
    /// The method for rankings; nothing where single labels are learned.
    pub(crate) fn bradley_terry(self) -> Option<BradleyTerry> {
        match self {
            Self::BradleyTerry { margin_weight, label_smoothing, centring, .. } => {
                Some(BradleyTerry { margin_weight, label_smoothing, centring })
            }
            Self::Outcome | Self::Process => None,
        }
    }
}

/// Reads a reward stage's settings; those of preference losses are errors.
pub(crate) fn resolve_reward(place: &str, spec: &StageSpec) -> Result<RewardPlan, RecipeError> {
    const NAMES: [&str; 3] = ["bradley-terry", "outcome", "process"];
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let name = spec.loss.as_deref().unwrap_or(NAMES[0]);
    let (own, fix): (&[&str], _) = match name {
        "bradley-terry" => (
            &["loss", "margin_weight", "label_smoothing", "centring", "pairs"],
            "remove it; bradley-terry has margin_weight, label_smoothing, centring, pairs",
        ),
        "outcome" | "process" => (&["loss"], "remove it; outcome and process have no settings"),
        _ => {
            let what = format!("`loss` is {name:?}, which no reward stage has");
            return error(
                what,
                "use one of bradley-terry (ranked responses), outcome (right or wrong), process (steps)",
            );
        }
    };
    if let Some(key) = preference_keys(spec).into_iter().find(|key| !own.contains(key)) {
        return error(format!("`{key}` is no setting of a reward stage"), fix);
    }
    match name {
        "outcome" => return Ok(RewardPlan::Outcome),
        "process" => return Ok(RewardPlan::Process),
        _ => {}
    }
    let margin_weight = spec.margin_weight.unwrap_or(0.0);
    let label_smoothing = spec.label_smoothing.unwrap_or(0.0);
    let centring = spec.centring.unwrap_or(0.0);
    for (key, value) in [("margin_weight", margin_weight), ("centring", centring)] {
        if !(value >= 0.0 && value.is_finite()) {
            return error(format!("`{key}` is {value}"), "use a number from 0 up");
        }
    }
    if !(0.0..0.5).contains(&label_smoothing) {
        return error(format!("`label_smoothing` is {label_smoothing}"), "use a share from 0 to below 0.5");
    }
    let pairs = spec.pairs.unwrap_or(PairChoice::All);
    Ok(RewardPlan::BradleyTerry { margin_weight, label_smoothing, centring, pairs })
}

/// How many models a reward stage trains; several need held-out responses on which their rewards are brought to one scale.
pub(crate) fn resolve_members(place: &str, spec: &StageSpec, holds_out: bool) -> Result<usize, RecipeError> {
    let Some(members) = spec.members else { return Ok(1) };
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if spec.kind != StageKind::Reward {
        return error("`members` belongs to reward stages".into(), "remove it, or set kind = \"reward\"");
    }
    if members == 0 {
        return error("`members` is 0".into(), "use 1, or 3 to 5 for an ensemble");
    }
    if members > 1 && !holds_out {
        let what = format!("`members` is {members} but nothing is held out to bring them to one scale");
        return error(what, "set validation_share or validation_data");
    }
    Ok(members)
}
