//! The scheduler on a thread of its own, behind a bounded queue.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use camelid_model::Generate;
use camelid_text::Text;

use super::scheduler::{Limits, Scheduler};
use crate::{Load, Refusal, Request, Service, Sink, Ticket};

/// A model that can be handed to the engine's thread.
pub type Engine = Box<dyn Generate + Send>;

/// An engine that runs until it is drained or dropped.
pub struct EngineService {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    limits: Limits,
    queue: usize,
}

struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    load: Mutex<Load>,
    version: AtomicU64,
}

#[derive(Default)]
struct Inbox {
    orders: VecDeque<Order>,
    /// Nothing more is accepted; the thread ends when it has nothing left to do.
    closed: bool,
}

/// What the thread is told, in its order.
enum Order {
    Answer(Request, Sink, Arc<AtomicBool>),
    Replace(Engine, Sender<u64>),
}

impl Inbox {
    fn requests(&self) -> usize {
        self.orders.iter().filter(|order| matches!(order, Order::Answer(..))).count()
    }

    /// Updates of the weights that come before what is queued next.
    fn replacements(&self) -> usize {
        self.orders.iter().filter(|order| matches!(order, Order::Replace(..))).count()
    }
}

struct Accepted {
    cancelled: Arc<AtomicBool>,
    weight_version: u64,
}

impl Ticket for Accepted {
    fn weight_version(&self) -> u64 {
        self.weight_version
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// A poisoned lock means that a sink panicked; what it guards is whole all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of the engine's thread: nothing more is accepted, and whoever waits is told, since sinks say so when they are dropped.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let orders = {
            let mut inbox = lock(&self.0.inbox);
            inbox.closed = true;
            std::mem::take(&mut inbox.orders)
        };
        drop(orders);
        let mut load = lock(&self.0.load);
        *load = Load { waiting: 0, running: 0, cache_used: 0, ..*load };
    }
}

impl EngineService {
    /// Starts the thread. At most `queue` requests wait; more are refused until some are done.
    pub fn start(engine: Engine, text: Arc<Text>, limits: Limits, queue: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            wake: Condvar::new(),
            load: Mutex::new(Load { cache_size: limits.cache_tokens, ..Load::default() }),
            version: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("generation".into())
            .spawn(move || work(&of_thread, engine, &text, limits))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), limits, queue })
    }

    /// Goes on with other weights once everything submitted so far is answered, and returns their version.
    pub fn replace(&self, engine: Engine) -> Result<u64, Refusal> {
        let (sender, done) = channel();
        {
            let mut inbox = lock(&self.shared.inbox);
            if inbox.closed {
                return Err(Refusal::Closed);
            }
            inbox.orders.push_back(Order::Replace(engine, sender));
            self.shared.wake.notify_one();
        }
        done.recv().map_err(|_| Refusal::Closed)
    }

    fn close(&self) {
        lock(&self.shared.inbox).closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = lock(&self.thread).take() {
            // A thread that panicked has dropped its sinks, which says so to whoever waits.
            let _ = thread.join();
        }
    }
}

impl Service for EngineService {
    fn submit(&self, request: Request, events: Sink) -> Result<Box<dyn Ticket>, Refusal> {
        Scheduler::check(&self.limits, &request)?;
        let mut inbox = lock(&self.shared.inbox);
        if inbox.closed {
            return Err(Refusal::Closed);
        }
        let waiting = inbox.requests() + lock(&self.shared.load).waiting;
        if waiting >= self.queue {
            return Err(Refusal::Busy { waiting });
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        // Orders are carried out one after another, and versions change under this lock only.
        let weight_version = self.shared.version.load(Ordering::Acquire) + inbox.replacements() as u64;
        inbox.orders.push_back(Order::Answer(request, events, Arc::clone(&cancelled)));
        self.shared.wake.notify_one();
        Ok(Box::new(Accepted { cancelled, weight_version }))
    }

    fn load(&self) -> Load {
        let submitted = lock(&self.shared.inbox).requests();
        let load = *lock(&self.shared.load);
        Load { waiting: load.waiting + submitted, ..load }
    }

    fn context(&self) -> usize {
        self.limits.context
    }

    fn queue(&self) -> usize {
        self.queue
    }

    fn is_closed(&self) -> bool {
        lock(&self.shared.inbox).closed
    }

    fn weight_version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    fn drain(&self) {
        self.close();
    }
}

impl Drop for EngineService {
    fn drop(&mut self) {
        self.close();
    }
}

fn work(shared: &Shared, mut engine: Engine, text: &Text, limits: Limits) {
    let mut scheduler = Scheduler::new(limits);
    // However the thread ends, nobody must wait for it. It goes before the scheduler does, so that whoever is told of a failure
    // finds the service closed.
    let _end = End(shared);
    engine.open_cache(limits.cache_tokens, limits.context);
    loop {
        {
            let mut inbox = lock(&shared.inbox);
            while scheduler.is_idle() && inbox.orders.is_empty() && !inbox.closed {
                inbox = shared.wake.wait(inbox).unwrap_or_else(PoisonError::into_inner);
            }
            while let Some(order) = inbox.orders.pop_front() {
                match order {
                    Order::Answer(request, sink, cancelled) => scheduler.submit(request, sink, cancelled),
                    Order::Replace(other, done) if scheduler.is_idle() => {
                        engine = other;
                        engine.open_cache(limits.cache_tokens, limits.context);
                        scheduler.forget();
                        let version = shared.version.fetch_add(1, Ordering::AcqRel) + 1;
                        // Whoever asked may have gone.
                        let _ = done.send(version);
                    }
                    // What came before is answered by the weights that it came for.
                    replace @ Order::Replace(..) => {
                        inbox.orders.push_front(replace);
                        break;
                    }
                }
            }
            if inbox.closed && scheduler.is_idle() && inbox.orders.is_empty() {
                return;
            }
            *lock(&shared.load) = scheduler.load();
        }
        // Those in hand have been told, and the next may do better.
        let _ = scheduler.step(engine.as_mut(), text);
        *lock(&shared.load) = scheduler.load();
    }
}
