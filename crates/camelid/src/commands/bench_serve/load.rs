//! Clients that ask one request after another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::{Failure, Outcome, Said, ask};
use super::figures::{Figures, Tally};
use super::target::Target;
use super::workload::Workload;

/// When clients stop asking. What is under way then is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Requests(usize),
    Elapsed(Duration),
}

/// Clients and what they ask.
pub(crate) struct Load {
    pub(crate) workload: Workload,
    pub(crate) clients: usize,
    pub(crate) until: Until,
    /// Answers that requests must get; request `i` is asked as number `i` modulo their count. Without any, every number is asked once
    /// and its answer kept.
    pub(crate) expected: Vec<Said>,
}

/// What came of a load.
pub(crate) struct Done {
    pub(crate) figures: Figures,
    /// Of 429 replies, how many did not say when to come back.
    pub(crate) without_retry_after: u64,
    /// Answers by the request's number, where none were expected.
    pub(crate) answers: BTreeMap<usize, Said>,
}

/// What clients share.
struct Shared {
    target: Arc<Target>,
    load: Load,
    begun: Instant,
    next: AtomicUsize,
    tally: Mutex<Tally>,
    answers: Mutex<BTreeMap<usize, Said>>,
}

/// The longest that a client waits because a server asks it to.
const LONGEST_WAIT: u64 = 30;
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the load to its end.
pub(crate) async fn run(target: Arc<Target>, load: Load) -> anyhow::Result<Done> {
    let clients = load.clients;
    let shared = Arc::new(Shared {
        target,
        load,
        begun: Instant::now(),
        next: AtomicUsize::new(0),
        tally: Mutex::default(),
        answers: Mutex::default(),
    });
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(client(Arc::clone(&shared)));
    }
    let progress = tokio::spawn(report(Arc::clone(&shared)));
    while let Some(ended) = running.join_next().await {
        ended?;
    }
    let elapsed = shared.begun.elapsed();
    progress.abort();
    let (tally, answers) = (lock(&shared.tally), std::mem::take(&mut *lock(&shared.answers)));
    Ok(Done { figures: tally.figures(elapsed), without_retry_after: tally.without_retry_after, answers })
}

async fn report(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(PROGRESS_EVERY).await;
        let elapsed = shared.begun.elapsed().as_secs_f64();
        let left = match shared.load.until {
            Until::Requests(count) => format!("of {count} requests"),
            Until::Elapsed(time) => format!("requests, {:.0} s left", (time.as_secs_f64() - elapsed).max(0.0)),
        };
        let tally = lock(&shared.tally);
        let rate = tally.tokens as f64 / elapsed;
        eprintln!("{} {left} answered, {} failed, {rate:.0} tokens/s", tally.answered, tally.failed());
    }
}

async fn client(shared: Arc<Shared>) {
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let over = match shared.load.until {
            Until::Requests(count) => number >= count,
            Until::Elapsed(time) => shared.begun.elapsed() >= time,
        };
        if over {
            return;
        }
        one(&shared, number).await;
    }
}

/// One request, asked again as long as the server has no room.
async fn one(shared: &Shared, number: usize) {
    let expected = &shared.load.expected;
    let number = if expected.is_empty() { number } else { number % expected.len() };
    let request = shared.load.workload.ask(number);
    loop {
        match ask(&shared.target, &request).await {
            Outcome::Busy(wish) => {
                lock(&shared.tally).busy(wish);
                tokio::time::sleep(Duration::from_secs(wish.unwrap_or(1).min(LONGEST_WAIT))).await;
            }
            Outcome::Failed(failure) => {
                lock(&shared.tally).failure(failure);
                // A server that is gone must not be asked in a tight loop.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return;
            }
            Outcome::Answered(answer) => {
                match expected.get(number) {
                    Some(said) if *said != answer.said => {
                        let detail = format!("request {number}: {:?} instead of {said:?}", answer.said);
                        lock(&shared.tally).failure(Failure { kind: "wrong answer".into(), detail });
                        return;
                    }
                    Some(_) => {}
                    None => drop(lock(&shared.answers).insert(number, answer.said.clone())),
                }
                lock(&shared.tally).answer(&answer);
                return;
            }
        }
    }
}
