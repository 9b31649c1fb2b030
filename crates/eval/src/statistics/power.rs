//! What a comparison can see before it is run: the smallest difference that `n` items find, and the items that a
//! difference needs.
//!
//! **Formula.** `δ = (z_{1-α/2} + z_{power}) √(v/n)`, with `v` the variance of one item's contribution: for different
//! items `σ₁² + σ₂²`, for the same items `σ₁² + σ₂² - 2ρ σ₁ σ₂`, which for right and wrong is `b + c - (b - c)²` with
//! `b`, `c` the shares of items that only one gets right. With `k` samples an item, `σ²` is the variance between items
//! plus that within over `k`.
//!
//! **Source.** Miller 2024 (arXiv 2411.00640), section 5.

use super::distribution::normal_quantile;
use super::is_probability;

/// How often a test may see what is not there (two-sided), and how often it must see what is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Design {
    pub alpha: f64,
    pub power: f64,
}

impl Default for Design {
    fn default() -> Self {
        Self { alpha: 0.05, power: 0.8 }
    }
}

impl Design {
    fn quantiles(self) -> Option<f64> {
        let known = is_probability(self.alpha) && is_probability(self.power);
        known.then(|| normal_quantile(1.0 - self.alpha / 2.0) + normal_quantile(self.power))
    }

    /// The smallest true difference found with the stated power.
    pub fn minimum_detectable_effect(self, variance: f64, count: usize) -> Option<f64> {
        (count > 0 && variance >= 0.0).then(|| Some(self.quantiles()? * (variance / count as f64).sqrt()))?
    }

    /// The items needed to find a true difference of `effect`.
    pub fn needed_count(self, variance: f64, effect: f64) -> Option<usize> {
        let needed = (self.quantiles()? / effect).powi(2) * variance;
        (effect != 0.0 && needed.is_finite() && needed >= 0.0).then(|| needed.ceil() as usize)
    }
}

/// `σ₁² + σ₂²`: two systems on different items.
pub fn unpaired_variance(first: f64, second: f64) -> f64 {
    first + second
}

/// `σ₁² + σ₂² - 2ρ σ₁ σ₂`: two systems on the same items, whose scores correlate by `ρ`.
pub fn paired_variance(first: f64, second: f64, correlation: f64) -> f64 {
    first + second - 2.0 * correlation * (first * second).sqrt()
}

/// The same for right and wrong, from the shares of items that only the first and only the second gets right.
pub fn paired_binary_variance(only_first: f64, only_second: f64) -> f64 {
    only_first + only_second - (only_first - only_second).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_items_find_the_effect_they_are_for() {
        let design = Design::default();
        // Two systems at 0.5: 2 · 0.25 (1.95996 + 0.84162)²/0.03² = 4360.5
        let variance = unpaired_variance(0.25, 0.25);
        assert_eq!(design.needed_count(variance, 0.03), Some(4361));
        assert!((design.minimum_detectable_effect(variance, 4361).unwrap() - 0.03).abs() < 1e-5);
        // Half the items differ in difficulty only.
        assert_eq!(design.needed_count(paired_variance(0.25, 0.25, 0.5), 0.03), Some(2181));
    }

    #[test]
    fn binary_pairs_have_the_variance_of_their_differences() {
        // Rates 0.6 and 0.5, both right on 0.4: ρ = (0.4 - 0.3)/√(0.24 · 0.25).
        let correlation = 0.1 / (0.24_f64 * 0.25).sqrt();
        let general = paired_variance(0.24, 0.25, correlation);
        assert!((general - paired_binary_variance(0.2, 0.1)).abs() < 1e-12);
    }

    #[test]
    fn nothing_finds_no_effect() {
        assert_eq!(Design::default().needed_count(0.5, 0.0), None);
        assert_eq!(Design::default().minimum_detectable_effect(0.5, 0), None);
        assert_eq!(Design { alpha: 0.0, power: 0.8 }.needed_count(0.5, 0.1), None);
    }
}
