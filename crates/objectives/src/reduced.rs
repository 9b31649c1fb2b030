//! Sums that know what they will be divided by.

use std::borrow::Cow;
use std::ops::AddAssign;

/// A sum and the count that turns it into a mean. Parts of a step add up before anything is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reduced {
    pub sum: f64,
    pub count: f64,
}

impl Reduced {
    pub fn new(sum: f64, count: f64) -> Self {
        Self { sum, count }
    }

    /// `None` when nothing was counted: a mean of nothing is not zero.
    pub fn mean(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

impl AddAssign for Reduced {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }
}

/// A named figure of a micro-batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The field's usual name, as written to `metrics.jsonl`.
    pub name: Cow<'static, str>,
    pub value: Reduced,
}

impl Metric {
    pub fn new(name: impl Into<Cow<'static, str>>, value: Reduced) -> Self {
        Self { name: name.into(), value }
    }
}

/// What an objective makes of a micro-batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Summed loss, and what the whole step's sum is divided by.
    pub loss: Reduced,
    pub metrics: Vec<Metric>,
    /// Derivative of `loss.sum` with respect to each target's log-probability.
    pub d_log_probs: Vec<f32>,
    /// Derivative of `loss.sum` with respect to each value, one a sequence or one a target as the method reads them; empty
    /// where it reads none.
    pub d_values: Vec<f32>,
    /// Derivative of `loss.sum` with respect to the entropy at each target; empty where the method reads none.
    pub d_entropies: Vec<f32>,
}
