//! `camelid judge rate`.

use std::process::ExitCode;

use anyhow::bail;
use camelid_judge::figures::{Rates, rate};
use camelid_judge::{Alone, all};
use serde_json::json;

use super::compare::{STAMP, ends};
use super::{ask, open, pairs};
use crate::cli::JudgeRateArgs;

pub(super) fn run(args: &JudgeRateArgs) -> anyhow::Result<ExitCode> {
    let cases = pairs::alone(&args.answers)?;
    let opened = open::open(&args.model, &args.judge)?;
    let Some(range) = opened.strategy().grader().map(camelid_judge::Grader::range) else {
        let graders: Vec<&str> =
            all().iter().filter(|strategy| strategy.grader().is_some()).map(|strategy| strategy.name()).collect();
        bail!(
            "--strategy {} compares and gives no grades\n  fix: use one of {}",
            args.judge.strategy,
            graders.join(", ")
        )
    };
    let hash = opened.identity.hash();
    let objections = open::standing(&args.judge.certificates, &hash)?.objections();
    if args.require_certificate && !objections.is_empty() {
        bail!(open::not_certified(&args.model, &args.judge.strategy, &objections));
    }
    let strategy = Alone(opened.strategy());
    let judgements = ask::ask(&opened.judge_with(&strategy), &hash, &cases, &[], &args.out)?;
    opened.tell();
    let found = rate(&judgements, range);
    if args.json {
        let report = json!({
            "judge": hash,
            "certified": objections.is_empty(),
            "objections": objections,
            "range": range,
            "mean": found.mean.map(|mean| mean.value),
            "standard_error": found.mean.map(|mean| mean.standard_error),
            "interval": ends(found.interval),
            "bounds": ends(found.bounds),
            "graded": found.graded, "unparsed": found.unparsed, "failed": found.failed,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", shown(args, range, &found, &objections));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(args: &JudgeRateArgs, [worst, best]: [f64; 2], found: &Rates, objections: &[String]) -> String {
    let stamp = if objections.is_empty() { "" } else { STAMP };
    let mean = found.mean.map_or_else(|| "none".to_owned(), |mean| format!("{:.2}", mean.value));
    let interval = found.interval.map(|ends| format!(" (95 %: {:.2} to {:.2})", ends.low, ends.high));
    let bounds =
        found.bounds.map(|ends| format!("; with the worst or the best for these: {:.2} to {:.2}", ends.low, ends.high));
    let mut lines = vec![
        ("answers", args.answers.display().to_string()),
        ("judge", format!("{} with {}{stamp}", args.model, args.judge.strategy)),
        ("mean grade", format!("{mean}{} of {worst} to {best}{stamp}", interval.unwrap_or_default())),
        ("graded", found.graded.to_string()),
        ("without a grade", {
            let bounds = if found.unparsed + found.failed > 0 { bounds.unwrap_or_default() } else { String::new() };
            format!("{} unparsed, {} failed{bounds}", found.unparsed, found.failed)
        }),
    ];
    lines.extend(objections.iter().map(|objection| ("not certified", objection.clone())));
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<28}{value}")).collect();
    lines.join("\n") + "\n"
}
