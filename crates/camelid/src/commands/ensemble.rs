//! A reward stage of several members: each a run of its own from another seed, then all of them on one scale.

use camelid_kernels::Cpu;
use camelid_objectives::reward::ensemble::{Combine, Standard, combine};
use camelid_train::{Example, RunDirectory, rewards};
use serde_json::json;

use super::prepare::Prepared;
use super::reward_report::{RewardReport, judge};
use crate::recipe::{Objective, RewardPlan, StagePlan};
use crate::reward_models::{self, ENSEMBLE, Ensemble, Member, REPORT};

/// The folder of a member, counted from 1, inside the stage's.
pub(super) fn member_name(number: usize) -> String {
    format!("member-{number}")
}

/// The stage as its member `number`, counted from 1, runs it: the first has the stage's seed, each further one the next.
pub(super) fn member_stage(stage: &StagePlan, number: usize) -> StagePlan {
    let mut stage = stage.clone();
    stage.training.seed = stage.training.seed.wrapping_add(number as u64 - 1);
    stage.members = 1;
    stage
}

/// Scores the held-out responses with each member as it was written, writes their scales to `ensemble.json` and what their
/// standardised mean is worth to `reward_report.json`; of nothing held out, nothing.
pub(super) fn join(
    directory: &RunDirectory,
    models: &[std::path::PathBuf],
    stage: &StagePlan,
    prepared: &Prepared,
    backend: &dyn Fn() -> Cpu,
) -> anyhow::Result<Option<RewardReport>> {
    let examples: Vec<&Example> = prepared.validation.iter().collect();
    let (mut members, mut by_member) = (Vec::new(), Vec::new());
    for model in models {
        let folder = directory.path().join(model);
        let (mut engine, _) = reward_models::load(&folder, backend(), &mut |line| eprintln!("{line}"))?;
        let scores = rewards(engine.as_mut(), &examples, stage.training.tokens_per_micro_batch)?;
        let flat: Vec<f64> = scores.iter().flatten().map(|&reward| f64::from(reward)).collect();
        let standard = match &stage.objective {
            // Rewards from comparisons are free up to a constant, and how far apart they are depends on the training.
            Objective::Reward(RewardPlan::BradleyTerry { .. }) => Standard::of(&flat),
            _ => Standard::IDENTITY,
        };
        members.push(Member { model: model.clone(), mean: standard.mean, deviation: standard.deviation });
        by_member.push((standard, scores));
    }
    // Back in the members' unit, in which a difference of rewards is a confidence.
    let unit = members.iter().map(|member| member.deviation).sum::<f64>() / members.len().max(1) as f64;
    let of = |example: usize, sequence: usize| {
        let scaled =
            |(standard, scores): &(Standard, Vec<Vec<f32>>)| standard.apply(f64::from(scores[example][sequence]));
        let rewards: Vec<f64> = by_member.iter().map(scaled).collect();
        (unit * combine(Combine::Mean, &rewards)) as f32
    };
    let combined = examples
        .iter()
        .enumerate()
        .map(|(example, held_out)| (0..held_out.sequences.len()).map(|sequence| of(example, sequence)).collect());
    let report = judge(&examples, combined.collect())?;
    directory.write(ENSEMBLE, &format!("{:#}\n", json!(Ensemble { members })))?;
    if let Some(report) = &report {
        directory.write(REPORT, &format!("{:#}\n", report.to_json()))?;
    }
    Ok(report)
}
