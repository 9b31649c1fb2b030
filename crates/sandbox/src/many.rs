//! Many programs at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::SandboxError;
use crate::limits::{Limits, Strictness};
use crate::outcome::Outcome;
use crate::program::Program;
use crate::sandbox::Sandbox;

/// Runs `programs` as many at once as there are processors, or `workers` if that is given. Results are in the order of
/// `programs`; `finished` is told after each how many are done.
pub fn run_many(
    sandbox: &Sandbox,
    programs: &[Program],
    limits: &Limits,
    strictness: Strictness,
    workers: Option<usize>,
    finished: &(dyn Fn(usize) + Sync),
) -> Vec<Result<Outcome, SandboxError>> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.unwrap_or(processors).clamp(1, programs.len().max(1));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results = Mutex::new(Vec::with_capacity(programs.len()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(program) = programs.get(index) else { return };
                    let result = sandbox.run(program, limits, strictness);
                    if let Ok(mut results) = results.lock() {
                        results.push((index, result));
                    }
                    finished(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}
