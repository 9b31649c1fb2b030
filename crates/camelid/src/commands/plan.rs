//! `camelid plan`: what a recipe would do, without loading a weight.

use std::collections::BTreeMap;

use camelid_model::{LoadedModel, Tuning};
use camelid_text::Text;
use camelid_train::Example;
use indicatif::{HumanBytes, HumanDuration};
use serde_json::{Value as Json, json};

use super::prepare::{Prepared, prepare};
use crate::cli::PlanArgs;
use crate::estimate::{self, Estimate};
use crate::recipe::{self, Plan, Stage, StagePlan};
use crate::{machine, measure, models};

pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<()> {
    let spec = recipe::read(&args.recipe.recipe, &args.recipe.set)?;
    let plan = recipe::resolve(&args.recipe.recipe, &spec)?;
    let mut report = |line: &str| eprintln!("{line}");
    let model = models::open(&plan.model, &mut report)?;
    let rate = measure::product_rate(&machine::open_precision(plan.compute, plan.threads));
    let mut stages = Vec::new();
    for stage in &plan.stages {
        let text = Text::new(model.text.clone())?;
        stages.push(match stage {
            Stage::Tuning(stage) => {
                let prepared = prepare(&plan, stage, Some(text), &mut report)?;
                let estimate = estimate_stage(&model, &plan, stage, &prepared, rate);
                Outlook::Tuning { stage, prepared: Box::new(prepared), estimate }
            }
            Stage::Action(action) => Outlook::Action(action.outlook(&text)?),
        });
    }
    if args.json {
        let stages: Vec<Json> =
            plan.stages.iter().zip(&stages).map(|(stage, outlook)| outlook.json(recipe::view(stage))).collect();
        println!("{:#}", json!({ "run": recipe::plan_view(&plan), "stages": stages }));
        return Ok(());
    }
    print!("{}", recipe::plan_text(&plan)?);
    for (number, outlook) in stages.iter().enumerate() {
        println!("\n# stage {}", number + 1);
        outlook.print(rate);
    }
    Ok(())
}

/// What a stage would do.
enum Outlook<'a> {
    Tuning {
        stage: &'a StagePlan,
        prepared: Box<Prepared>,
        estimate: Estimate,
    },
    /// Names and values.
    Action(Vec<(String, String)>),
}

impl Outlook<'_> {
    fn json(&self, view: Json) -> Json {
        match self {
            Self::Tuning { stage, prepared, estimate } => json!({
                "plan": view, "estimate": estimate,
                "records": prepared.training.len(), "validation_records": prepared.validation.len(),
                "rejected_rows": prepared.rejects.len(), "sources": by_source(stage, prepared),
            }),
            Self::Action(facts) => {
                let facts: serde_json::Map<String, Json> =
                    facts.iter().map(|(name, value)| (name.replace(' ', "_"), json!(value))).collect();
                json!({ "plan": view, "outlook": facts })
            }
        }
    }

    /// `rate` is that of matrix products here, in operations a second.
    fn print(&self, rate: f64) {
        let (stage, prepared, estimate) = match self {
            Self::Tuning { stage, prepared, estimate } => (stage, prepared, estimate),
            Self::Action(facts) => {
                facts.iter().for_each(|(name, value)| println!("# {name:<16} {value}"));
                return;
            }
        };
        println!(
            "# records          {} train, {} validate, {} refused",
            prepared.training.len(),
            prepared.validation.len(),
            prepared.rejects.len()
        );
        for (source, figures) in by_source(stage, prepared) {
            println!(
                "#   {source}: {} records, {} tokens, {:.2} epochs",
                figures.records, figures.tokens, figures.epochs
            );
        }
        println!("# steps            {}", estimate.steps);
        println!("# tokens           {}", estimate.tokens);
        println!("# peak memory      about {}", HumanBytes(estimate.memory_bytes));
        let time = std::time::Duration::from_secs_f64(estimate.seconds);
        println!(
            "# time             about {} (matrix products here reach {:.0} GFLOP/s)",
            HumanDuration(time),
            rate / 1e9
        );
    }
}

/// A source's share of the training.
#[derive(serde::Serialize)]
struct SourceFigures {
    records: usize,
    tokens: usize,
    epochs: f64,
}

fn by_source(stage: &StagePlan, prepared: &Prepared) -> BTreeMap<String, SourceFigures> {
    let steps = stage.training.steps(prepared.training.len());
    let seen = (steps * stage.training.batch_size as u64).min(stage.training.records(prepared.training.len()));
    let epochs = seen as f64 / prepared.training.len().max(1) as f64;
    let mut sources: BTreeMap<String, SourceFigures> = BTreeMap::new();
    for example in &prepared.training {
        let name = &prepared.names[example.record() as usize];
        let source = name.rsplit_once(':').map_or(name.as_str(), |(source, _)| source);
        let figures = sources.entry(source.to_owned()).or_insert(SourceFigures { records: 0, tokens: 0, epochs });
        figures.records += 1;
        figures.tokens += example.tokens();
    }
    sources
}

/// Predicts steps, tokens, memory and time of a stage.
pub(crate) fn estimate_stage(
    model: &LoadedModel,
    plan: &Plan,
    stage: &StagePlan,
    prepared: &Prepared,
    rate: f64,
) -> Estimate {
    let training = &stage.training;
    let steps = training.steps(prepared.training.len());
    let all: usize = prepared.training.iter().map(Example::rows).sum();
    let mean = all as f64 / prepared.training.len().max(1) as f64;
    let records = (steps * training.batch_size as u64).min(training.records(prepared.training.len()));
    let members = stage.members as f64;
    let tokens = members * records as f64 * mean;
    let rows = (training.tokens_per_micro_batch as f64).min(mean * training.batch_size as f64) as usize;
    let flops = tokens * estimate::flops_a_token(&model.arch, &stage.tuning, stage.activation_checkpointing);
    let validation: usize = prepared.validation.iter().map(Example::rows).sum();
    let passes = 2 + steps.checked_div(training.eval_every).unwrap_or(0);
    let scoring = estimate::flops_a_token(&model.arch, &Tuning::Frozen, false);
    let validating = members * (validation as u64 * passes) as f64 * scoring;
    Estimate {
        steps,
        tokens: tokens as u64,
        memory_bytes: estimate::memory_bytes(
            &model.arch,
            &stage.tuning,
            stage.moments,
            stage.activation_checkpointing,
            plan.compute,
            rows,
        ),
        seconds: (flops + validating) / (rate * estimate::STEP_EFFICIENCY),
    }
}
