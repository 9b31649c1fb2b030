//! Limits of requests and of tokens in a minute.

use std::time::{Duration, Instant};

/// A bucket that fills at a steady rate. It may be overdrawn: whoever does so waits until it is level again, and those
/// who come after wait longer.
#[derive(Clone, Debug)]
struct Bucket {
    per_second: f64,
    size: f64,
    level: f64,
    filled: Instant,
}

/// Share of a minute's amount that may go out at once.
const BURST: f64 = 1.0 / 6.0;

impl Bucket {
    fn new(per_minute: u32, now: Instant) -> Self {
        let per_minute = f64::from(per_minute.max(1));
        let size = (per_minute * BURST).max(1.0);
        Self { per_second: per_minute / 60.0, size, level: size, filled: now }
    }

    /// Takes an amount and says how long to wait before using it.
    fn take(&mut self, amount: f64, now: Instant) -> Duration {
        let filled = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.level = (self.level + filled).min(self.size) - amount;
        self.filled = now;
        Duration::try_from_secs_f64((-self.level).max(0.0) / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Gives back what was taken too much; negative takes more.
    fn give(&mut self, amount: f64) {
        self.level = (self.level + amount).min(self.size);
    }
}

/// Both limits.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

impl Pace {
    pub(super) fn new(requests_per_minute: Option<u32>, tokens_per_minute: Option<u32>, now: Instant) -> Self {
        let bucket = |limit: Option<u32>| limit.map(|limit| Bucket::new(limit, now));
        Self { requests: bucket(requests_per_minute), tokens: bucket(tokens_per_minute) }
    }

    /// Plans a request of about this many tokens and says how long to wait before it is sent.
    pub(super) fn plan(&mut self, tokens: f64, now: Instant) -> Duration {
        let requests = self.requests.as_mut().map_or(Duration::ZERO, |bucket| bucket.take(1.0, now));
        requests.max(self.tokens.as_mut().map_or(Duration::ZERO, |bucket| bucket.take(tokens, now)))
    }

    /// Replaces the estimate by what the request took.
    pub(super) fn settle(&mut self, planned: f64, taken: f64) {
        if let Some(bucket) = &mut self.tokens {
            bucket.give(planned - taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_out_at_once_and_the_rest_at_the_rate() {
        let now = Instant::now();
        let mut pace = Pace::new(Some(60), None, now);
        let waits: Vec<_> = (0..13).map(|_| pace.plan(1e9, now).as_secs_f64()).collect();
        assert_eq!(waits, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(pace.plan(0.0, now + Duration::from_mins(1)), Duration::ZERO);
    }

    #[test]
    fn tokens_that_were_not_used_are_given_back() {
        let now = Instant::now();
        let mut pace = Pace::new(None, Some(600), now);
        assert_eq!(pace.plan(100.0, now), Duration::ZERO);
        assert_eq!(pace.plan(50.0, now), Duration::from_secs(5));
        pace.settle(100.0, 20.0);
        assert_eq!(pace.plan(30.0, now), Duration::ZERO);
    }

    #[test]
    fn in_any_minute_no_more_than_the_limit_and_a_burst_go_out() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(30), None, start);
        let sent: Vec<_> = (0..200).map(|_| pace.plan(0.0, start)).collect();
        for begin in &sent {
            let minute = *begin..*begin + Duration::from_mins(1);
            assert!(sent.iter().filter(|time| minute.contains(time)).count() <= 30 + 5 + 1);
        }
    }
}
