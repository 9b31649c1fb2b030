//! Good clients beside unruly ones for a long time, and what must hold afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Failure, Said, failed};
use super::load::{self, Done, Load, Until};
use super::memory::{Memory, MemoryWatch};
use super::raw::Address;
use super::target::Target;
use super::unruly::{Manner, Unruly};
use super::workload::Workload;

/// How long, and with whom.
pub(crate) struct Soak {
    pub(crate) workload: Workload,
    pub(crate) clients: usize,
    pub(crate) time: Duration,
    /// Requests that the server lets wait and works on together: a burst is larger than both.
    pub(crate) room: usize,
    /// Megabytes that memory may grow; only a server in this process can be watched.
    pub(crate) memory_bound: Option<f64>,
}

/// Something that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// Nothing where it could not be looked at.
    pub(crate) holds: Option<bool>,
    pub(crate) detail: String,
}

/// What came of the unruly clients.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Misdeeds {
    /// How often each kind was done.
    pub(crate) done: BTreeMap<String, u64>,
    pub(crate) turned_away: u64,
    /// What the server did wrong, how often, and an example.
    pub(crate) deviations: BTreeMap<String, (u64, String)>,
}

pub(crate) struct Soaked {
    pub(crate) load: Done,
    pub(crate) misdeeds: Misdeeds,
    pub(crate) memory: Option<Memory>,
    pub(crate) checks: Vec<Check>,
}

/// Different requests, asked again and again.
const POOL: usize = 32;
const UNRULY_CLIENTS: usize = 6;
/// A burst takes the place of many requests, so that it comes less often than the rest.
const BURST_EVERY: Duration = Duration::from_secs(20);
const BETWEEN_MISDEEDS: Duration = Duration::from_millis(100);
/// How long rows may still be held after the last client has gone.
const TO_SETTLE: Duration = Duration::from_secs(30);
/// Beside the good clients' numbers, so that nothing unruly warms the cache for them.
const FAR: usize = 1 << 32;

pub(crate) async fn run(target: Arc<Target>, soak: Soak) -> anyhow::Result<Soaked> {
    let address = Address::of(&target)?;
    eprintln!("the quiet run: {POOL} requests, one at a time");
    let quiet =
        Load { workload: soak.workload.clone(), clients: 1, until: Until::Requests(POOL), expected: Vec::new() };
    let quiet = load::run(Arc::clone(&target), quiet).await?;
    let expected: Vec<Said> = quiet.answers.into_values().collect();
    if expected.len() < POOL {
        let (kind, (_, detail)) = quiet.figures.errors.into_iter().next().unwrap_or_default();
        anyhow::bail!("the server does not answer while it is quiet: {kind}: {detail}\n  fix: look at its log");
    }
    let minutes = soak.time.as_secs_f64() / 60.0;
    eprintln!("{minutes:.1} minutes with {} good clients and {UNRULY_CLIENTS} unruly ones", soak.clients);
    let watch = soak.memory_bound.map(|_| MemoryWatch::start()).transpose()?;
    let unruly = Arc::new(Unruly {
        target: Arc::clone(&target),
        address,
        workload: Workload { stream_share: 1.0, ..soak.workload.clone() },
        burst: soak.room + 32,
    });
    let misdeeds = Arc::new(Mutex::new(Misdeeds::default()));
    let (end, next) = (Instant::now() + soak.time, Arc::new(AtomicUsize::new(0)));
    let mut misbehaving = JoinSet::new();
    for place in 0..UNRULY_CLIENTS {
        misbehaving.spawn(misbehave(Arc::clone(&unruly), Arc::clone(&misdeeds), Arc::clone(&next), end, place == 0));
    }
    let good = Load { workload: soak.workload, clients: soak.clients, until: Until::Elapsed(soak.time), expected };
    let done = load::run(Arc::clone(&target), good).await?;
    while let Some(ended) = misbehaving.join_next().await {
        ended?;
    }
    let memory = watch.and_then(MemoryWatch::finish);
    let misdeeds = std::mem::take(&mut *misdeeds.lock().unwrap_or_else(PoisonError::into_inner));
    let empty = empty(&target).await;
    let checks = checks(&done, &misdeeds, memory.as_ref().zip(soak.memory_bound), empty);
    Ok(Soaked { load: done, misdeeds, memory, checks })
}

async fn misbehave(
    unruly: Arc<Unruly>,
    misdeeds: Arc<Mutex<Misdeeds>>,
    next: Arc<AtomicUsize>,
    end: Instant,
    bursts: bool,
) {
    let mut last_burst = None;
    while Instant::now() < end {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = last_burst.is_none_or(|last: Instant| last.elapsed() >= BURST_EVERY);
        let manner = if bursts && due { Manner::Burst } else { Manner::ALL[number % (Manner::ALL.len() - 1)] };
        if manner == Manner::Burst {
            last_burst = Some(Instant::now());
        }
        let outcome = unruly.act(manner, FAR + number * 1000).await;
        {
            let mut misdeeds = misdeeds.lock().unwrap_or_else(PoisonError::into_inner);
            *misdeeds.done.entry(format!("{manner:?}")).or_default() += 1;
            match outcome {
                Ok(turned_away) => misdeeds.turned_away += turned_away,
                Err(Failure { kind, detail }) => {
                    misdeeds.deviations.entry(format!("{manner:?}: {kind}")).or_insert((0, detail)).0 += 1;
                }
            }
        }
        sleep(BETWEEN_MISDEEDS).await;
    }
}

/// Waits until the engine holds nothing; the error is what it still holds. Nothing where the server does not tell.
async fn empty(target: &Target) -> Option<Result<(), Failure>> {
    let names = ["camelid_requests_waiting", "camelid_samples_running", "camelid_cache_tokens_used"];
    let begun = Instant::now();
    loop {
        let mut held = Vec::new();
        for name in names {
            let value = target.metric(name).await?;
            if value > 0.0 {
                held.push(format!("{name} {value}"));
            }
        }
        if held.is_empty() {
            return Some(Ok(()));
        }
        if begun.elapsed() > TO_SETTLE {
            return Some(failed("the engine is not empty", held.join(", ")));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn checks(
    done: &Done,
    misdeeds: &Misdeeds,
    memory: Option<(&Memory, f64)>,
    empty: Option<Result<(), Failure>>,
) -> Vec<Check> {
    let figures = &done.figures;
    let wrong = figures.errors.get("wrong answer").map_or(0, |(count, _)| *count);
    let lost = figures.failed - wrong;
    let examples = |errors: &BTreeMap<String, (u64, String)>| {
        let each = errors.iter().map(|(kind, (count, detail))| format!("{count} x {kind}: {detail}"));
        each.collect::<Vec<_>>().join("; ")
    };
    let refused = figures.refused + misdeeds.turned_away;
    vec![
        Check {
            name: "every accepted request is answered completely",
            holds: Some(lost == 0 && figures.answered > 0),
            detail: format!("{} answered, {lost} not; {}", figures.answered, examples(&figures.errors)),
        },
        Check {
            name: "answers are those of the quiet run, token by token",
            holds: Some(wrong == 0),
            detail: format!("{wrong} differ"),
        },
        Check {
            name: "a full queue answers 429 with Retry-After",
            holds: (refused > 0).then_some(done.without_retry_after == 0),
            detail: format!("{refused} turned away, {} without Retry-After", done.without_retry_after),
        },
        Check {
            name: "misbehaviour is answered as it should be",
            holds: Some(misdeeds.deviations.is_empty()),
            detail: if misdeeds.deviations.is_empty() {
                format!("{} misdeeds", misdeeds.done.values().sum::<u64>())
            } else {
                examples(&misdeeds.deviations)
            },
        },
        match memory {
            Some((memory, bound)) => Check {
                name: "memory is bounded",
                holds: Some(memory.late - memory.early <= bound),
                detail: format!(
                    "{:.0} MB at minute one, {:.0} MB at the end, {:.0} MB at most; {bound:.0} MB more are allowed",
                    memory.early, memory.late, memory.most
                ),
            },
            None => Check {
                name: "memory is bounded",
                holds: None,
                detail: "only a server in this process can be watched".into(),
            },
        },
        match empty {
            Some(Ok(())) => {
                Check { name: "the engine holds no rows", holds: Some(true), detail: "nothing waits or runs".into() }
            }
            Some(Err(failure)) => {
                Check { name: "the engine holds no rows", holds: Some(false), detail: failure.detail }
            }
            None => Check {
                name: "the engine holds no rows",
                holds: None,
                detail: "the server has no such figures at /metrics".into(),
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::super::figures::Tally;
    use super::*;

    fn verdicts(errors: &[&str], deviations: &[&str], late: f64, empty: bool) -> Vec<Option<bool>> {
        let mut tally = Tally { answered: 9, refused: 1, ..Tally::default() };
        for kind in errors {
            tally.failure(Failure { kind: (*kind).into(), detail: String::new() });
        }
        let (figures, without_retry_after) = (tally.figures(Duration::from_secs(1)), tally.without_retry_after);
        let done = Done { figures, without_retry_after, answers: BTreeMap::new() };
        let deviations = deviations.iter().map(|kind| ((*kind).to_owned(), (1, String::new()))).collect();
        let misdeeds = Misdeeds { deviations, ..Misdeeds::default() };
        let memory = Memory { early: 100.0, late, most: 300.0, over_time: Vec::new() };
        let empty = if empty { Ok(()) } else { failed("", "camelid_cache_tokens_used 64") };
        checks(&done, &misdeeds, Some((&memory, 64.0)), Some(empty)).into_iter().map(|check| check.holds).collect()
    }

    #[test]
    fn each_fault_fails_its_own_check() {
        let all = vec![Some(true); 6];
        assert_eq!(verdicts(&[], &[], 164.0, true), all);
        let but = |place: usize| {
            let mut expected = all.clone();
            expected[place] = Some(false);
            expected
        };
        assert_eq!(verdicts(&["stream ended early"], &[], 100.0, true), but(0));
        assert_eq!(verdicts(&["wrong answer"], &[], 100.0, true), but(1));
        assert_eq!(verdicts(&[], &["BadUtf8: status 500"], 100.0, true), but(3));
        assert_eq!(verdicts(&[], &[], 165.0, true), but(4));
        assert_eq!(verdicts(&[], &[], 100.0, false), but(5));
    }
}
