//! Learning rate by step.

use serde::{Deserialize, Serialize};

/// The shape after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    Constant,
    /// Straight down to the final share.
    Linear,
    /// Half a cosine down to the final share (Loshchilov & Hutter 2016, arXiv 1608.03983).
    Cosine,
    /// Constant, then straight down over the last `decay_share` of the steps (warm-up, stable, decay; Hu 2024, arXiv
    /// 2404.06395).
    Wsd,
}

/// A schedule over a known number of steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub shape: Shape,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Below 1 a share of all steps, else a number of steps.
    pub warmup: f64,
    /// Learning rate at the end as a share of the highest.
    pub final_share: f64,
    /// Share of the steps over which WSD decays.
    pub decay_share: f64,
}

impl Schedule {
    pub fn warmup_steps(&self, total: u64) -> u64 {
        if self.warmup < 1.0 { (self.warmup * total as f64).ceil() as u64 } else { self.warmup as u64 }
    }

    /// Learning rate of a step, the first being step 0 of `total`.
    pub fn at(&self, step: u64, total: u64) -> f64 {
        let warmup = self.warmup_steps(total).min(total);
        if step < warmup {
            return self.learning_rate * (step + 1) as f64 / warmup as f64;
        }
        let down = |done: f64| 1.0 - (1.0 - self.final_share) * done;
        // From 0 at the first step after warm-up to 1 at the end.
        let progress = (step - warmup) as f64 / (total - warmup).max(1) as f64;
        let share = match self.shape {
            Shape::Constant => 1.0,
            Shape::Linear => down(progress),
            Shape::Cosine => down(0.5 * (1.0 - (std::f64::consts::PI * progress).cos())),
            Shape::Wsd => {
                let start = total as f64 * (1.0 - self.decay_share);
                let decay = total as f64 * self.decay_share;
                down(((step as f64 - start) / decay.max(1.0)).clamp(0.0, 1.0))
            }
        };
        self.learning_rate * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: Shape) -> Schedule {
        Schedule { shape, learning_rate: 1.0, warmup: 2.0, final_share: 0.1, decay_share: 0.2 }
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn warmup_climbs_to_the_highest_rate() {
        near(schedule(Shape::Linear).at(0, 12), 0.5);
        near(schedule(Shape::Linear).at(1, 12), 1.0);
        assert_eq!(Schedule { warmup: 0.05, ..schedule(Shape::Cosine) }.warmup_steps(50), 3);
    }

    #[test]
    fn each_shape_at_its_start_middle_and_end() {
        near(schedule(Shape::Constant).at(11, 12), 1.0);
        near(schedule(Shape::Linear).at(2, 12), 1.0);
        near(schedule(Shape::Linear).at(7, 12), 0.55);
        near(schedule(Shape::Linear).at(12, 12), 0.1);
        near(schedule(Shape::Cosine).at(7, 12), 0.55);
        near(schedule(Shape::Cosine).at(12, 12), 0.1);
        near(schedule(Shape::Wsd).at(7, 10), 1.0);
        near(schedule(Shape::Wsd).at(9, 10), 0.55);
        near(schedule(Shape::Wsd).at(10, 10), 0.1);
    }

    #[test]
    fn warmup_longer_than_the_run_divides_nothing_by_zero() {
        assert!(Schedule { warmup: 100.0, ..schedule(Shape::Cosine) }.at(3, 4).is_finite());
    }
}
