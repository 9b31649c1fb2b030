//! Cases before a judge, with what an earlier run has left.

use std::path::Path;
use std::time::Instant;

use camelid_judge::figures::Replies;
use camelid_judge::{Case, FileError, Judge, JudgementFile, key};
use camelid_records::Judgement;

/// The judgements of all cases, in their order; `models` are whose outputs each compares, empty where nobody's are named. Those that the file has already are not asked for again, unless a call of theirs failed.
pub(super) fn ask(
    judge: &Judge<'_>,
    identity: &str,
    cases: &[Case],
    models: &[[String; 2]],
    path: &Path,
) -> anyhow::Result<Vec<Judgement>> {
    let mut file = JudgementFile::open(path)?;
    let mut found: Vec<Option<Judgement>> = cases.iter().map(|case| file.get(&key(identity, case)).cloned()).collect();
    let open: Vec<usize> = (0..cases.len()).filter(|&place| found[place].is_none()).collect();
    if open.len() < cases.len() {
        eprintln!("{} of {} pairs are judged already", cases.len() - open.len(), cases.len());
    }
    let asked: Vec<Case> = open.iter().map(|&place| cases[place].clone()).collect();
    let (begun, mut failures, mut broken) = (Instant::now(), 0, None::<FileError>);
    judge.judge(identity, &asked, &mut |place, judgement| {
        failures += usize::from(judgement.assessment.has_failed());
        let ended = place + 1;
        if ended == asked.len() || ended % camelid_judge::GROUP == 0 {
            let seconds = begun.elapsed().as_secs_f64();
            let rate = ended as f64 / seconds.max(1e-9);
            let left = (asked.len() - ended) as f64 / rate.max(1e-9);
            eprintln!(
                "{ended} of {} pairs judged, {failures} failed, {rate:.1} a second, {left:.0} s left",
                asked.len()
            );
        }
        if let Err(error) = file.put(judgement.clone(), models.get(open[place])) {
            broken = Some(error);
            return false;
        }
        found[open[place]] = Some(judgement);
        true
    });
    if let Some(error) = broken {
        return Err(error.into());
    }
    file.compact()?;
    let found: Vec<Judgement> = found.into_iter().flatten().collect();
    let replies = Replies::of(&found);
    if replies.empty > 0 {
        eprintln!("{} of {} answers were empty", replies.empty, replies.asked);
    }
    for (kind, count) in &replies.failed {
        eprintln!("{count} of {} questions have no answer: {kind}", replies.asked);
    }
    if failures > 0 {
        eprintln!("{failures} pairs have no verdict, as calls failed; the same command asks for these again");
    }
    Ok(found)
}
