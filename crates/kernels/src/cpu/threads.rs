//! A fixed team of threads and the two ways operations use it.
//!
//! Work is cut into tasks whose boundaries depend on the problem alone, never on the number of threads, and each task
//! writes its own part of the output: results are the same bits for any team size.

use rayon::prelude::*;

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
}
