//! The mean of independent items, and the mean of such means.
//!
//! **Formula.** `s/√n` with the sample deviation `s² = Σ(x - x̄)²/(n - 1)`; the interval is `x̄ ± t_{n-1} s/√n`. A
//! macro average of `k` means has the error `√(Σ sᵢ²)/k`, a difference of two the error `√(s₁² + s₂²)`, both with the
//! degrees of freedom of Welch and Satterthwaite, `(Σ sᵢ²)²/Σ(sᵢ⁴/νᵢ)`.
//!
//! **Source.** Miller 2024 (arXiv 2411.00640), section 2; Welch 1947.

use super::distribution::{t_quantile, t_upper_tail};
use super::{Interval, is_probability};

/// A mean and its standard error, whatever they were computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    pub value: f64,
    pub standard_error: f64,
    pub degrees_of_freedom: f64,
    /// Items behind it.
    pub count: usize,
}

impl Mean {
    /// Of independent values, two or more, all finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count < 2 || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let n = count as f64;
        let value = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - value).powi(2)).sum::<f64>() / (n - 1.0);
        let standard_error = (variance / n).sqrt();
        // Sums of finite values may overflow.
        let mean = Self { value, standard_error, degrees_of_freedom: n - 1.0, count };
        standard_error.is_finite().then_some(mean)
    }

    /// Student's interval.
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        if !is_probability(confidence) {
            return None;
        }
        let width = t_quantile(0.5 + confidence / 2.0, self.degrees_of_freedom) * self.standard_error;
        Some(Interval { low: self.value - width, high: self.value + width })
    }

    /// The probability of a mean at least as far from `expected`, if that were the true one (Student's test).
    pub fn two_sided_p(&self, expected: f64) -> f64 {
        let distance = (self.value - expected).abs();
        // Without any spread only the same value is compatible.
        if distance == 0.0 { 1.0 } else { 2.0 * t_upper_tail(distance / self.standard_error, self.degrees_of_freedom) }
    }
}

/// `first - second`, measured on different items. For the same items see [`paired`](super::paired), which is far
/// sharper.
pub fn unpaired_difference(first: &Mean, second: &Mean) -> Option<Mean> {
    let [a, b] = [first, second].map(|mean| mean.standard_error.powi(2));
    let fourth = a * a / first.degrees_of_freedom + b * b / second.degrees_of_freedom;
    fourth.is_finite().then(|| Mean {
        value: first.value - second.value,
        standard_error: (a + b).sqrt(),
        degrees_of_freedom: if fourth > 0.0 { (a + b).powi(2) / fourth } else { f64::INFINITY },
        count: first.count + second.count,
    })
}

/// The unweighted mean of independent means. Its error is that of an unweighted mean, not of the pooled items.
pub fn macro_average(means: &[Mean]) -> Option<Mean> {
    if means.is_empty() {
        return None;
    }
    let k = means.len() as f64;
    let variance: f64 = means.iter().map(|mean| mean.standard_error.powi(2)).sum();
    let fourth: f64 = means.iter().map(|mean| mean.standard_error.powi(4) / mean.degrees_of_freedom).sum();
    Some(Mean {
        value: means.iter().map(|mean| mean.value).sum::<f64>() / k,
        standard_error: variance.sqrt() / k,
        // Means that do not vary at all leave nothing to be uncertain about.
        degrees_of_freedom: if fourth > 0.0 { variance * variance / fourth } else { f64::INFINITY },
        count: means.iter().map(|mean| mean.count).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mean = Mean::of(&[1.0, 2.0, 3.0, 6.0]).unwrap();
        assert_eq!((mean.value, mean.degrees_of_freedom, mean.count), (3.0, 3.0, 4));
        // s² = (4 + 1 + 0 + 9)/3, t_{3, 0.975} = 3.182446
        assert!((mean.standard_error - (14.0_f64 / 12.0).sqrt()).abs() < 1e-15);
        let interval = mean.interval(0.95).unwrap();
        assert!((interval.width() / 2.0 - 3.182_446_305_284_263 * mean.standard_error).abs() < 1e-9);
    }

    #[test]
    fn a_macro_average_is_not_pooled() {
        let of = |value: f64, standard_error: f64| Mean { value, standard_error, degrees_of_freedom: 10.0, count: 11 };
        let average = macro_average(&[of(0.2, 0.03), of(0.6, 0.04)]).unwrap();
        assert!((average.value - 0.4).abs() < 1e-15 && (average.standard_error - 0.025).abs() < 1e-15);
        let equal = macro_average(&[of(0.2, 0.03), of(0.6, 0.03)]).unwrap();
        assert!((equal.degrees_of_freedom - 20.0).abs() < 1e-9);
        assert_eq!(equal.count, 22);
    }

    #[test]
    fn what_has_no_error_is_refused() {
        assert_eq!(Mean::of(&[1.0]), None);
        assert_eq!(Mean::of(&[1.0, f64::NAN]), None);
        assert_eq!(Mean::of(&[f64::MAX, f64::MAX]), None);
        let unknown = Mean { value: f64::NAN, standard_error: 1.0, degrees_of_freedom: 3.0, count: 4 };
        assert!(unknown.two_sided_p(0.0).is_nan());
        assert_eq!(macro_average(&[]), None);
        let mean = Mean::of(&[1.0, 2.0]).unwrap();
        assert_eq!([mean.interval(0.0), mean.interval(1.0), mean.interval(f64::NAN)], [None; 3]);
        let constant = Mean::of(&[1.0, 1.0]).unwrap();
        assert_eq!(macro_average(&[constant]).unwrap().interval(0.95), Some(Interval { low: 1.0, high: 1.0 }));
    }
}
