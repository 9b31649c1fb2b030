//! How far a figure can be trusted, and whether two figures differ.
//!
//! Functions take plain values, one an item, and return `None` where the figure does not exist (too few items, a
//! confidence that is no probability, values that are not numbers) rather than a number that looks like one.
//! Comparisons are between answers to the *same* items: pairing removes the difficulty of the items from the error and
//! saves two to five times the items (Miller 2024, arXiv 2411.00640, section 4.2).

pub mod agreement;
pub mod bootstrap;
pub mod bradley_terry;
pub mod clustered;
mod distribution;
pub(crate) use distribution::normal_quantile;
pub mod logistic;
pub mod mean;
pub mod multiplicity;
pub mod non_inferiority;
pub mod paired;
pub mod paired_proportion;
pub mod power;
pub mod proportion;

/// The range that covers the true value in a stated share of repetitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    pub fn contains(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    pub fn width(self) -> f64 {
        self.high - self.low
    }
}

fn is_probability(value: f64) -> bool {
    value > 0.0 && value < 1.0
}
