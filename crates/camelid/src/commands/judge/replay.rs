//! `camelid judge replay`: figures of judgements that a file has, without asking anybody.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use camelid_judge::figures::{Match, Replies, compare, rank};
use camelid_judge::people::{decide, read_decisions};
use camelid_judge::read_named;
use camelid_records::Judgement;
use serde_json::json;

use super::compare::{as_json, shown};
use super::{open, rank as ranking};
use crate::cli::JudgeReplayArgs;

pub(super) fn run(args: &JudgeReplayArgs) -> anyhow::Result<ExitCode> {
    let file = args.judgements.display();
    let named = read_named(&args.judgements)?;
    ensure!(!named.is_empty(), "{file} has no judgements\n  fix: name a file that camelid judge wrote");
    let (mut judgements, mut models) = (Vec::new(), Vec::new());
    for (judgement, pair) in named {
        let Some(pair) = pair else {
            bail!(
                "{file}: judgement {} does not say whose outputs it compares\n  fix: name a file of camelid judge compare or rank; \
                 certificates and grades are printed again by the command that made them",
                judgement.id
            )
        };
        judgements.push(judgement);
        models.push(pair);
    }
    let judge = judgements[0].judge.clone();
    if let Some(other) = judgements.iter().find(|judgement| judgement.judge != judge) {
        bail!(
            "{file} has judgements of two judges, {judge} and {}\n  fix: give each judge a file of its own",
            other.judge
        );
    }
    let objections = open::standing(&args.certificates, &judge)?.objections();
    if args.require_certificate && !objections.is_empty() {
        bail!(open::not_certified(&judge, "its strategy", &objections));
    }
    if let Some(path) = &args.decided {
        let decided = decide(&mut judgements, &read_decisions(path)?);
        eprintln!("{decided} pairs were decided by people");
    }
    for (kind, count) in &Replies::of(&judgements).failed {
        eprintln!("{count} questions have no answer: {kind}");
    }
    let mut names: Vec<String> = models.iter().flatten().cloned().collect();
    names.sort();
    names.dedup();
    let place = |name: &String| names.binary_search(name).unwrap_or_default();
    let matched = |(judgement, [first, second]): (&Judgement, &[String; 2])| Match {
        first: place(first),
        second: place(second),
        judgement: judgement.clone(),
    };
    let matches: Vec<Match> = judgements.iter().zip(&models).map(matched).collect();
    let mut by_pair = BTreeMap::<[String; 2], Vec<Judgement>>::new();
    for (pair, judgement) in models.into_iter().zip(judgements) {
        by_pair.entry(pair).or_default().push(judgement);
    }
    let found = (by_pair.len() > 1).then(|| rank(&matches, names.len(), args.seed));
    if args.json {
        let pairs = by_pair.iter().map(|([first, second], judgements)| {
            json!({"first": first, "second": second,
                   "figures": as_json(&compare(judgements, args.seed), &objections, &judge)})
        });
        let pairs: Vec<_> = pairs.collect();
        let ranking = found.map(|found| ranking::as_json(&found, &names, &objections, &judge));
        println!("{}", serde_json::to_string_pretty(&json!({"pairs": pairs, "ranking": ranking}))?);
        return Ok(ExitCode::SUCCESS);
    }
    for ([first, second], judgements) in &by_pair {
        let about = [("first", first.clone()), ("second", second.clone()), ("judge", judge.clone())];
        println!("{}", shown(&about, &compare(judgements, args.seed), &objections));
    }
    if let Some(found) = found {
        print!("{}", ranking::shown(&found, &names, &objections));
    }
    Ok(ExitCode::SUCCESS)
}
