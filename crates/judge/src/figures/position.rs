//! How a judge depends on the order, and how often it says anything at all.

use camelid_eval::statistics::Interval;
use camelid_eval::statistics::proportion::wilson;
use camelid_records::{Assessment, Verdict};
use serde::{Deserialize, Serialize};

use super::CONFIDENCE;

/// Counts over assessments. Each has two verdicts, one an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Positions {
    pub count: usize,
    /// The same verdict in both orders, ties included. What could not be read agrees with nothing.
    pub agreeing: usize,
    /// Verdicts for one of the outputs, in both orders together.
    pub decided: usize,
    /// Of those, for the output that was read first.
    pub first_read: usize,
    pub ties: usize,
    pub unparsed: usize,
    pub failed: usize,
    /// The mean probability of all choices together, where log-probabilities were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mass: Option<f64>,
}

impl Positions {
    pub fn of<'a>(assessments: impl IntoIterator<Item = &'a Assessment>) -> Self {
        let (mut all, mut masses) = (Self::default(), Vec::new());
        for Assessment { as_given, swapped, .. } in assessments {
            all.count += 1;
            all.agreeing += usize::from(as_given.verdict == swapped.verdict && as_given.verdict.preference().is_some());
            for (opinion, read_first) in [(as_given, Verdict::First), (swapped, Verdict::Second)] {
                masses.extend(opinion.mass);
                match opinion.verdict {
                    Verdict::First | Verdict::Second => {
                        all.decided += 1;
                        all.first_read += usize::from(opinion.verdict == read_first);
                    }
                    Verdict::Tie => all.ties += 1,
                    Verdict::Unparsed => all.unparsed += 1,
                    Verdict::Failed => all.failed += 1,
                }
            }
        }
        all.mass = (!masses.is_empty()).then(|| masses.iter().sum::<f64>() / masses.len() as f64);
        all
    }

    /// The share of items with the same verdict in both orders.
    pub fn agreement(&self) -> Option<f64> {
        (self.count > 0).then(|| self.agreeing as f64 / self.count as f64)
    }

    pub fn agreement_interval(&self) -> Option<Interval> {
        wilson(self.agreeing as f64, self.count, CONFIDENCE)
    }

    /// A half for a judge to whom the order is nothing.
    pub fn first_read_rate(&self) -> Option<f64> {
        (self.decided > 0).then(|| self.first_read as f64 / self.decided as f64)
    }

    /// The share of verdicts that could be read; what failed could not.
    pub fn parse_rate(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.decided + self.ties) as f64 / (2 * self.count) as f64)
    }
}
