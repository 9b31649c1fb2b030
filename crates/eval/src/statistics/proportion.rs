//! The share of items that are right.
//!
//! **Formula.** Wilson's interval, the `p` with `|p̂ - p| ≤ z √(p(1 - p)/n)`: centre `(p̂ + z²/2n)/(1 + z²/n)`,
//! half-width `z/(1 + z²/n) · √(p̂(1 - p̂)/n + z²/4n²)`. It never leaves `[0, 1]` and stays open where all items agree.
//!
//! **Source.** Wilson 1927; Brown, Cai and DasGupta 2001 on why not `p̂ ± z √(p̂(1 - p̂)/n)`.

use super::distribution::normal_quantile;
use super::{Interval, is_probability};

/// Wilson's interval for `right` of `count` items; a half counts for a tie. `None` unless `0 ≤ right ≤ count` and
/// `count > 0`.
pub fn wilson(right: f64, count: usize, confidence: f64) -> Option<Interval> {
    if count == 0 || !(0.0..=count as f64).contains(&right) || !is_probability(confidence) {
        return None;
    }
    let n = count as f64;
    let share = right / n;
    let z = normal_quantile(0.5 + confidence / 2.0);
    let square = z * z / n;
    let centre = (share + square / 2.0) / (1.0 + square);
    let width = z / (1.0 + square) * (share * (1.0 - share) / n + square / (4.0 * n)).sqrt();
    // At the ends the interval ends there exactly, which rounding would miss.
    let low = if right == 0.0 { 0.0 } else { centre - width };
    let high = if right == n { 1.0 } else { centre + width };
    Some(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_ends_are_where_the_test_just_rejects() {
        let z = normal_quantile(0.975);
        for right in [1.0, 7.5, 30.0, 39.0] {
            let interval = wilson(right, 40, 0.95).unwrap();
            for end in [interval.low, interval.high] {
                let deviation = (right / 40.0 - end).abs() / (end * (1.0 - end) / 40.0).sqrt();
                assert!((deviation - z).abs() < 1e-9, "{right}: {deviation}");
            }
        }
        assert_eq!(wilson(0.0, 10, 0.95).unwrap().low, 0.0);
        assert_eq!(wilson(10.0, 10, 0.95).unwrap().high, 1.0);
    }

    #[test]
    fn no_share_no_interval() {
        for (right, count, confidence) in
            [(0.0, 0, 0.95), (2.0, 1, 0.95), (-1.0, 3, 0.95), (f64::NAN, 3, 0.95), (1.0, 3, 1.5)]
        {
            assert_eq!(wilson(right, count, confidence), None, "{right} {count} {confidence}");
        }
    }
}
