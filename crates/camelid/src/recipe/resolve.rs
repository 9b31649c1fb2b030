//! From what the user wrote to what will be done: defaults filled in, combinations checked, files found.

use std::path::Path;

use camelid_model::{LowRank, MomentType, Tuning};
use camelid_records::Condition;
use camelid_text::{Learn, Overlong, SpanPolicy};
use camelid_train::{Reduction, ReferenceUpdate, TrainingPlan};

use super::RecipeError;
use super::entry::StageEntry;
use super::expert_iteration::resolve_expert_iteration;
use super::group::{group_keys, resolve_group};
use super::loss::{preference_keys, resolve_loss};
use super::monitor::resolve_monitor;
use super::online_preference::{OnlinePreferencePlan, resolve_online_preference};
use super::plan::{Objective, Plan, Stage, StagePlan};
use super::ppo::{ppo_keys, resolve_ppo};
use super::reward::{resolve_members, resolve_reward};
use super::rollout::{resolve_rollout_server, selection_keys};
use super::sources::resolve_sources;
use super::spec::{
    LearnPolicy, LearnSpec, LoraSpec, OverlongSpec, RecipeSpec, ReductionSpec, SourceTable, Sources, StageKind,
    StageSpec, TuneSpec,
};
use super::training::resolve_training;
use crate::machine;

/// Resolves a recipe read from `path`. Touches the disk only to see which files exist.
pub(crate) fn resolve(path: &Path, spec: &RecipeSpec) -> Result<Plan, RecipeError> {
    let place = path.display().to_string();
    let error = |what: String, fix: &str| RecipeError::new(place.clone(), what, fix);
    if spec.stage.is_empty() {
        return Err(error("there is no stage".into(), "add a [[stage]] with kind = \"sft\" and data"));
    }
    if spec.model.trim().is_empty() {
        return Err(error("`model` is empty".into(), "name a model, such as \"smollm2-135m-instruct\""));
    }
    if spec.threads == Some(0) {
        return Err(error("`threads` is 0".into(), "leave it out to use all cores"));
    }
    let name = match &spec.name {
        Some(name) => name.clone(),
        None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        let what = format!("`name` is {name:?}, which is no folder name");
        return Err(error(what, "use letters, digits, - and _; run_directory takes a path"));
    }
    let directory = spec.run_directory.clone().unwrap_or_else(|| Path::new("runs").join(&name));
    let stages = spec
        .stage
        .iter()
        .enumerate()
        .map(|(index, stage)| {
            let place = format!("{place}, stage {}", index + 1);
            Ok(match stage {
                StageEntry::Tuning(stage) => Stage::Tuning(Box::new(resolve_stage(path, &place, spec.seed, stage)?)),
                StageEntry::Action(action) => Stage::Action(action.resolve(path, &place)?),
            })
        })
        .collect::<Result<_, _>>()?;
    let compute = machine::precision(spec.compute);
    let plan =
        Plan { name, model: spec.model.clone(), seed: spec.seed, compute, threads: spec.threads, directory, stages };
    for (index, stage) in plan.stages.iter().enumerate() {
        if let Stage::Action(action) = stage {
            action.check(&plan, index, &format!("{place}, stage {}", index + 1))?;
        }
    }
    Ok(plan)
}

fn resolve_stage(path: &Path, place: &str, seed: u64, spec: &StageSpec) -> Result<StagePlan, RecipeError> {
    let data = resolve_sources(path, place, "data", &spec.data)?;
    let validation_data = match &spec.validation_data {
        Some(sources) => resolve_sources(path, place, "validation_data", sources)?,
        None => Vec::new(),
    };
    let error = |what: String, fix: &str| RecipeError::new(place.to_owned(), what, fix);
    if spec.validation_data.is_some() && spec.validation_share.is_some() {
        return Err(error("both `validation_data` and `validation_share` are given".into(), "keep one of the two"));
    }
    let max_length = spec.max_length.unwrap_or(1024);
    if max_length < 2 {
        return Err(error(format!("`max_length` is {max_length}"), "use at least 2; 1024 is usual"));
    }
    let max_reject_share = spec.max_reject_share.unwrap_or(0.05);
    if !(0.0..=1.0).contains(&max_reject_share) {
        return Err(error(format!("`max_reject_share` is {max_reject_share}"), "use a share from 0 to 1"));
    }
    let neftune_alpha = spec.neftune_alpha.unwrap_or(0.0);
    if !(neftune_alpha >= 0.0 && neftune_alpha.is_finite()) {
        return Err(error(format!("`neftune_alpha` is {neftune_alpha}"), "use 5 (usual), or 0 for off"));
    }
    let sample_prompts = spec.sample_prompts.clone().unwrap_or_default();
    let sample_tokens = spec.sample_tokens.unwrap_or(128);
    if sample_tokens == 0 {
        return Err(error("`sample_tokens` is 0".into(), "leave sample_prompts out to get no samples"));
    }
    let tuning = resolve_tuning(place, spec)?;
    refuse_noise(place, spec, &tuning)?;
    let training = resolve_training(place, seed, spec, !validation_data.is_empty())?;
    let objective = resolve_objective(path, place, spec, &training)?;
    let monitor = resolve_monitor(path, place, spec, &objective, &training)?;
    if let Some(monitor) = monitor.as_ref().filter(|monitor| monitor.answer_tokens >= max_length) {
        let what = format!("`monitor.answer_tokens` is {} of `max_length` {max_length}", monitor.answer_tokens);
        return Err(error(what, "lower it, and leave room for the prompt"));
    }
    let members = resolve_members(place, spec, training.validation_share > 0.0 || !validation_data.is_empty())?;
    let save_merged = spec.save_merged.unwrap_or(true);
    if spec.save_merged.is_some() && !matches!(tuning, Tuning::LowRank(_)) {
        return Err(error("`save_merged` is set but no adapter is trained".into(), "remove it, or add `lora`"));
    }
    let stage = StagePlan {
        kind: spec.kind,
        data,
        validation_data,
        spans: resolve_spans(place, spec)?,
        max_length,
        overlong: match spec.overlong {
            Some(OverlongSpec::Truncate) => Overlong::Truncate,
            Some(OverlongSpec::Reject) | None => Overlong::Reject,
        },
        max_reject_share,
        tuning,
        neftune_alpha,
        moments: spec.moments.map_or(MomentType::F32, MomentType::from),
        activation_checkpointing: spec.activation_checkpointing.unwrap_or(false),
        rollout_server: resolve_rollout_server(place, spec)?,
        reference_update: resolve_reference_update(place, spec, &objective)?,
        objective,
        members,
        condition: resolve_condition(place, spec)?,
        monitor,
        training,
        sample_prompts,
        sample_tokens,
        save_merged,
    };
    if stage.training.ema.is_some() && stage.copies_reference() {
        let what = "`ema` needs the copy that is this stage's reference policy".to_owned();
        return Err(error(what, "tune an adapter (`lora`) without reference_update, or remove `ema`"));
    }
    Ok(stage)
}

/// Keys of one kind of stage that another does not read are errors.
fn resolve_objective(
    path: &Path,
    place: &str,
    spec: &StageSpec,
    training: &TrainingPlan,
) -> Result<Objective, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if let Some(key) = group_keys(spec).first().filter(|_| !spec.kind.samples()) {
        let article = if spec.kind == StageKind::Sft { "an" } else { "a" };
        let what = format!("`{key}` is not a key of {article} {} stage", spec.kind.name());
        return error(what, "remove it, or set kind = \"group\"");
    }
    if let Some(key) = ppo_keys(spec).first().filter(|_| spec.kind != StageKind::Ppo) {
        let what = format!("`{key}` is a key of ppo stages, not of {} stages", spec.kind.name());
        return error(what, "remove it, or set kind = \"ppo\"");
    }
    if let Some((key, kind)) = selection_keys(spec).into_iter().find(|(_, kind)| *kind != spec.kind.name()) {
        let what = format!("`{key}` is a key of {kind} stages, not of {} stages", spec.kind.name());
        return error(what, &format!("remove it, or set kind = \"{kind}\""));
    }
    match spec.kind {
        StageKind::Sft => match preference_keys(spec).first() {
            Some(key) => {
                error(format!("`{key}` is not a key of an sft stage"), "remove it, or set kind = \"preference\"")
            }
            None => Ok(Objective::Sft(match spec.reduction {
                Some(ReductionSpec::Records) => Reduction::Records,
                Some(ReductionSpec::Tokens) | None => Reduction::Tokens,
            })),
        },
        StageKind::Preference
        | StageKind::Reward
        | StageKind::Group
        | StageKind::Ppo
        | StageKind::ExpertIteration
        | StageKind::OnlinePreference => {
            let of_sources = |key: &str, is_set: fn(&SourceTable) -> bool| {
                let used = spec.data.tables().chain(spec.validation_data.iter().flat_map(Sources::tables)).any(is_set);
                used.then(|| key.to_owned())
            };
            let key = of_sources("weight", |table| table.weight.is_some())
                .or_else(|| of_sources("condition", |table| table.condition.is_some()));
            if let Some(key) = key {
                let what = format!("`{key}` of a source is not read by a {} stage", spec.kind.name());
                return error(what, "remove it; demonstrations (kind = \"sft\") can be weighted and conditioned");
            }
            let sft_only = [
                ("reduction", spec.reduction.is_some() && spec.kind != StageKind::ExpertIteration),
                ("learn", spec.learn.is_some()),
                ("train_on_prompt", spec.train_on_prompt.is_some()),
            ];
            if let Some((key, _)) = sft_only.into_iter().find(|(_, is_set)| *is_set) {
                let what = format!("`{key}` is not a key of a {} stage", spec.kind.name());
                return error(
                    what,
                    if spec.kind.samples() {
                        "remove it: the policy's own answers are trained"
                    } else {
                        "remove it: responses are compared"
                    },
                );
            }
            if spec.kind == StageKind::Reward {
                if spec.sample_prompts.is_some() {
                    let fix = "remove it: a reward model scores answers, it does not write them";
                    return error("`sample_prompts` is not a key of a reward stage".into(), fix);
                }
                return resolve_reward(place, spec).map(Objective::Reward);
            }
            if spec.kind == StageKind::Group {
                if let Some(key) = preference_keys(spec).into_iter().find(|key| *key != "loss") {
                    let fix = "remove it, or set kind = \"preference\"";
                    return error(format!("`{key}` is not a key of a group stage"), fix);
                }
                return resolve_group(place, spec).map(Objective::Group);
            }
            match spec.kind {
                StageKind::Ppo => resolve_ppo(path, place, spec, training).map(Objective::Ppo),
                StageKind::ExpertIteration => resolve_expert_iteration(place, spec).map(Objective::ExpertIteration),
                StageKind::OnlinePreference => resolve_online_preference(place, spec).map(Objective::OnlinePreference),
                _ => resolve_loss(place, spec).map(Objective::Preference),
            }
        }
    }
}

/// Ratios compare the policy that is trained with the one that answered, which has neither dropout nor noise.
fn refuse_noise(place: &str, spec: &StageSpec, tuning: &Tuning) -> Result<(), RecipeError> {
    let drops = matches!(tuning, Tuning::LowRank(low_rank) if low_rank.dropout > 0.0);
    let noisy = spec.neftune_alpha.is_some_and(|alpha| alpha > 0.0);
    if !matches!(spec.kind, StageKind::Group | StageKind::Ppo) || !(drops || noisy) {
        return Ok(());
    }
    let key = if drops { "lora.dropout" } else { "neftune_alpha" };
    let what = format!("`{key}` is set, but a {} stage trains the policy that answered", spec.kind.name());
    Err(RecipeError::new(place.to_owned(), what, "remove it: with noise it would be another policy"))
}

/// The paper's soft update by default: 0.6, and TRL's 512 steps apart.
fn resolve_reference_update(
    place: &str,
    spec: &StageSpec,
    objective: &Objective,
) -> Result<Option<ReferenceUpdate>, RecipeError> {
    let Some(update) = &spec.reference_update else { return Ok(None) };
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    match objective {
        Objective::Preference(loss) | Objective::OnlinePreference(OnlinePreferencePlan { loss, .. })
            if loss.uses_reference() => {}
        Objective::Preference(loss) | Objective::OnlinePreference(OnlinePreferencePlan { loss, .. }) => {
            let what = format!("`reference_update` is set but {} has no reference policy", loss.name);
            return error(what, "remove it");
        }
        Objective::Sft(_)
        | Objective::Reward(_)
        | Objective::Group(_)
        | Objective::Ppo(_)
        | Objective::ExpertIteration(_) => {
            let article = if matches!(spec.kind, StageKind::Sft | StageKind::ExpertIteration) { "an" } else { "a" };
            let what = format!("`reference_update` is not a key of {article} {} stage", spec.kind.name());
            return error(what, "remove it, or set kind = \"preference\"");
        }
    }
    let update = ReferenceUpdate { every: update.every.unwrap_or(512), share: update.share.unwrap_or(0.6) };
    if update.every == 0 {
        return error("`reference_update.every` is 0".into(), "use at least 1; leave reference_update out for never");
    }
    if !(update.share > 0.0 && update.share <= 1.0) {
        let what = format!("`reference_update.share` is {}", update.share);
        return error(what, "use a share above 0; 1 replaces the reference by the policy");
    }
    Ok(Some(update))
}

/// Labels, each different and none empty.
fn resolve_condition(place: &str, spec: &StageSpec) -> Result<Option<Condition>, RecipeError> {
    let Some(condition) = &spec.condition else { return Ok(None) };
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if spec.kind != StageKind::Sft {
        let what = format!("`condition` is not a key of a {} stage", spec.kind.name());
        return error(what, "remove it, or set kind = \"sft\"");
    }
    let labels = &condition.labels;
    let fix = "give labels from worst to best, such as [\"<|bad|> \", \"<|good|> \"]";
    if labels.len() < 2 {
        return error(format!("`condition.labels` has {} entries", labels.len()), fix);
    }
    let repeated = (1..labels.len()).find(|&index| labels[..index].contains(&labels[index]));
    if let Some(index) = repeated {
        return error(format!("`condition.labels` has {:?} twice", labels[index]), fix);
    }
    Ok(Some(condition.clone()))
}

fn resolve_spans(place: &str, spec: &StageSpec) -> Result<SpanPolicy, RecipeError> {
    let learn = match &spec.learn {
        None | Some(LearnSpec::Policy(LearnPolicy::Assistant)) => Learn::Assistant,
        Some(LearnSpec::Policy(LearnPolicy::LastAssistant)) => Learn::LastAssistant,
        Some(LearnSpec::Policy(LearnPolicy::Everything)) => Learn::Everything,
        Some(LearnSpec::Roles(roles)) if roles.is_empty() => {
            let what = "`learn` is an empty list: nothing would be trained".to_owned();
            return Err(RecipeError::new(place.to_owned(), what, "name a role, or leave `learn` out"));
        }
        Some(LearnSpec::Roles(roles)) => Learn::Roles(roles.clone()),
    };
    Ok(SpanPolicy { learn, train_on_prompt: spec.train_on_prompt.unwrap_or(false) })
}

fn resolve_tuning(place: &str, spec: &StageSpec) -> Result<Tuning, RecipeError> {
    let error = |what: &str, fix: &str| Err(RecipeError::new(place.to_owned(), what.to_owned(), fix));
    match (spec.tune, &spec.layers, &spec.lora) {
        (Some(TuneSpec::Full), None, None) => Ok(Tuning::Full),
        (Some(TuneSpec::Full), _, Some(_)) => error("`tune = \"full\"` and `lora` exclude each other", "keep one"),
        (_, Some(_), Some(_)) => error("`layers` and `lora` exclude each other", "keep one of the two"),
        (Some(TuneSpec::Lora), Some(_), None) => error("`tune = \"lora\"` and `layers` exclude each other", "keep one"),
        (_, Some(layers), None) if layers.is_empty() => error("`layers` is empty", "name layers, or tune = \"full\""),
        (_, Some(layers), None) => Ok(Tuning::Layers(layers.clone())),
        (_, None, lora) => resolve_lora(place, lora.as_ref()).map(Tuning::LowRank),
    }
}

/// Rank 16, alpha twice the rank, all linear layers: what the peers' recipes agree on for small models.
fn resolve_lora(place: &str, spec: Option<&LoraSpec>) -> Result<LowRank, RecipeError> {
    let rank = spec.and_then(|s| s.rank).unwrap_or(16);
    let low_rank = LowRank {
        rank,
        alpha: spec.and_then(|s| s.alpha).unwrap_or(2.0 * rank as f32),
        rslora: spec.is_some_and(|s| s.rslora),
        dropout: spec.map_or(0.0, |s| s.dropout),
        targets: spec.and_then(|s| s.targets.clone()).unwrap_or_else(|| vec!["all-linear".into()]),
    };
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    if !(1..=1024).contains(&rank) {
        return error(format!("`lora.rank` is {rank}"), "use 1 to 1024; 8 to 64 is usual");
    }
    if !(low_rank.alpha > 0.0 && low_rank.alpha.is_finite()) {
        return error(format!("`lora.alpha` is {}", low_rank.alpha), "use a number above 0; twice the rank is usual");
    }
    if !(0.0..1.0).contains(&low_rank.dropout) {
        return error(format!("`lora.dropout` is {}", low_rank.dropout), "use a share from 0 to below 1");
    }
    if low_rank.targets.is_empty() {
        return error("`lora.targets` is empty".into(), "use [\"all-linear\"], or names such as \"q_proj\"");
    }
    Ok(low_rank)
}
