//! A generator that remembers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Done, Generator, Prompt, ResponseCache, Totals};

/// Asks another generator only what the cache does not hold, and keeps its answers, never its failures.
///
/// Prompts that are equal in all parts, the seed among them, get equal answers. Whoever wants several different ones asks
/// for samples or gives each prompt a seed.
pub struct CachedGenerator<G> {
    inner: G,
    cache: ResponseCache,
    found: AtomicU64,
    failed_again: AtomicU64,
    unsaved: AtomicU64,
}

impl<G: Generator> CachedGenerator<G> {
    pub fn new(inner: G, cache: ResponseCache) -> Self {
        let zero = || AtomicU64::new(0);
        Self { inner, cache, found: zero(), failed_again: zero(), unsaved: zero() }
    }
}

impl<G: Generator> Generator for CachedGenerator<G> {
    fn identity(&self) -> String {
        self.inner.identity()
    }

    fn generate_each(&self, prompts: &[Prompt], done: Done) {
        let identity = self.inner.identity();
        let mut missing: Vec<(String, Prompt, Vec<usize>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (place, prompt) in prompts.iter().enumerate() {
            let key = ResponseCache::key(&identity, prompt);
            if let Some(&known) = places.get(&key) {
                missing[known].2.push(place);
            } else if let Some(generated) = self.cache.get(&key) {
                self.found.fetch_add(1, Ordering::Relaxed);
                done(place, Ok(generated));
            } else {
                places.insert(key.clone(), missing.len());
                missing.push((key, prompt.clone(), vec![place]));
            }
        }
        let asked: Vec<_> = missing.iter().map(|(_, prompt, _)| prompt.clone()).collect();
        self.inner.generate_each(&asked, &mut |place, answer| {
            let (key, _, wanted) = &missing[place];
            if let Ok(generated) = &answer
                && self.cache.put(key, generated).is_err()
            {
                self.unsaved.fetch_add(1, Ordering::Relaxed);
            }
            let (first, others) = wanted.split_first().unwrap_or((&0, &[]));
            for &other in others {
                let counter = if answer.is_ok() { &self.found } else { &self.failed_again };
                counter.fetch_add(1, Ordering::Relaxed);
                done(other, answer.clone().map(|generated| super::Generated { cached: true, ..generated }));
            }
            done(*first, answer);
        });
    }

    fn totals(&self) -> Totals {
        let mut totals = self.inner.totals();
        let found = self.found.load(Ordering::Relaxed);
        totals.answered += found;
        totals.cached += found;
        totals.failed += self.failed_again.load(Ordering::Relaxed);
        totals.unsaved += self.unsaved.load(Ordering::Relaxed);
        totals
    }
}
