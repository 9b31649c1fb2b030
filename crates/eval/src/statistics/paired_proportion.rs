//! Right and wrong of two systems on the same items: how much more often the first is right.
//!
//! **Formula.** Of `n` items `b` are right by the first alone, `c` by the second alone; the difference of their rates is estimated
//! by `(b - c)/n`. Against a true difference `Δ` the score statistic is `z(Δ) = (b - c - nΔ)/√(n(2q + Δ(1 - Δ)))`, with `q` the
//! most likely share of items that only the second gets right under that difference, the larger root of `2n q² - (b + c - (2n - b + c)Δ)
//! q - cΔ(1 - Δ) = 0`. The interval holds all `Δ` with `|z(Δ)| ≤ z_{1-α/2}`. Neither needs a pair that differs. At `Δ = 0` it is
//! McNemar's statistic `(b - c)/√(b + c)`.
//!
//! **Items in groups.** Answers to questions about one passage differ together. The variance of the difference between items in
//! groups over that between independent ones is the design effect `D`; `z/√D` is compared with Student's t of `C - 1` degrees of freedom.
//!
//! **Source.** Nam 1997; Tango 1998; Rao and Scott 1992 on dividing counts by a design effect.

use super::distribution::{normal_quantile, normal_upper_tail, t_quantile, t_upper_tail};
use super::{Interval, is_probability};

/// Counts over items that both systems answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// Right by the first alone.
    pub only_first: u64,
    /// Right by the second alone.
    pub only_second: u64,
    /// All items.
    pub count: u64,
}

/// How far items depend on each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clustering {
    /// What the variance of a mean is multiplied by; at least 1.
    pub design_effect: f64,
    /// Groups less one; infinite for independent items.
    pub degrees_of_freedom: f64,
}

impl Clustering {
    /// Independent items.
    pub const NONE: Self = Self { design_effect: 1.0, degrees_of_freedom: f64::INFINITY };

    pub(super) fn quantile(self, probability: f64) -> f64 {
        t_quantile(probability, self.degrees_of_freedom)
    }

    pub(super) fn upper_tail(self, z: f64) -> f64 {
        if self.degrees_of_freedom.is_finite() {
            t_upper_tail(z, self.degrees_of_freedom)
        } else {
            normal_upper_tail(z)
        }
    }

    fn is_known(self) -> bool {
        self.design_effect >= 1.0 && self.design_effect.is_finite() && self.degrees_of_freedom > 0.0
    }
}

impl Pairs {
    /// `None` if there are no items or fewer than pairs that differ.
    pub fn of(only_first: u64, only_second: u64, count: u64) -> Option<Self> {
        let differing = only_first.checked_add(only_second)?;
        (count > 0 && differing <= count).then_some(Self { only_first, only_second, count })
    }

    /// First less second.
    pub fn difference(self) -> f64 {
        (self.only_first as f64 - self.only_second as f64) / self.count as f64
    }

    /// The statistic against a true difference in `(-1, 1)`. `correction` items are taken off the distance in the numerator, but
    /// never past 0: with a half the test errs at most as often as it says, at a small cost in power.
    pub fn score_statistic(self, difference: f64, correction: f64, clustering: Clustering) -> f64 {
        if difference > 0.0 {
            // The formula holds for a loss; a gain is the other's loss.
            let swapped = Self { only_first: self.only_second, only_second: self.only_first, count: self.count };
            return -swapped.score_statistic(-difference, correction, clustering);
        }
        let distance = self.only_first as f64 - self.only_second as f64 - self.count as f64 * difference;
        let corrected = (distance.abs() - correction).max(0.0).copysign(distance);
        if corrected == 0.0 {
            return 0.0;
        }
        corrected / (self.constrained_variance(difference) * self.count as f64 * clustering.design_effect).sqrt()
    }

    /// The most likely variance of one item's difference, if the true difference was this one, at most 0.
    pub(super) fn constrained_variance(self, difference: f64) -> f64 {
        let [n, b, c] = [self.count, self.only_first, self.only_second].map(|count| count as f64);
        let loss = -difference;
        let half_slope = (b + c + (2.0 * n - b + c) * loss) / (4.0 * n);
        let root = (half_slope * half_slope - c * loss * (1.0 + loss) / (2.0 * n)).max(0.0).sqrt();
        (2.0 * (half_slope + root) - loss * (1.0 + loss)).max(0.0)
    }

    /// The interval of the difference.
    pub fn interval(self, confidence: f64, clustering: Clustering) -> Option<Interval> {
        if !is_probability(confidence) || !clustering.is_known() {
            return None;
        }
        let critical = clustering.quantile(0.5 + confidence / 2.0);
        // The statistic falls as the difference it is held against rises.
        let crossing = |target: f64| {
            let (mut low, mut high) = (-1.0, 1.0);
            for _ in 0..80 {
                let middle = 0.5 * (low + high);
                if self.score_statistic(middle, 0.0, clustering) > target {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            0.5 * (low + high)
        };
        Some(Interval { low: crossing(critical), high: crossing(-critical) })
    }

    /// The two-sided probability of a difference at least as far from 0 if there was none, for items in groups. For independent
    /// ones [`McNemar`](super::paired::McNemar) has better ones.
    pub fn two_sided_p(self, clustering: Clustering) -> f64 {
        (2.0 * clustering.upper_tail(self.score_statistic(0.0, 0.0, clustering).abs())).min(1.0)
    }

    /// The items with which a gate of this margin would pass with probability `power` if nothing was lost, at this share of items
    /// that differ: the `n` with `nδ - 1/2 = (z_{1-α} √v₀ + z_{power} √v₁) √(nD)`, `v₀` the variance under a loss of the margin `δ`, `v₁`
    /// that under none, and the half the gate's correction.
    pub fn needed_for_gate(self, margin: f64, alpha: f64, power: f64, clustering: Clustering) -> Option<usize> {
        if ![margin, alpha, power].into_iter().all(is_probability) || !clustering.is_known() {
            return None;
        }
        let under_loss = self.constrained_variance(-margin);
        let under_none = (self.only_first + self.only_second) as f64 / self.count as f64;
        let sum = normal_quantile(1.0 - alpha) * under_loss.sqrt() + normal_quantile(power) * under_none.sqrt();
        let sum = sum * clustering.design_effect.sqrt();
        let root = (sum + (sum * sum + 2.0 * margin).sqrt()) / (2.0 * margin);
        Some((root * root).ceil() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::paired::McNemar;
    use super::*;

    #[test]
    fn at_no_difference_it_is_mcnemars_statistic() {
        let pairs = Pairs::of(11, 4, 50).unwrap();
        let expected = 7.0 / 15.0_f64.sqrt();
        assert!((pairs.score_statistic(0.0, 0.0, Clustering::NONE) - expected).abs() < 1e-12);
        let p = pairs.two_sided_p(Clustering::NONE);
        let mid_p = McNemar { only_first: 11, only_second: 4 }.mid_p();
        assert!((p - mid_p).abs() < 0.01, "{p} {mid_p}");
    }

    #[test]
    fn the_constrained_share_is_the_most_likely() {
        let (n, b, c, loss) = (200.0_f64, 11.0, 19.0, 0.03);
        let likelihood = |q: f64| b * (q - loss).ln() + c * q.ln() + (n - b - c) * (1.0 - 2.0 * q + loss).ln();
        let best = (301..5000).map(|i| f64::from(i) / 1e4).max_by(|x, y| likelihood(*x).total_cmp(&likelihood(*y)));
        let variance = 2.0 * best.unwrap() - loss * (1.0 + loss);
        let ours = Pairs::of(11, 19, 200).unwrap().constrained_variance(-loss);
        assert!((ours - variance).abs() < 1e-4, "{ours} {variance}");
    }

    #[test]
    fn interval_ends_are_where_the_test_just_rejects_and_swap_with_the_systems() {
        let z = normal_quantile(0.975);
        for (b, c, n) in [(0, 0, 40), (12, 3, 40), (0, 9, 40), (20, 20, 40), (40, 0, 40), (150, 86, 1600)] {
            let pairs = Pairs::of(b, c, n).unwrap();
            let interval = pairs.interval(0.95, Clustering::NONE).unwrap();
            assert!(interval.contains(pairs.difference()), "{pairs:?} {interval:?}");
            for (end, expected) in [(interval.low, z), (interval.high, -z)] {
                let statistic = pairs.score_statistic(end, 0.0, Clustering::NONE);
                assert!((statistic - expected).abs() < 1e-6 || end.abs() > 0.999_999, "{pairs:?} {end}: {statistic}");
            }
            let swapped = Pairs::of(c, b, n).unwrap().interval(0.95, Clustering::NONE).unwrap();
            assert!((swapped.low + interval.high).abs() < 1e-9 && (swapped.high + interval.low).abs() < 1e-9);
        }
        // With many items it is Wald's: 0.04 ± 1.96 √(0.1475 - 0.0016)/40.
        let many = Pairs::of(150, 86, 1600).unwrap().interval(0.95, Clustering::NONE).unwrap();
        assert!((many.low - 0.0213).abs() < 5e-4 && (many.high - 0.0587).abs() < 5e-4, "{many:?}");
    }

    #[test]
    fn groups_widen() {
        let pairs = Pairs::of(12, 30, 400).unwrap();
        let alone = pairs.interval(0.95, Clustering::NONE).unwrap();
        let grouped = Clustering { design_effect: 4.0, degrees_of_freedom: 19.0 };
        let wide = pairs.interval(0.95, grouped).unwrap();
        // Twice the error, and t of 19 degrees is 2.093; errors under wider differences are larger.
        assert!((2.0..2.5).contains(&(wide.width() / alone.width())), "{wide:?} {alone:?}");
        assert!(pairs.two_sided_p(grouped) > 0.1 && pairs.two_sided_p(Clustering::NONE) < 0.01);
        assert_eq!(pairs.interval(0.95, Clustering { design_effect: 0.5, degrees_of_freedom: 3.0 }), None);
    }

    #[test]
    fn refusals() {
        assert_eq!(Pairs::of(3, 3, 5), None);
        assert_eq!(Pairs::of(0, 0, 0), None);
        assert_eq!(Pairs::of(u64::MAX, 1, u64::MAX), None);
        let pairs = Pairs::of(1, 1, 5).unwrap();
        assert_eq!(pairs.interval(1.0, Clustering::NONE), None);
        assert_eq!(pairs.needed_for_gate(0.0, 0.05, 0.8, Clustering::NONE), None);
    }
}
