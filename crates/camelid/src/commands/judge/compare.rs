//! `camelid judge compare`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use camelid_eval::statistics::Interval;
use camelid_judge::figures::{Comparison, compare};
use camelid_judge::people::{ForPerson, decide, queue, read_decisions};
use serde_json::{Value as Json, json};

use super::{
    ask, open,
    pairs::{self, name},
};
use crate::cli::JudgeCompareArgs;

pub(super) fn run(args: &JudgeCompareArgs) -> anyhow::Result<ExitCode> {
    ensure!(
        (0.0..=1.0).contains(&args.people_share),
        "--people-share {} is no share\n  fix: use a number from 0 to 1",
        args.people_share
    );
    let (cases, alone) = pairs::read(&args.first, &args.second)?;
    if alone > 0 {
        eprintln!("{alone} prompts are answered in one of the files only and left out");
    }
    let opened = open::open(&args.model, &args.judge)?;
    let hash = opened.identity.hash();
    let objections = open::standing(&args.judge.certificates, &hash)?.objections();
    if args.require_certificate && !objections.is_empty() {
        bail!(open::not_certified(&args.model, &args.judge.strategy, &objections));
    }
    let models = vec![[name(&args.first), name(&args.second)]; cases.len()];
    let mut judgements = ask::ask(&opened.judge(), &hash, &cases, &models, &args.out)?;
    opened.tell();
    if let Some(path) = &args.decided {
        let decided = decide(&mut judgements, &read_decisions(path)?);
        eprintln!("{decided} pairs were decided by people");
    }
    if let Some(path) = &args.for_people {
        let places = queue(&judgements, args.people_share);
        let mut text = String::new();
        for &place in &places {
            text.push_str(&serde_json::to_string(&ForPerson::new(&cases[place], &judgements[place]))?);
            text.push('\n');
        }
        std::fs::write(path, text).with_context(|| {
            format!("{} cannot be written\n  fix: name a file in a folder that exists", path.display())
        })?;
        eprintln!("{} pairs for people in {}", places.len(), path.display());
    }
    let found = compare(&judgements, args.judge.seed);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&found, &objections, &hash))?);
    } else {
        print!("{}", shown(&about(args), &found, &objections));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn ends(interval: Option<Interval>) -> Json {
    interval.map_or(Json::Null, |interval| json!([interval.low, interval.high]))
}

pub(super) fn as_json(found: &Comparison, objections: &[String], judge: &str) -> Json {
    let positions = &found.positions;
    json!({
        "judge": judge,
        "certified": objections.is_empty(),
        "objections": objections,
        "win_rate": found.win_rate.map(|mean| mean.value),
        "standard_error": found.win_rate.map(|mean| mean.standard_error),
        "interval": ends(found.interval),
        "p": found.p_value,
        "bounds": ends(found.bounds),
        "wins": found.wins, "ties": found.ties, "losses": found.losses, "undecided": found.undecided,
        "groups": found.groups,
        "mean_characters": found.lengths,
        "length_controlled": found.length_controlled.as_ref().map(|controlled| json!({
            "win_rate": controlled.fitted.win_rate,
            "standard_error": controlled.standard_error,
            "interval": ends(controlled.interval),
            "draws": controlled.draws,
        })),
        "agreement": positions.agreement(),
        "agreement_interval": ends(positions.agreement_interval()),
        "first_read_rate": positions.first_read_rate(),
        "parse_rate": positions.parse_rate(),
        "unparsed": positions.unparsed, "failed": positions.failed,
    })
}

pub(super) fn percent(value: Option<f64>, interval: Option<Interval>) -> String {
    let Some(value) = value else { return "none".to_owned() };
    let ends = interval.map(|interval| format!(" (95 %: {:.1} to {:.1})", 100.0 * interval.low, 100.0 * interval.high));
    format!("{:.1} %{}", 100.0 * value, ends.unwrap_or_default())
}

/// What stands above the figures.
fn about(args: &JudgeCompareArgs) -> [(&'static str, String); 3] {
    [
        ("first", args.first.display().to_string()),
        ("second", args.second.display().to_string()),
        ("judge", format!("{} with {}", args.model, args.judge.strategy)),
    ]
}

pub(super) const STAMP: &str = "  NOT CERTIFIED";

pub(super) fn shown(about: &[(&str, String)], found: &Comparison, objections: &[String]) -> String {
    let stamp = if objections.is_empty() { "" } else { STAMP };
    let positions = &found.positions;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<28}{value}");
    };
    for (name, value) in about {
        line(name, value.clone());
    }
    line("first is preferred", percent(found.win_rate.map(|mean| mean.value), found.interval) + stamp);
    let controlled = found.length_controlled.as_ref();
    let at_equal_length = controlled.map(|controlled| controlled.fitted.win_rate);
    line("at equal length", percent(at_equal_length, controlled.and_then(|controlled| controlled.interval)) + stamp);
    line("won, tied, lost", format!("{}, {}, {}", found.wins, found.ties, found.losses));
    let bounds = found
        .bounds
        .map(|bounds| format!("; as losses or wins: {:.1} to {:.1} %", 100.0 * bounds.low, 100.0 * bounds.high));
    line("without a verdict", format!("{}{}", found.undecided, bounds.unwrap_or_default()));
    line("mean characters", format!("{:.0} and {:.0}", found.lengths[0], found.lengths[1]));
    line("same verdict in both orders", percent(positions.agreement(), positions.agreement_interval()));
    line("for what is read first", percent(positions.first_read_rate(), None));
    line("verdicts that can be read", percent(positions.parse_rate(), None));
    for objection in objections {
        line("not certified", objection.clone());
    }
    text
}
