//! `camelid judge rank`.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use camelid_judge::Case;
use camelid_judge::figures::{Match, Placing, Ranking, rank};
use camelid_records::Judgement;
use serde_json::{Value as Json, json};

use super::compare::{STAMP, ends, percent};
use super::{ask, open, pairs};
use crate::cli::JudgeRankArgs;

pub(super) fn run(args: &JudgeRankArgs) -> anyhow::Result<ExitCode> {
    let names: Vec<String> = args.answers.iter().map(|path| pairs::name(path)).collect();
    ensure!(names.len() > 1, "one file of answers has nobody to be ranked against\n  fix: name two files or more");
    for (place, name) in names.iter().enumerate() {
        ensure!(
            !names[..place].contains(name),
            "two files are called {name}\n  fix: models go by the names of their files; rename one"
        );
    }
    let (mut cases, mut players, mut models) = (Vec::<Case>::new(), Vec::new(), Vec::new());
    for (first, one) in args.answers.iter().enumerate() {
        for (second, other) in args.answers.iter().enumerate().skip(first + 1) {
            let (pairs, alone) = pairs::read(one, other)?;
            if alone > 0 {
                eprintln!("{alone} prompts are answered by one of {} and {} only", names[first], names[second]);
            }
            for case in pairs {
                let id = format!("{}/{}/{}", names[first], names[second], case.id);
                // The prompt is the group, whichever models meet on it.
                let group = case.instruction();
                cases.push(Case { id, group, ..case });
                players.push([first, second]);
                models.push([names[first].clone(), names[second].clone()]);
            }
        }
    }
    let opened = open::open(&args.model, &args.judge)?;
    let hash = opened.identity.hash();
    let objections = open::standing(&args.judge.certificates, &hash)?.objections();
    if args.require_certificate && !objections.is_empty() {
        bail!(open::not_certified(&args.model, &args.judge.strategy, &objections));
    }
    let judgements = ask::ask(&opened.judge(), &hash, &cases, &models, &args.out)?;
    opened.tell();
    let matched = |(&[first, second], judgement): (&[usize; 2], Judgement)| Match { first, second, judgement };
    let matches: Vec<Match> = players.iter().zip(judgements).map(matched).collect();
    let found = rank(&matches, names.len(), args.judge.seed);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&found, &names, &objections, &hash))?);
    } else {
        print!("{}", shown(&found, &names, &objections));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn as_json(found: &Ranking, names: &[String], objections: &[String], judge: &str) -> Json {
    let row = |placing: &Placing| {
        json!({
            "model": names.get(placing.model),
            "strength": placing.strength, "elo": placing.elo, "elo_interval": ends(placing.interval),
            "win_rate": placing.win_rate, "matches": placing.matches,
        })
    };
    json!({
        "judge": judge,
        "certified": objections.is_empty(),
        "objections": objections,
        "ranking": found.placings.iter().map(row).collect::<Vec<Json>>(),
        "draws": found.draws,
        "undecided": found.undecided,
        "agreement": found.positions.agreement(),
        "parse_rate": found.positions.parse_rate(),
    })
}

pub(super) fn shown(found: &Ranking, names: &[String], objections: &[String]) -> String {
    let stamp = if objections.is_empty() { "" } else { STAMP };
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max(5);
    let mut lines =
        vec![format!("{:<width$}  {:>6}  {:>18}  {:>9}  {:>7}{stamp}", "model", "Elo", "95 %", "win rate", "matches")];
    for placing in &found.placings {
        let name = names.get(placing.model).map_or("", String::as_str);
        let elo = placing.elo.map_or_else(|| "none".to_owned(), |elo| format!("{elo:.0}"));
        let range = placing.interval.map_or_else(String::new, |ends| format!("{:.0} to {:.0}", ends.low, ends.high));
        let wins = percent(placing.win_rate, None);
        lines.push(format!("{name:<width$}  {elo:>6}  {range:>18}  {wins:>9}  {:>7}", placing.matches));
    }
    if found.placings.iter().any(|placing| placing.strength.is_none()) {
        lines.push("no fit: some model won all or none of its matches against the others".to_owned());
    }
    lines.push(format!("without a verdict: {}", found.undecided));
    lines.extend(objections.iter().map(|objection| format!("not certified: {objection}")));
    lines.join("\n") + "\n"
}
