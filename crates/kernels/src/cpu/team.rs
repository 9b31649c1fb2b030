//! Threads that share the tasks of one operation after another.
//!
//! Generating a token is some four hundred operations of a few microseconds each, so handing one over must not cost a
//! wake-up: whoever asks works along, the others look out for the next operation for a moment before they sleep, and an
//! operation waits for those only who have begun to take part in it.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a thread looks out for more before it sleeps: several times what lies between two operations of a token.
const ALERT: Duration = Duration::from_micros(60);
/// Looks between two readings of the clock.
const LOOKS: usize = 64;

/// The tasks of one operation.
type Tasks = dyn Fn(usize) + Sync;

/// A reference to the tasks without its lifetime, and their number.
#[derive(Clone, Copy)]
struct Job {
    tasks: *const Tasks,
    count: usize,
}

/// Set in `state` while others may join the operation; below it are counted those who have, above it operations.
const OPEN: u64 = 1 << 31;
const MEMBERS: u64 = OPEN - 1;

struct Shared {
    /// Number of the operation, whether it is open, how many others take part.
    state: AtomicU64,
    /// Written only while the operation is closed and nobody takes part.
    job: UnsafeCell<Option<Job>>,
    /// The next task to be taken.
    next: AtomicUsize,
    ends: AtomicBool,
    /// What a task panicked with on another thread.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is written by the one thread that holds `Team::asking`, before `state` says open with release ordering,
// and read by threads that have seen that and are counted in it; it is not written again before their count is back at 0.
// The tasks it points to are `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

struct Worker {
    thread: Thread,
    sleeps: Arc<AtomicBool>,
}

pub(super) struct Team {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    handles: Vec<JoinHandle<()>>,
    /// Held by whose operation it is.
    asking: Mutex<()>,
}

thread_local! {
    /// This thread is inside a task: what it starts, it does alone.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Team {
    /// `count` threads, of which the one that asks is one.
    pub(super) fn new(count: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let mut team = Self { shared, workers: Vec::new(), handles: Vec::new(), asking: Mutex::new(()) };
        for index in 1..count {
            let sleeps = Arc::new(AtomicBool::new(false));
            let (shared, own) = (Arc::clone(&team.shared), Arc::clone(&sleeps));
            let builder = std::thread::Builder::new().name(format!("camelid-cpu-{index}"));
            let handle = builder.spawn(move || work(&shared, &own)).expect("the system can start the team's threads");
            team.workers.push(Worker { thread: handle.thread().clone(), sleeps });
            team.handles.push(handle);
        }
        team
    }

    pub(super) fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(0) .. task(count - 1)` in any order. A panic in one of them comes out here.
    pub(super) fn run(&self, count: usize, task: &(impl Fn(usize) + Sync)) {
        let alone = count <= 1 || self.workers.is_empty() || INSIDE.get();
        let asking = if alone { None } else { self.ask() };
        let Some(_asking) = asking else { return (0..count).for_each(task) };
        *self.shared.panic.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let tasks: &(dyn Fn(usize) + Sync) = task;
        // SAFETY: only the lifetime changes. The operation is closed, and nobody reads the reference any more, when
        // `closing` is dropped, which is before `task` goes.
        let tasks = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static Tasks>(tasks) };
        // SAFETY: the state is closed with nobody taking part, and `_asking` keeps other writers away.
        unsafe { *self.shared.job.get() = Some(Job { tasks, count }) };
        self.shared.next.store(0, Ordering::Relaxed);
        let operation = (self.shared.state.load(Ordering::Relaxed) & !(OPEN | MEMBERS)).wrapping_add(OPEN << 1);
        // In one order with the flags of those who fall asleep: either they see the operation, or they are seen here.
        self.shared.state.store(operation | OPEN, Ordering::SeqCst);
        let closing = Closing(&self.shared);
        for worker in self.workers.iter().take(count - 1) {
            if worker.sleeps.load(Ordering::SeqCst) {
                worker.thread.unpark();
            }
        }
        INSIDE.set(true);
        self.shared.take_tasks(task, count);
        drop(closing);
        let panic = self.shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Team {
    /// The right to start an operation; nothing while another thread has it, which need not be waited for.
    fn ask(&self) -> Option<MutexGuard<'_, ()>> {
        match self.asking.try_lock() {
            Ok(asking) => Some(asking),
            // A task panicked; `Closing` has seen to it that the team is free.
            Err(TryLockError::Poisoned(asking)) => Some(asking.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        for (worker, handle) in self.workers.iter().zip(self.handles.drain(..)) {
            worker.thread.unpark();
            // A worker cannot panic outside tasks, whose panics are caught.
            let _ = handle.join();
        }
    }
}

/// Lets nobody join any more and waits for those who have, also when a task of the asking thread panics.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        INSIDE.set(false);
        let mut looks = 0_usize;
        let mut state = self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        while state & MEMBERS > 0 {
            looks += 1;
            // A thread that is not back by now may be waiting for this very core.
            if looks.is_multiple_of(LOOKS) {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
            state = self.0.state.load(Ordering::Acquire);
        }
    }
}

impl Shared {
    fn take_tasks(&self, task: &(impl Fn(usize) + ?Sized), count: usize) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            task(index);
        }
    }

    /// Takes part in the operation if it is open and another than `seen`; says which it was.
    fn join(&self, seen: u64) -> Option<u64> {
        let state = self.state.load(Ordering::SeqCst);
        let operation = state & !(OPEN | MEMBERS);
        if state & OPEN == 0 || operation == seen {
            return None;
        }
        self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        // SAFETY: this thread is counted as taking part in an open operation.
        let job = unsafe { *self.job.get() };
        if let Some(Job { tasks, count }) = job {
            // SAFETY: whoever asked waits for this thread before the tasks go.
            let task = unsafe { &*tasks };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.take_tasks(task, count))) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
        }
        self.state.fetch_sub(1, Ordering::Release);
        Some(operation)
    }
}

/// What a thread of the team does all its life.
fn work(shared: &Shared, sleeps: &AtomicBool) {
    INSIDE.set(true);
    let (mut seen, mut looks, mut since) = (0, 0_usize, Instant::now());
    while !shared.ends.load(Ordering::Relaxed) {
        if let Some(operation) = shared.join(seen) {
            (seen, looks, since) = (operation, 0, Instant::now());
            continue;
        }
        // No yielding: on a busy machine it would be a long time before this thread is back.
        looks += 1;
        std::hint::spin_loop();
        if looks.is_multiple_of(LOOKS) && since.elapsed() > ALERT {
            sleeps.store(true, Ordering::SeqCst);
            let state = shared.state.load(Ordering::SeqCst);
            // What has come meanwhile has not woken anybody.
            if (state & OPEN == 0 || state & !(OPEN | MEMBERS) == seen) && !shared.ends.load(Ordering::SeqCst) {
                std::thread::park();
            }
            sleeps.store(false, Ordering::SeqCst);
            since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations of all sizes, from several threads at once, with pauses long enough to fall asleep in.
    #[test]
    fn every_task_runs_once() {
        for count in [1, 2, 5] {
            let team = Team::new(count);
            std::thread::scope(|scope| {
                for asker in 0..3_u64 {
                    let team = &team;
                    scope.spawn(move || {
                        for round in 0..300_usize {
                            let runs: Vec<AtomicUsize> = (0..round % 40).map(|_| AtomicUsize::new(0)).collect();
                            team.run(runs.len(), &|index| {
                                runs[index].fetch_add(1, Ordering::Relaxed);
                            });
                            assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1));
                            if round % 100 == 0 {
                                std::thread::sleep(Duration::from_millis(1 + asker));
                            }
                        }
                    });
                }
            });
        }
    }

    /// A task that starts an operation of its own does it alone, and does not wait for itself.
    #[test]
    fn operations_inside_tasks_are_done_alone() {
        let team = Team::new(3);
        let sum = AtomicUsize::new(0);
        team.run(8, &|outer| {
            team.run(5, &|inner| {
                sum.fetch_add(10 * outer + inner, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 10 * 28 * 5 + 8 * 10);
    }

    /// A panic in a task, wherever it ran, comes out where the operation was asked for; the team works on.
    #[test]
    fn panics_come_out_and_the_team_goes_on() {
        let team = Team::new(3);
        for bad in 0..20 {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                team.run(20, &|index| assert_ne!(index, bad, "planted"));
            }));
            assert!(outcome.is_err());
            let done = AtomicUsize::new(0);
            team.run(20, &|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.into_inner(), 20);
        }
    }
}
