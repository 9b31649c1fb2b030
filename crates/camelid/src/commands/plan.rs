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
use crate::recipe::{self, Objective, Plan, Stage, StagePlan};
use crate::{machine, measure, models};

pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<()> {
    let spec = recipe::read(&args.recipe.recipe, &args.recipe.set)?;
    let plan = recipe::resolve(&args.recipe.recipe, &spec)?;
    let mut report = |line: &str| eprintln!("{line}");
    let model = models::open(&plan.model, &mut report)?;
    let rate = measure::product_rate(&machine::open_precision(plan.compute, plan.threads));
    let mut stages = Vec::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        let text = Text::new(model.text.clone())?;
        stages.push(match stage {
            Stage::Tuning(stage) => {
                let prepared = prepare(&plan, stage, Some(text), &mut report)?;
                let estimate = estimate_stage(&model, &plan, stage, &prepared, rate);
                Outlook::Tuning { stage, prepared: Box::new(prepared), estimate }
            }
            Stage::Action(action) => Outlook::Action(action.outlook(&plan, index, &text)?),
        });
    }
    if args.json {
        let stages: Vec<Json> =
            plan.stages.iter().zip(&stages).map(|(stage, outlook)| outlook.json(&recipe::view(stage))).collect();
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
    fn json(&self, view: &Json) -> Json {
        match self {
            Self::Tuning { stage, prepared, estimate } => json!({
                "plan": view, "estimate": estimate,
                "records": prepared.training.len(), "validation_records": prepared.validation.len(),
                "rejected_rows": prepared.rejects.len(), "monitored_prompts": prepared.monitor.len(), "sources": by_source(stage, prepared),
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
                for (name, value) in facts {
                    println!("# {name:<16} {value}");
                }
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
        if let Some(monitor) = &stage.monitor {
            let often = match monitor.every {
                0 => "at the start and the end".to_owned(),
                every => format!("every {every} steps"),
            };
            println!("# monitor          {} prompts {often}", prepared.monitor.len());
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

/// Predicts steps, tokens, memory and time of a stage. Where the policy answers prompts, every answer is taken to reach its limit.
pub(crate) fn estimate_stage(
    model: &LoadedModel,
    plan: &Plan,
    stage: &StagePlan,
    prepared: &Prepared,
    rate: f64,
) -> Estimate {
    let training = &stage.training;
    let steps = training.steps(prepared.training.len());
    let (samples, answer_tokens) = stage.answers().unwrap_or_default();
    let mean =
        |examples: &[Example]| examples.iter().map(Example::rows).sum::<usize>() as f64 / examples.len().max(1) as f64;
    let rows_of_example = mean(&prepared.training) + (samples * answer_tokens) as f64;
    let records = (steps * training.batch_size as u64).min(training.records(prepared.training.len()));
    let members = stage.members as f64;
    let tokens = members * records as f64 * rows_of_example;
    let rows = (training.tokens_per_micro_batch as f64).min(rows_of_example * training.batch_size as f64) as usize;
    let learning = estimate::flops_a_token(&model.arch, &stage.tuning, stage.activation_checkpointing);
    let scoring = estimate::flops_a_token(&model.arch, &Tuning::Frozen, false);
    let value_model = matches!(stage.objective, Objective::Ppo(_));
    // A round is drawn, scored by the reference and by the value model, then passed over so many times by each that learns.
    let passes = training.inner_epochs as f64;
    let scored = match stage.answers() {
        None => 0.0,
        Some(_) => 1.0 + f64::from(u8::from(stage.policy_reference().is_some())) + f64::from(u8::from(value_model)),
    };
    let learners: u32 = if value_model { 2 } else { 1 };
    let flops = tokens * (f64::from(learners) * passes * learning + scored * scoring);
    let evaluations = 2 + steps.checked_div(training.eval_every).unwrap_or(0);
    let validation = prepared.validation.len() as f64 * (mean(&prepared.validation) + answer_tokens as f64);
    let validating = members * validation * evaluations as f64 * scoring;
    // Each measurement draws an answer to every prompt and asks the starting policy for it.
    let measurements = match &stage.monitor {
        Some(monitor) => 2 + steps.checked_div(monitor.every).unwrap_or(0),
        None => 0,
    };
    let of_monitor = stage.monitor.as_ref().map_or(0, |monitor| monitor.answer_tokens) as f64;
    let measured = prepared.monitor.len() as f64 * (mean(&prepared.monitor) + of_monitor);
    let measuring = 2.0 * measurements as f64 * measured * scoring;
    let memory = estimate::memory_bytes(
        &model.arch,
        &stage.tuning,
        stage.moments,
        stage.activation_checkpointing,
        plan.compute,
        rows,
    );
    let cache = estimate::cache_bytes(&model.arch, plan.compute, training.batch_size as f64 * rows_of_example);
    Estimate {
        steps,
        tokens: tokens as u64,
        // The cache is given back before an update, but its pages are the peak of what generation needs.
        memory_bytes: memory * u64::from(learners) + if stage.answers().is_some() { cache } else { 0 },
        seconds: (flops + validating + measuring) / (rate * estimate::STEP_EFFICIENCY),
    }
}
