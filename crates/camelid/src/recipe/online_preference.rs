//! The method of an online-preference stage: how the policy's answers become pairs, and the loss on these.

use camelid_text::Text;
use camelid_train::{OnlinePreferenceTask, Pairing, PreferenceTask, Reference, Sampler};
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::either::{ByName, NameOrTable};
use super::loss::{Built, LossPlan, resolve_loss};
use super::rollout::{RolloutPlan, resolve_rollouts};
use super::spec::StageSpec;

/// Which of a prompt's answers go on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SamplerBy {
    /// All.
    Policy,
    /// Those that statistical rejection sampling accepts (RSO).
    Rejection,
}

/// The key `sampler`: a name, or a table with `by` and the settings of that sampler.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SamplerSpec {
    by: SamplerBy,
    /// Of `rejection`: the temperature of the optimal policy, and how many answers are accepted.
    beta: Option<f64>,
    keep: Option<usize>,
}

impl ByName for SamplerSpec {
    type Name = SamplerBy;
    const EXPECTED: &str = "\"policy\", \"rejection\", or a table with `by`";

    fn named(by: SamplerBy) -> Self {
        Self { by, beta: None, keep: None }
    }
}

/// An online-preference stage, resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OnlinePreferencePlan {
    /// Its `pairs` are not read where the first round of a tournament is compared.
    #[serde(flatten)]
    pub(crate) loss: LossPlan,
    pub(crate) sampler: SamplerPlan,
    /// Whether neighbours are compared instead of `pairs`.
    pub(crate) first_round: bool,
    #[serde(flatten)]
    pub(crate) rollout: RolloutPlan,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub(crate) enum SamplerPlan {
    Policy,
    Rejection { beta: f64, keep: usize },
}

impl OnlinePreferencePlan {
    /// `None` if the loss takes single responses, which [`resolve_online_preference`] refuses.
    pub(crate) fn task(&self, seed: u64, text: Text, reference: Reference) -> Option<OnlinePreferenceTask> {
        let Built::Groups(method) = self.loss.build() else { return None };
        let sampler = match self.sampler {
            SamplerPlan::Policy => Sampler::Policy,
            SamplerPlan::Rejection { beta, keep } => Sampler::Rejection { beta, keep },
        };
        let pairing = if self.first_round { Pairing::FirstRound } else { Pairing::Choice(self.loss.pairs) };
        let (rollouts, shaping) = (self.rollout.rollouts(seed, text), self.rollout.shaping());
        let preference = PreferenceTask { method, reference };
        Some(OnlinePreferenceTask { preference, sampler, pairing, seed, shaping, rollouts })
    }
}

pub(crate) fn resolve_online_preference(place: &str, spec: &StageSpec) -> Result<OnlinePreferencePlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let loss = resolve_loss(place, spec)?;
    if loss.is_unpaired() {
        return error(format!("`loss` is {:?}, which takes single responses", loss.name), "use a loss on pairs: dpo");
    }
    let only_elsewhere = [
        ("margin_weight", spec.margin_weight.is_some(), "remove it: the policy's answers come without margins"),
        (
            "kl_coefficient",
            spec.kl_coefficient.is_some(),
            "remove it: the loss holds to its reference by its own settings",
        ),
    ];
    if let Some((key, _, fix)) = only_elsewhere.into_iter().find(|(_, is_set, _)| *is_set) {
        return error(format!("`{key}` is not a key of an online-preference stage"), fix);
    }
    let sampler = spec.sampler.map_or_else(|| SamplerSpec::named(SamplerBy::Policy), |NameOrTable(sampler)| sampler);
    let rejects = sampler.by == SamplerBy::Rejection;
    let rollout = resolve_rollouts(place, spec, if rejects { 64 } else { 8 })?;
    let settings = [("beta", sampler.beta.is_some()), ("keep", sampler.keep.is_some())];
    if let Some((key, _)) = settings.into_iter().find(|(_, is_set)| *is_set && !rejects) {
        let what = format!("`sampler.{key}` is no setting of \"policy\"");
        return error(what, "remove it, or set by = \"rejection\"");
    }
    let plan = if rejects {
        let (beta, keep) = (sampler.beta.unwrap_or(0.5), sampler.keep.unwrap_or(8));
        if !(beta > 0.0 && beta.is_finite()) {
            return error(format!("`sampler.beta` is {beta}"), "use a number above 0; 0.5 is RSO's");
        }
        if keep < 2 || keep > rollout.samples {
            let what = format!("`sampler.keep` is {keep} of {} samples", rollout.samples);
            return error(what, "keep at least 2 and at most all");
        }
        SamplerPlan::Rejection { beta, keep }
    } else {
        SamplerPlan::Policy
    };
    Ok(OnlinePreferencePlan { loss, sampler: plan, first_round: rejects && spec.pairs.is_none(), rollout })
}
