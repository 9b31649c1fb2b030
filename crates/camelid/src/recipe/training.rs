//! Optimiser, schedule and loop of a stage.

use camelid_train::{Schedule, Shape, TrainingPlan};

use super::RecipeError;
use super::spec::{ScheduleSpec, StageKind, StageSpec, TuneSpec};

/// Fills in defaults and checks ranges.
pub(crate) fn resolve_training(
    place: &str,
    seed: u64,
    spec: &StageSpec,
    has_validation_data: bool,
) -> Result<TrainingPlan, RecipeError> {
    let full = spec.tune == Some(TuneSpec::Full) || spec.layers.is_some();
    let plan = TrainingPlan {
        seed,
        epochs: spec.epochs.unwrap_or(1.0),
        max_steps: spec.max_steps.unwrap_or(0),
        batch_size: spec.batch_size.unwrap_or(16),
        // Ziegler 2019 (arXiv 1909.08593).
        inner_epochs: spec.inner_epochs.unwrap_or(if spec.kind == StageKind::Ppo { 4 } else { 1 }),
        mini_batches: spec.mini_batches.unwrap_or(1),
        tokens_per_micro_batch: spec.tokens_per_micro_batch.unwrap_or(2048),
        schedule: Schedule {
            shape: match spec.schedule {
                Some(ScheduleSpec::Constant) => Shape::Constant,
                Some(ScheduleSpec::Linear) => Shape::Linear,
                Some(ScheduleSpec::Wsd) => Shape::Wsd,
                Some(ScheduleSpec::Cosine) | None => Shape::Cosine,
            },
            // An adapter bears, and needs, about ten times the rate of full tuning; preferences a twentieth of
            // demonstrations.
            learning_rate: spec.learning_rate.unwrap_or(match (spec.kind, full) {
                (StageKind::Sft | StageKind::ExpertIteration, true) => 2e-5,
                (StageKind::Sft | StageKind::ExpertIteration, false) => 2e-4,
                (StageKind::Reward, false) => 1e-4,
                (StageKind::Reward, true) | (_, false) => 1e-5,
                (_, true) => 1e-6,
            }),
            warmup: spec.warmup.unwrap_or(0.03),
            final_share: spec.final_learning_rate_share.unwrap_or(0.0),
            decay_share: spec.decay_share.unwrap_or(0.1),
        },
        weight_decay: spec.weight_decay.unwrap_or(0.0),
        beta1: spec.beta1.unwrap_or(0.9),
        beta2: spec.beta2.unwrap_or(0.999),
        epsilon: spec.epsilon.unwrap_or(1e-8),
        max_grad_norm: match spec.max_grad_norm {
            Some(0.0) => f32::INFINITY,
            Some(norm) => norm,
            None => 1.0,
        },
        ema: spec.ema,
        validation_share: if has_validation_data { 0.0 } else { spec.validation_share.unwrap_or(0.05) },
        eval_every: spec.eval_every.unwrap_or(0),
        early_stop_patience: spec.early_stop_patience.unwrap_or(0),
        checkpoint_every: spec.checkpoint_every.unwrap_or(50),
        keep_checkpoints: spec.keep_checkpoints.unwrap_or(2),
    };
    check(place, spec, &plan).map(|()| plan)
}

/// Every value in its range; combinations that cannot mean anything are errors.
fn check(place: &str, spec: &StageSpec, plan: &TrainingPlan) -> Result<(), RecipeError> {
    let schedule = &plan.schedule;
    let positive = |value: f64| value > 0.0 && value.is_finite();
    let share = |value: f64| (0.0..1.0).contains(&value);
    let rules: [(bool, &str, String, &str); 18] = [
        (positive(plan.epochs), "epochs", plan.epochs.to_string(), "a number above 0"),
        (plan.batch_size > 0, "batch_size", plan.batch_size.to_string(), "at least 1"),
        (plan.inner_epochs > 0, "inner_epochs", plan.inner_epochs.to_string(), "at least 1; PPO has 1 to 4"),
        (plan.mini_batches > 0, "mini_batches", plan.mini_batches.to_string(), "at least 1"),
        (
            plan.tokens_per_micro_batch > 0,
            "tokens_per_micro_batch",
            plan.tokens_per_micro_batch.to_string(),
            "at least 1; 2048 is usual",
        ),
        (positive(schedule.learning_rate), "learning_rate", schedule.learning_rate.to_string(), "a number above 0"),
        (
            schedule.learning_rate < 1.0,
            "learning_rate",
            schedule.learning_rate.to_string(),
            "a number below 1, such as 2e-4",
        ),
        (
            schedule.warmup >= 0.0 && schedule.warmup.is_finite(),
            "warmup",
            schedule.warmup.to_string(),
            "a share below 1, or a number of steps",
        ),
        (
            (0.0..=1.0).contains(&schedule.final_share),
            "final_learning_rate_share",
            schedule.final_share.to_string(),
            "a share from 0 to 1",
        ),
        (
            schedule.decay_share > 0.0 && schedule.decay_share <= 1.0,
            "decay_share",
            schedule.decay_share.to_string(),
            "a share above 0 and at most 1",
        ),
        (
            share(f64::from(plan.weight_decay)),
            "weight_decay",
            plan.weight_decay.to_string(),
            "a number from 0 to below 1",
        ),
        (share(f64::from(plan.beta1)), "beta1", plan.beta1.to_string(), "a number from 0 to below 1"),
        (share(f64::from(plan.beta2)), "beta2", plan.beta2.to_string(), "a number from 0 to below 1"),
        (positive(f64::from(plan.epsilon)), "epsilon", plan.epsilon.to_string(), "a number above 0"),
        (plan.max_grad_norm > 0.0, "max_grad_norm", plan.max_grad_norm.to_string(), "a number above 0, or 0 for off"),
        (
            plan.ema.is_none_or(|decay| decay > 0.0 && decay < 1.0),
            "ema",
            plan.ema.unwrap_or(0.0).to_string(),
            "a decay between 0 and 1; 0.992 is InstructGPT's",
        ),
        (
            share(plan.validation_share),
            "validation_share",
            plan.validation_share.to_string(),
            "a share from 0 to below 1",
        ),
        (plan.keep_checkpoints > 0, "keep_checkpoints", plan.keep_checkpoints.to_string(), "at least 1"),
    ];
    if let Some((_, key, value, range)) = rules.into_iter().find(|(holds, ..)| !holds) {
        return Err(RecipeError::new(place.to_owned(), format!("`{key}` is {value}"), format!("use {range}")));
    }
    let error = |what: &str, fix: &str| Err(RecipeError::new(place.to_owned(), what.to_owned(), fix));
    if spec.decay_share.is_some() && schedule.shape != Shape::Wsd {
        return error("`decay_share` is set but the schedule is not \"wsd\"", "remove it, or set schedule = \"wsd\"");
    }
    if spec.final_learning_rate_share.is_some() && schedule.shape == Shape::Constant {
        return error("`final_learning_rate_share` is set but the schedule is constant", "remove it");
    }
    let validates = spec.validation_data.is_some() || plan.validation_share > 0.0;
    if plan.early_stop_patience > 0 && !validates {
        return error(
            "`early_stop_patience` is set but nothing is held out",
            "set validation_share or validation_data",
        );
    }
    if plan.early_stop_patience > 0 && plan.eval_every == 0 {
        return error("`early_stop_patience` is set but `eval_every` is not", "say after how many steps to validate");
    }
    if plan.eval_every > 0 && !validates {
        return error("`eval_every` is set but nothing is held out", "set validation_share or validation_data");
    }
    Ok(())
}
