//! Gates: has an ability been *kept*? "No significant difference" is no answer, as few items never show one; that the
//! loss is smaller than a margin is.
//!
//! **Formula.** `H₀: tuned - base ≤ -δ` against more, one-sided at `α`. Scores: `t = (d̄ + δ)/s_d̄`. Right and wrong on
//! the same items: the score test `z = (b - c + nδ)/√(n(2q - δ(1 + δ)))`, with `b` and `c` the items that only the
//! tuned and only the base model gets right and `q` the most likely share of the latter under a loss of exactly `δ`,
//! the larger root of `2n q² - (b + c + (2n - b + c)δ) q + cδ(1 + δ) = 0`. It needs no pair that differs, where the
//! first would divide by 0.
//!
//! **Source.** Nam 1997; Tango 1998; Blackwelder 1982 on proving what is meant.
//!
//! **Reference numbers.** A true loss of the margin passes in a share `α` of gates.

use super::distribution::{normal_quantile, normal_upper_tail, t_quantile, t_upper_tail};
use super::is_probability;
use super::mean::Mean;

/// What can be said of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Smaller than the margin.
    Kept,
    /// Larger than the margin.
    Lost,
    /// Neither, at this many items.
    Undecided,
}

/// The outcome of a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonInferiority {
    /// Tuned less base.
    pub difference: f64,
    /// Of a loss of the margin or more.
    pub p_value: f64,
    pub verdict: Verdict,
}

/// From the mean of `tuned - base` over items. `None` unless `margin > 0` and `0 < α < 1`.
pub fn of_scores(difference: &Mean, margin: f64, alpha: f64) -> Option<NonInferiority> {
    if !is_probability(alpha) || margin.is_nan() || margin <= 0.0 {
        return None;
    }
    let distance = difference.value + margin;
    let t = if distance == 0.0 { 0.0 } else { distance / difference.standard_error };
    let critical = t_quantile(1.0 - alpha, difference.degrees_of_freedom);
    let p_value = t_upper_tail(t, difference.degrees_of_freedom);
    Some(NonInferiority { difference: difference.value, p_value, verdict: verdict(t, critical) })
}

/// From how many of `count` items only the tuned, and only the base model got right. `None` unless these are among the
/// items, `0 < margin < 1` and `0 < α < 1`.
pub fn of_answers(only_tuned: u64, only_base: u64, count: u64, margin: f64, alpha: f64) -> Option<NonInferiority> {
    let differing = only_tuned.checked_add(only_base)?;
    if count == 0 || differing > count || !is_probability(margin) || !is_probability(alpha) {
        return None;
    }
    let [n, b, c] = [count, only_tuned, only_base].map(|count| count as f64);
    let half_slope = (b + c + (2.0 * n - b + c) * margin) / (4.0 * n);
    let root = (half_slope * half_slope - c * margin * (1.0 + margin) / (2.0 * n)).max(0.0).sqrt();
    let variance = n * (2.0 * (half_slope + root) - margin * (1.0 + margin));
    let distance = b - c + n * margin;
    let z = if distance == 0.0 { 0.0 } else { distance / variance.max(0.0).sqrt() };
    let verdict = verdict(z, normal_quantile(1.0 - alpha));
    Some(NonInferiority { difference: (b - c) / n, p_value: normal_upper_tail(z), verdict })
}

fn verdict(statistic: f64, critical: f64) -> Verdict {
    if statistic >= critical {
        Verdict::Kept
    } else if statistic <= -critical {
        Verdict::Lost
    } else {
        Verdict::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_that_differs() {
        // z = √(nδ/(1 - δ)): 88 items do, 87 do not, at 3 % and z = 1.645.
        assert_eq!(of_answers(0, 0, 88, 0.03, 0.05).unwrap().verdict, Verdict::Kept);
        assert_eq!(of_answers(0, 0, 87, 0.03, 0.05).unwrap().verdict, Verdict::Undecided);
    }

    #[test]
    fn the_constrained_share_is_the_most_likely() {
        let (n, b, c, margin) = (200.0_f64, 11.0, 19.0, 0.03);
        let gate = of_answers(11, 19, 200, margin, 0.05).unwrap();
        let likelihood = |q: f64| b * (q - margin).ln() + c * q.ln() + (n - b - c) * (1.0 - 2.0 * q + margin).ln();
        let best = (301..5000).map(|i| f64::from(i) / 1e4).max_by(|x, y| likelihood(*x).total_cmp(&likelihood(*y)));
        let variance = n * (2.0 * best.unwrap() - margin * (1.0 + margin));
        let z = (b - c + n * margin) / variance.sqrt();
        assert!((normal_upper_tail(z) - gate.p_value).abs() < 1e-4, "{gate:?}");
        assert!((gate.difference + 0.04).abs() < 1e-15 && gate.verdict == Verdict::Undecided);
    }

    #[test]
    fn large_losses_are_lost_and_scores_agree_with_answers() {
        assert_eq!(of_answers(20, 120, 1000, 0.03, 0.05).unwrap().verdict, Verdict::Lost);
        let differences: Vec<f64> = (0..1000)
            .map(|item| {
                if item < 60 {
                    1.0
                } else if item < 125 {
                    -1.0
                } else {
                    0.0
                }
            })
            .collect();
        let (scores, answers) = (
            of_scores(&Mean::of(&differences).unwrap(), 0.03, 0.05).unwrap(),
            of_answers(60, 65, 1000, 0.03, 0.05).unwrap(),
        );
        assert_eq!((scores.verdict, answers.verdict), (Verdict::Kept, Verdict::Kept));
        assert!((scores.p_value - answers.p_value).abs() < 2e-3);
    }

    #[test]
    fn refusals() {
        assert_eq!(of_answers(3, 3, 5, 0.03, 0.05), None);
        assert_eq!(of_answers(1, 1, 5, 0.0, 0.05), None);
        assert_eq!(of_answers(0, 0, 0, 0.03, 0.05), None);
        let difference = Mean::of(&[0.0, 0.0]).unwrap();
        assert_eq!(of_scores(&difference, f64::NAN, 0.05), None);
        assert_eq!(of_scores(&difference, 0.1, 0.05).unwrap().verdict, Verdict::Kept);
    }
}
