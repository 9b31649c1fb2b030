//! A fixed team of threads and the ways operations use it.
//!
//! Work is cut into tasks whose boundaries depend on the problem alone, never on the number of threads, and each task
//! writes its own part of the output: results are the same bits for any team size.

use std::ops::Range;

use rayon::prelude::*;

use super::split::Split;

/// The backend's own pool, so that a library user's rayon pool stays free.
pub(crate) struct Threads {
    pool: rayon::ThreadPool,
}

impl Threads {
    /// `None` takes one thread a core.
    pub(crate) fn new(count: Option<usize>) -> Self {
        let mut builder = rayon::ThreadPoolBuilder::new().thread_name(|i| format!("camelid-cpu-{i}"));
        if let Some(count) = count {
            builder = builder.num_threads(count.max(1));
        }
        let pool = builder.build().expect("the system can start the threads of one pool");
        Self { pool }
    }

    pub(crate) fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `task(0) .. task(tasks - 1)` in any order on the team.
    pub(crate) fn run(&self, tasks: usize, task: impl Fn(usize) + Send + Sync) {
        if tasks <= 1 || self.count() == 1 {
            (0..tasks).for_each(task);
        } else {
            self.pool.install(|| (0..tasks).into_par_iter().with_max_len(1).for_each(task));
        }
    }

    /// Cuts `out` into pieces of `piece` elements and runs `task(index, piece)` on the team.
    pub(crate) fn run_chunks<T: Send>(
        &self,
        out: &mut [T],
        piece: usize,
        task: impl Fn(usize, &mut [T]) + Send + Sync,
    ) {
        if out.len() <= piece || self.count() == 1 {
            out.chunks_mut(piece.max(1)).enumerate().for_each(|(i, chunk)| task(i, chunk));
        } else {
            self.pool.install(|| {
                out.par_chunks_mut(piece).with_max_len(1).enumerate().for_each(|(i, chunk)| task(i, chunk));
            });
        }
    }

    /// Cuts `units` and what they write into blocks of `block` units and runs `task(units, their part)` on the team.
    pub(crate) fn run_split<P: Split>(
        &self,
        units: usize,
        block: usize,
        parts: P,
        task: impl Fn(Range<usize>, P) + Send + Sync,
    ) {
        if units > block && self.count() > 1 {
            self.pool.install(|| halve(0..units, block, parts, &task));
        } else {
            one_after_the_other(0..units, block, parts, &task);
        }
    }

    /// The sum of `task` over blocks of `block` units, added up as a tree whose shape depends on the units alone.
    pub(crate) fn sum(&self, units: usize, block: usize, task: impl Fn(Range<usize>) -> f64 + Send + Sync) -> f64 {
        let parallel = units > block && self.count() > 1;
        if parallel {
            self.pool.install(|| tree_sum(0..units, block, true, &task))
        } else {
            tree_sum(0..units, block, false, &task)
        }
    }
}

/// Where to cut a range of several blocks: at a whole number of blocks, near the middle.
fn middle(units: &Range<usize>, block: usize) -> usize {
    units.start + units.len().div_ceil(block) / 2 * block
}

fn halve<P: Split>(units: Range<usize>, block: usize, parts: P, task: &(impl Fn(Range<usize>, P) + Sync)) {
    if units.len() <= block {
        task(units, parts);
        return;
    }
    let middle = middle(&units, block);
    let (left, right) = parts.split(middle - units.start);
    rayon::join(|| halve(units.start..middle, block, left, task), || halve(middle..units.end, block, right, task));
}

fn one_after_the_other<P: Split>(units: Range<usize>, block: usize, mut parts: P, task: &impl Fn(Range<usize>, P)) {
    let mut start = units.start;
    while units.end - start > block {
        let (first, rest) = parts.split(block);
        task(start..start + block, first);
        start += block;
        parts = rest;
    }
    task(start..units.end, parts);
}

fn tree_sum(units: Range<usize>, block: usize, parallel: bool, task: &(impl Fn(Range<usize>) -> f64 + Sync)) -> f64 {
    if units.len() <= block {
        return task(units);
    }
    let middle = middle(&units, block);
    let left = || tree_sum(units.start..middle, block, parallel, task);
    let right = || tree_sum(middle..units.end, block, parallel, task);
    let (left, right) = if parallel { rayon::join(left, right) } else { (left(), right()) };
    left + right
}
