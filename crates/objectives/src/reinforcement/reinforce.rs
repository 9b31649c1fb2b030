//! REINFORCE with a moving average as the baseline.
//!
//! **What it optimises.** `E_{y~π}[r(x, y)]`, relative to the rewards of the last steps.
//!
//! **When to use it.** As the simplest method there is: one sample a prompt, no head, no group. Prompts that differ much in
//! what they can earn make it noisy; then [`super::rloo`].
//!
//! **Formula.** `A_i = r_i - b`, then `b ← d b + (1 - d) mean(r)`; the first step's baseline is its own mean. The loss is
//! [`super::policy_gradient`], whose gradient is `-A ∇ log π` as long as the policy is the one that sampled.
//!
//! **Source.** Williams 1992, "Simple statistical gradient-following algorithms".
//!
//! **Reference numbers.** `d` 0.95 to 0.99. With rewards that stay the same, advantages are 0.

/// `b`; `None` before the first step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovingAverage {
    decay: f64,
    baseline: Option<f64>,
}

impl MovingAverage {
    pub fn new(decay: f64) -> Self {
        Self { decay, baseline: None }
    }

    /// All there is to save, and what [`Self::set_baseline`] takes back.
    pub fn baseline(&self) -> Option<f64> {
        self.baseline
    }

    pub fn set_baseline(&mut self, baseline: Option<f64>) {
        self.baseline = baseline;
    }

    /// Advantages of all responses of a step; the step then counts in the baseline.
    pub fn advantages(&mut self, rewards: &[f64]) -> Vec<f64> {
        if rewards.is_empty() {
            return Vec::new();
        }
        let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
        let baseline = self.baseline.unwrap_or(mean);
        self.baseline = Some(self.decay * baseline + (1.0 - self.decay) * mean);
        rewards.iter().map(|reward| reward - baseline).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut average = MovingAverage::new(0.75);
        assert_eq!(average.advantages(&[1.0, 3.0]), [-1.0, 1.0]);
        assert_eq!(average.baseline(), Some(2.0));
        assert_eq!(average.advantages(&[6.0]), [4.0]);
        assert_eq!(average.baseline(), Some(3.0));
        assert!(average.advantages(&[]).is_empty());
        let mut resumed = MovingAverage::new(0.75);
        resumed.set_baseline(average.baseline());
        assert_eq!(resumed, average);
    }
}
