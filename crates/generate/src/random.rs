//! Numbers that nobody can repeat, where repetition is not wanted: request names, seeds of requests without one, jitter.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A number that differs with each call and each process.
pub(crate) fn fresh_number() -> u64 {
    // The standard library keys each state anew from the system's randomness.
    RandomState::new().build_hasher().finish()
}

/// A number from 0 to below 1.
pub(crate) fn fresh_share() -> f64 {
    (fresh_number() >> 11) as f64 / (1u64 << 53) as f64
}
