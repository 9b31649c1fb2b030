//! The key `monitor`: a held-out reward that watches a stage, and may end it.

use std::path::Path;

use camelid_train::TrainingPlan;
use serde::{Deserialize, Serialize};

use super::RecipeError;
use super::expert_iteration::ExpertIterationPlan;
use super::plan::Objective;
use super::rewards::{RewardSpec, TermPlan, needs_expected, refuse_per_step, resolve_rewards};
use super::sources::{DataSource, resolve_sources};
use super::spec::{Sources, StageKind, StageSpec};

/// As it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MonitorSpec {
    /// Prompts that nothing is trained on.
    data: Sources,
    /// What answers should be good at, as in the key `reward` of a stage.
    reward: RewardSpec,
    /// Tokens of an answer at most; those of the stage where it has answers.
    answer_tokens: Option<usize>,
    /// Steps from one measurement to the next; `eval_every` where nothing is said, 0 is at the start and the end only.
    every: Option<u64>,
    /// The first so many prompts; all where nothing is said.
    prompts: Option<usize>,
    /// End the stage when the reward falls, and take the state where it was highest.
    stop: Option<bool>,
    /// Of `stop`: so many measurements in a row must be lower for sure.
    patience: Option<u32>,
}

/// As [`MonitorSpec`], resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MonitorPlan {
    pub(crate) data: Vec<DataSource>,
    pub(crate) reward: Vec<TermPlan>,
    pub(crate) answer_tokens: usize,
    pub(crate) every: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompts: Option<usize>,
    /// 0: it never ends the stage.
    pub(crate) patience: u32,
}

impl MonitorPlan {
    /// Whether prompts must come with the answers that are right.
    pub(crate) fn needs_expected(&self) -> bool {
        needs_expected(&self.reward)
    }
}

pub(crate) fn resolve_monitor(
    recipe: &Path,
    place: &str,
    spec: &StageSpec,
    objective: &Objective,
    training: &TrainingPlan,
) -> Result<Option<MonitorPlan>, RecipeError> {
    let Some(monitor) = &spec.monitor else { return Ok(None) };
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if spec.kind == StageKind::Reward {
        let fix = "remove it: a reward model scores answers, it does not write them";
        return error("`monitor` is not a key of a reward stage".into(), fix);
    }
    if matches!(objective, Objective::ExpertIteration(iteration) if !iteration.labels().is_empty()) {
        let what = "`monitor` is set but the policy of this stage answers behind labels".to_owned();
        return error(what, "remove it, or set another `select`");
    }
    let data = resolve_sources(recipe, place, "monitor.data", &monitor.data)?;
    let of_demonstrations = [
        ("weight", data.iter().any(|s| s.weight.is_some())),
        ("condition", data.iter().any(|s| s.condition.is_some())),
    ];
    if let Some((key, _)) = of_demonstrations.into_iter().find(|(_, is_set)| *is_set) {
        return error(
            format!("`{key}` of a source is not read by `monitor`"),
            "remove it: prompts are asked as they are",
        );
    }
    let own = match objective {
        Objective::Group(group) => Some(group.answer_tokens),
        Objective::ExpertIteration(ExpertIterationPlan { rollout, .. }) => Some(rollout.answer_tokens),
        Objective::OnlinePreference(online) => Some(online.rollout.answer_tokens),
        Objective::Ppo(ppo) => Some(ppo.rollout.answer_tokens),
        Objective::Sft(_) | Objective::Preference(_) | Objective::Reward(_) => None,
    };
    let answer_tokens = monitor.answer_tokens.or(own).unwrap_or(128);
    if answer_tokens == 0 {
        return error("`monitor.answer_tokens` is 0".into(), "use at least 1; 128 is usual");
    }
    if monitor.prompts == Some(0) {
        return error("`monitor.prompts` is 0".into(), "leave it out to use all; 100 or more tell small changes apart");
    }
    let every = monitor.every.unwrap_or(training.eval_every);
    let stops = monitor.stop.unwrap_or(false);
    if monitor.patience.is_some() && !stops {
        return error("`monitor.patience` is set but `monitor.stop` is not".into(), "set stop = true, or remove it");
    }
    let patience = if stops { monitor.patience.unwrap_or(2) } else { 0 };
    if stops && patience == 0 {
        return error("`monitor.patience` is 0".into(), "use at least 1; set stop = false for never");
    }
    if stops && every == 0 {
        let fix = "set `monitor.every`, the steps from one measurement to the next";
        return error("`monitor.stop` is set but nothing is measured on the way".into(), fix);
    }
    if stops && training.early_stop_patience > 0 {
        let what = "`monitor.stop` and `early_stop_patience` both decide which state is taken".to_owned();
        return error(what, "keep one of the two");
    }
    let reward = resolve_rewards(&format!("{place}, monitor"), Some(&monitor.reward))?;
    refuse_per_step(place, &reward, "a monitor")?;
    Ok(Some(MonitorPlan { data, reward, answer_tokens, every, prompts: monitor.prompts, patience }))
}
