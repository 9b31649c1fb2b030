//! A plan as text and JSON: every value that decides the result, nothing left open.

use camelid_kernels::Compute;
use camelid_model::{MomentType, Tuning};
use camelid_train::Reduction;
use serde_json::{Value as Json, json};

use super::plan::{Objective, Plan, Stage, StagePlan};

/// Everything but the stages.
pub(crate) fn plan_view(plan: &Plan) -> Json {
    let compute = if plan.compute == Compute::Bf16 { "bf16" } else { "f32" };
    let mut view = json!({
        "name": plan.name, "model": plan.model, "seed": plan.seed, "compute": compute,
        "run_directory": plan.directory,
    });
    if let Some(threads) = plan.threads {
        view["threads"] = json!(threads);
    }
    view
}

/// Any stage.
pub(crate) fn view(stage: &Stage) -> Json {
    match stage {
        Stage::Tuning(stage) => stage_view(stage),
        Stage::Action(action) => {
            let mut view = json!({ "kind": action.kind().name() });
            if let (Some(view), Json::Object(own)) = (view.as_object_mut(), action.view()) {
                view.extend(own);
            }
            view
        }
    }
}

/// One that tunes.
pub(crate) fn stage_view(stage: &StagePlan) -> Json {
    let tuning = match &stage.tuning {
        Tuning::Frozen => json!("nothing"),
        Tuning::Full => json!("full"),
        Tuning::Layers(layers) => json!({ "layers": layers }),
        Tuning::LowRank(low_rank) => json!({ "lora": {
            "rank": low_rank.rank, "alpha": low_rank.alpha, "rslora": low_rank.rslora, "dropout": low_rank.dropout,
            "targets": low_rank.targets,
        } }),
    };
    let mut training = json!(stage.training);
    // TOML has no infinity in JSON's clothes; off is what the recipe calls it.
    if stage.training.max_grad_norm.is_infinite() {
        training["max_grad_norm"] = json!(0.0);
    }
    let moments = match stage.moments {
        MomentType::F32 => "f32",
        MomentType::Bf16 => "bf16",
    };
    let objective = match &stage.objective {
        Objective::Sft(Reduction::Tokens) => json!({ "reduction": "tokens" }),
        Objective::Sft(Reduction::Records) => json!({ "reduction": "records" }),
        Objective::Preference(loss) => json!(loss),
        Objective::Reward(reward) => json!(reward),
        Objective::Group(group) => json!(group),
        Objective::Ppo(ppo) => json!(ppo),
        Objective::ExpertIteration(iteration) => json!(iteration),
        Objective::OnlinePreference(online) => json!(online),
    };
    let mut view = json!({
        "kind": stage.kind.name(), "objective": objective, "data": stage.data, "validation_data": stage.validation_data, "spans": stage.spans,
        "max_length": stage.max_length, "overlong": stage.overlong, "max_reject_share": stage.max_reject_share,
        "tune": tuning, "neftune_alpha": stage.neftune_alpha, "moments": moments,
        "training": training,
        "sample_prompts": stage.sample_prompts, "sample_tokens": stage.sample_tokens,
        "save_merged": stage.save_merged,
    });
    // Shown only where it is set: the view is hashed, and runs from before there was a choice must go on.
    if stage.activation_checkpointing {
        view["activation_checkpointing"] = json!(true);
    }
    if stage.members > 1 {
        view["members"] = json!(stage.members);
    }
    if let Some(condition) = &stage.condition {
        view["condition"] = json!(condition);
    }
    if let Some(server) = &stage.rollout_server {
        view["rollout_server"] = json!(server);
    }
    if let Some(monitor) = &stage.monitor {
        view["monitor"] = json!(monitor);
    }
    if let Some(update) = &stage.reference_update {
        view["reference_update"] = json!(update);
    }
    view
}

/// The whole plan as TOML.
pub(crate) fn plan_text(plan: &Plan) -> anyhow::Result<String> {
    let mut view = plan_view(plan);
    view["stage"] = plan.stages.iter().map(self::view).collect();
    Ok(toml::to_string(&view)?)
}
