//! `camelid judge certify`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use camelid_eval::judging::Output;
use camelid_judge::certify::llmbar::{self, Item};
use camelid_judge::certify::{Certificate, Labelled, Outcome, Passed, Thresholds, attacks, checks};
use camelid_judge::{Baseline, Case, Identity, Judge};
use camelid_records::Assessment;

use super::{ask, open};
use crate::cli::CertifyArgs;

/// What the checks are made of.
struct Verdicts {
    identity: Identity,
    items: Vec<Assessment>,
    /// Of the constant output and of the repetition; none where they were not put to the judge.
    attacks: Option<[Vec<Labelled>; 2]>,
    from: String,
}

pub(super) fn run(args: &CertifyArgs) -> anyhow::Result<ExitCode> {
    ensure!(args.limit != Some(0), "--limit is 0\n  fix: ask at least one item of each set");
    let items = limited(llmbar::read(&args.data)?, args.limit);
    let Verdicts { identity, items: assessed, attacks, from } = match (&args.replay, &args.baseline) {
        (Some(recording), _) => replayed(args, recording, &items)?,
        (None, Some(name)) => baseline(args, name, &items)?,
        (None, None) => asked(args, &items)?,
    };
    let labelled = items.iter().zip(assessed).map(|(item, assessment)| (item.is_natural(), item.judged(assessment)));
    let (natural, adversarial): (Vec<_>, Vec<_>) = labelled.partition(|(natural, _)| *natural);
    let [natural, adversarial] =
        [natural, adversarial].map(|items| items.into_iter().map(|(_, item)| item).collect::<Vec<Labelled>>());
    let thresholds = Thresholds::default();
    let (constant, repetition) = attacks
        .as_ref()
        .map_or((None, None), |[constant, repetition]| (Some(constant.as_slice()), Some(repetition.as_slice())));
    let found = checks(&natural, &adversarial, constant, repetition, &thresholds);
    let written = format!("{}, camelid {}", jiff::Timestamp::now(), env!("CARGO_PKG_VERSION"));
    let certificate = Certificate::new(identity, found, thresholds, from, written);
    let text = serde_json::to_string_pretty(&certificate)?;
    // A first impression of some of the items is not what others may rely on.
    if args.limit.is_none() {
        let path = open::place(&args.judge.certificates, &certificate.hash);
        write(&path, &text)?;
        write(&path.with_extension("txt"), &shown(&certificate))?;
        eprintln!("written to {}", path.display());
    }
    if args.json {
        println!("{text}");
    } else {
        print!("{}", shown(&certificate));
    }
    Ok(if certificate.outcome == Outcome::Rejected { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The first items of each set.
fn limited(items: Vec<Item>, limit: Option<usize>) -> Vec<Item> {
    let Some(limit) = limit else { return items };
    let mut taken = std::collections::BTreeMap::<String, usize>::new();
    let mut wanted = |item: &Item| {
        let count = taken.entry(item.set.clone()).or_default();
        *count += 1;
        *count <= limit
    };
    items.into_iter().filter(|item| wanted(item)).collect()
}

/// Items spread evenly over all sets, so that a few attacks see all of them.
fn attacked(items: &[Item], count: usize) -> impl Iterator<Item = &Item> {
    let count = count.min(items.len());
    (0..count).map(move |place| &items[place * items.len() / count])
}

/// Both attacks on the better outputs of some items.
fn attack_cases(items: &[Item], count: usize) -> [Vec<Case>; 2] {
    let of = |attack: fn(&str, &str, &str) -> Case| {
        attacked(items, count)
            .map(|item| attack(&item.case.id, &item.case.instruction(), &item.better()))
            .collect::<Vec<Case>>()
    };
    [of(attacks::constant), of(attacks::repetition)]
}

/// The honest output of an attack is the first.
fn as_labelled(case: &Case, assessment: Assessment) -> Labelled {
    Labelled { set: "attack".into(), label: Output::First, lengths: case.lengths(), assessment }
}

fn replayed(args: &CertifyArgs, recording: &str, items: &[Item]) -> anyhow::Result<Verdicts> {
    ensure!(
        args.limit.is_none(),
        "--limit leaves out verdicts that were recorded\n  fix: replay all of them, which takes no time"
    );
    let Some((judge, method)) = recording.split_once('/') else {
        bail!("--replay {recording} is no JUDGE/METHOD\n  fix: such as GPT-4/Metrics_Reference")
    };
    let identity = Identity {
        model: judge.to_owned(),
        weights: None,
        server: None,
        strategy: method.to_owned(),
        prompts: "recorded".into(),
        settings: "recorded by LLMBar's authors".into(),
    };
    let from = format!("recorded in {}", args.data.display());
    Ok(Verdicts { identity, items: llmbar::recorded(&args.data, judge, method, items)?, attacks: None, from })
}

fn baseline(args: &CertifyArgs, name: &str, items: &[Item]) -> anyhow::Result<Verdicts> {
    let Some(baseline) = Baseline::ALL.into_iter().find(|baseline| baseline.name() == name) else {
        let known = Baseline::ALL.map(Baseline::name).join(", ");
        bail!("there is no baseline `{name}`\n  fix: use one of {known}")
    };
    let identity = Identity {
        model: name.to_owned(),
        weights: None,
        server: None,
        strategy: "baseline".into(),
        prompts: String::new(),
        settings: String::new(),
    };
    let judged =
        |cases: Vec<Case>| cases.iter().map(|case| as_labelled(case, baseline.judge(case))).collect::<Vec<Labelled>>();
    Ok(Verdicts {
        identity,
        items: items.iter().map(|item| baseline.judge(&item.case)).collect(),
        attacks: Some(attack_cases(items, args.attacks).map(judged)),
        from: "computed here".into(),
    })
}

fn asked(args: &CertifyArgs, items: &[Item]) -> anyhow::Result<Verdicts> {
    let opened = open::open(args.model.as_deref().unwrap_or_default(), &args.judge)?;
    let hash = opened.identity.hash();
    let path = args.out.clone().unwrap_or_else(|| args.judge.certificates.join(format!("{hash}.jsonl")));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made\n  fix: name another folder", folder.display()))?;
    }
    let attacks = attack_cases(items, args.attacks);
    let cases: Vec<Case> =
        items.iter().map(|item| item.case.clone()).chain(attacks.iter().flatten().cloned()).collect();
    let judge: Judge<'_> = opened.judge();
    let judgements = ask::ask(&judge, &hash, &cases, &[], &path)?;
    opened.tell();
    let mut assessed = judgements.into_iter().map(|judgement| judgement.assessment);
    let of_items = assessed.by_ref().take(items.len()).collect();
    let attacks = attacks.map(|cases| {
        cases.iter().zip(assessed.by_ref()).map(|(case, assessment)| as_labelled(case, assessment)).collect()
    });
    let from = format!("asked for, in {}", path.display());
    Ok(Verdicts { identity: opened.identity.clone(), items: of_items, attacks: Some(attacks), from })
}

/// Complete under its name, or not there.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let unwritable = || format!("{} cannot be written\n  fix: name another folder", path.display());
    let folder: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    std::fs::create_dir_all(&folder).with_context(unwritable)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder).with_context(unwritable)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).with_context(unwritable)?;
    file.persist(path).with_context(unwritable)?;
    Ok(())
}

/// The certificate as a person reads it.
fn shown(certificate: &Certificate) -> String {
    let outcome = match certificate.outcome {
        Outcome::Certified => "certified",
        Outcome::AcceptedOnRecordedChecks => "accepted on recorded checks",
        Outcome::Rejected => "rejected",
    };
    let mut lines = vec![
        format!("judge     {} with {}", certificate.judge.model, certificate.judge.strategy),
        format!("verdicts  {}", certificate.verdicts),
        String::new(),
    ];
    lines.extend(certificate.checks.iter().map(|check| {
        let passed = match check.passed {
            Passed::Yes => "passed ",
            Passed::No => "FAILED ",
            Passed::NotRun => "not run",
        };
        format!("{passed}  {:<12} {}", check.name, check.says)
    }));
    lines.extend([String::new(), format!("{outcome}: {}", certificate.meaning)]);
    lines.join("\n") + "\n"
}
