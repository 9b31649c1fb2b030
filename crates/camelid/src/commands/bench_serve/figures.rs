//! Figures of a load, as data.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::client::{Answer, Failure};

/// Seconds that half, 95 % and 99 % of the requests took at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
}

impl Percentiles {
    /// Nearest ranks; nothing without a value.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted.get(((share * sorted.len() as f64).ceil() as usize).saturating_sub(1)).copied();
        Some(Self { p50: at(0.50)?, p95: at(0.95)?, p99: at(0.99)? })
    }
}

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) streamed: u64,
    pub(crate) tokens: u64,
    /// Requests turned away with 429; each was asked again.
    pub(crate) refused: u64,
    /// Of those, how many were not told when to come back.
    pub(crate) without_retry_after: u64,
    pub(crate) latencies: Vec<f64>,
    pub(crate) first_texts: Vec<f64>,
    /// How often each kind of failure occurred, and an example.
    pub(crate) errors: BTreeMap<String, (u64, String)>,
}

impl Tally {
    pub(crate) fn answer(&mut self, answer: &Answer) {
        self.answered += 1;
        self.tokens += answer.said.tokens;
        self.latencies.push(answer.latency.as_secs_f64());
        if let Some(first) = answer.first {
            self.streamed += 1;
            self.first_texts.push(first.as_secs_f64());
        }
    }

    pub(crate) fn busy(&mut self, retry_after: Option<u64>) {
        self.refused += 1;
        self.without_retry_after += u64::from(retry_after.is_none());
    }

    pub(crate) fn failure(&mut self, failure: Failure) {
        self.errors.entry(failure.kind).or_insert((0, failure.detail)).0 += 1;
    }

    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().map(|(count, _)| count).sum()
    }

    pub(crate) fn figures(&self, elapsed: Duration) -> Figures {
        let seconds = elapsed.as_secs_f64();
        Figures {
            answered: self.answered,
            streamed: self.streamed,
            seconds,
            requests_per_second: self.answered as f64 / seconds,
            tokens: self.tokens,
            tokens_per_second: self.tokens as f64 / seconds,
            latency: Percentiles::of(&self.latencies),
            first_text: Percentiles::of(&self.first_texts),
            refused: self.refused,
            failed: self.failed(),
            errors: self.errors.clone(),
        }
    }
}

/// What a load came to. Times are seconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) answered: u64,
    pub(crate) streamed: u64,
    pub(crate) seconds: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) tokens: u64,
    pub(crate) tokens_per_second: f64,
    pub(crate) latency: Option<Percentiles>,
    /// Until the first text of streamed answers.
    pub(crate) first_text: Option<Percentiles>,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) errors: BTreeMap<String, (u64, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(Percentiles::of(&values), Some(Percentiles { p50: 100.0, p95: 190.0, p99: 198.0 }));
        assert_eq!(Percentiles::of(&[3.0]), Some(Percentiles { p50: 3.0, p95: 3.0, p99: 3.0 }));
        assert_eq!(Percentiles::of(&[]), None);
    }

    #[test]
    fn a_tally_adds_up() {
        let mut tally = Tally::default();
        let mut answer = Answer { latency: Duration::from_secs(2), ..Answer::default() };
        answer.said.tokens = 5;
        tally.answer(&answer);
        tally.answer(&Answer { first: Some(Duration::from_secs(1)), ..answer });
        tally.busy(None);
        tally.busy(Some(1));
        for detail in ["first", "second"] {
            tally.failure(Failure { kind: "status 500".into(), detail: detail.into() });
        }
        let figures = tally.figures(Duration::from_secs(4));
        assert_eq!((figures.answered, figures.streamed, figures.tokens_per_second), (2, 1, 2.5));
        assert_eq!((figures.refused, tally.without_retry_after, figures.failed), (2, 1, 2));
        assert_eq!(figures.errors["status 500"], (2, "first".to_owned()));
    }
}
