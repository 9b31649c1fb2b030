//! A fixed team of threads and the ways operations use it.
//!
//! Work is cut into tasks whose boundaries depend on the problem alone, never on the number of threads, and each task
//! writes its own part of the output: results are the same bits for any team size.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::split::Split;
use super::team::Team;

/// The backend's own team.
pub(crate) struct Threads {
    team: Team,
}

impl Threads {
    /// `None` takes one thread a core.
    pub(crate) fn new(count: Option<usize>) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { team: Team::new(count.unwrap_or_else(cores).max(1)) }
    }

    pub(crate) fn count(&self) -> usize {
        self.team.count()
    }

    /// Runs `task(0) .. task(tasks - 1)` in any order on the team.
    pub(crate) fn run(&self, tasks: usize, task: impl Fn(usize) + Send + Sync) {
        self.team.run(tasks, &task);
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
            self.run_parts(out.chunks_mut(piece).collect(), task);
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
        if units <= block {
            return task(0..units, parts);
        }
        let (mut cut, mut rest, mut start) = (Vec::with_capacity(units.div_ceil(block)), parts, 0);
        while units - start > block {
            let (first, others) = rest.split(block);
            cut.push((start..start + block, first));
            (rest, start) = (others, start + block);
        }
        cut.push((start..units, rest));
        self.run_parts(cut, |_, (units, part)| task(units, part));
    }

    /// Runs `task(index, part)` on the team.
    fn run_parts<P: Send>(&self, parts: Vec<P>, task: impl Fn(usize, P) + Send + Sync) {
        let places: Vec<Mutex<Option<P>>> = parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
        self.run(places.len(), |index| {
            let part = places[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(part) = part {
                task(index, part);
            }
        });
    }

    /// The sum of `task` over blocks of `block` units, added up as a tree whose shape depends on the units alone.
    pub(crate) fn sum(&self, units: usize, block: usize, task: impl Fn(Range<usize>) -> f64 + Send + Sync) -> f64 {
        let mut sums = vec![0.0; units.div_ceil(block).max(1)];
        self.run_chunks(&mut sums, 1, |index, sum| {
            sum[0] = task(index * block..units.min((index + 1) * block));
        });
        tree_sum(&sums)
    }
}

fn tree_sum(sums: &[f64]) -> f64 {
    if let [sum] = sums {
        return *sum;
    }
    let (left, right) = sums.split_at(sums.len() / 2);
    tree_sum(left) + tree_sum(right)
}
