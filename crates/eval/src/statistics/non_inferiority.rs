//! Gates: has an ability been *kept*? "No significant difference" is no answer, as few items never show one; that the
//! loss is smaller than a margin is.
//!
//! **Formula.** `H₀: tuned - base ≤ -δ` against more, one-sided at `α`. Scores: `t = (d̄ + δ)/s_d̄`. Right and wrong on
//! the same items: the [score test](super::paired_proportion) against a difference of `-δ`, with half an item taken off the distance.
//!
//! **Few items.** A loss of the margin may sit on a share `δ` of the items and be total there; `n` items miss all of these with
//! probability `(1 - δ)ⁿ`. Where that is above `α` no score test can show that an ability is kept, however alike the scores are. The
//! test of right and wrong needs no such rule.
//!
//! **Source.** Blackwelder 1982 on proving what is meant; Nam 1997 and Tango 1998 for the score test.
//!
//! **Reference numbers.** A true loss of the margin passes in a share of at most `α` of gates: summed over all outcomes, in 3.6 to 4.8 %
//! for 30 to 1,000 items and margins of 2 to 10 points. Without the half item it is up to 6.9 %.

use super::mean::Mean;
use super::paired_proportion::{Clustering, Pairs};
use super::{distribution, is_probability};

/// What is taken off the distance from the margin, in items.
const CORRECTION: f64 = 0.5;

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

/// The fewest independent items with scores between 0 and 1 that can show a loss to be below the margin.
pub fn fewest_items(margin: f64, alpha: f64) -> Option<usize> {
    let known = is_probability(margin) && is_probability(alpha);
    known.then(|| (alpha.ln() / (1.0 - margin).ln()).ceil() as usize)
}

/// From the mean of `tuned - base` over items whose scores lie between 0 and 1. `None` unless `0 < margin < 1` and `0 < α < 1`.
pub fn of_scores(difference: &Mean, margin: f64, alpha: f64) -> Option<NonInferiority> {
    let fewest = fewest_items(margin, alpha)?;
    let distance = difference.value + margin;
    let t = if distance == 0.0 { 0.0 } else { distance / difference.standard_error };
    let critical = distribution::t_quantile(1.0 - alpha, difference.degrees_of_freedom);
    let p_value = distribution::t_upper_tail(t, difference.degrees_of_freedom);
    if difference.count < fewest && t >= critical {
        let p_value = p_value.max((1.0 - margin).powi(difference.count as i32));
        return Some(NonInferiority { difference: difference.value, p_value, verdict: Verdict::Undecided });
    }
    Some(NonInferiority { difference: difference.value, p_value, verdict: verdict(t, critical) })
}

/// From how many items only the tuned (`only_first`), and only the base model got right. `None` unless `0 < margin < 1` and `0 < α < 1`.
pub fn of_answers(pairs: Pairs, margin: f64, alpha: f64, clustering: Clustering) -> Option<NonInferiority> {
    if !is_probability(margin) || !is_probability(alpha) || clustering.degrees_of_freedom <= 0.0 {
        return None;
    }
    let z = pairs.score_statistic(-margin, CORRECTION, clustering);
    let verdict = verdict(z, clustering.quantile(1.0 - alpha));
    Some(NonInferiority { difference: pairs.difference(), p_value: clustering.upper_tail(z), verdict })
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

    fn answers(only_tuned: u64, only_base: u64, count: u64) -> NonInferiority {
        of_answers(Pairs::of(only_tuned, only_base, count).unwrap(), 0.03, 0.05, Clustering::NONE).unwrap()
    }

    #[test]
    fn no_pair_that_differs() {
        // z = (nδ - 1/2)/√(nδ(1 - δ)) passes 1.645 from 119 items on.
        assert_eq!(answers(0, 0, 119).verdict, Verdict::Kept);
        assert_eq!(answers(0, 0, 118).verdict, Verdict::Undecided);
    }

    #[test]
    fn large_losses_are_lost_and_scores_agree_with_answers() {
        assert_eq!(answers(20, 120, 1000).verdict, Verdict::Lost);
        let differences: Vec<f64> = (0..1000)
            .map(|item| match item {
                0..60 => 1.0,
                60..125 => -1.0,
                _ => 0.0,
            })
            .collect();
        let scores = of_scores(&Mean::of(&differences).unwrap(), 0.03, 0.05).unwrap();
        let answers = answers(60, 65, 1000);
        assert_eq!((scores.verdict, answers.verdict), (Verdict::Kept, Verdict::Kept));
        assert!((scores.p_value - answers.p_value).abs() < 4e-3);
    }

    #[test]
    fn the_same_scores_on_few_items_show_nothing() {
        // 0.97⁹⁸ = 0.0505, 0.97⁹⁹ = 0.0490.
        assert_eq!(fewest_items(0.03, 0.05), Some(99));
        let same = |count: usize| of_scores(&Mean::of(&vec![0.0; count]).unwrap(), 0.03, 0.05).unwrap();
        assert_eq!((same(98).verdict, same(99).verdict), (Verdict::Undecided, Verdict::Kept));
        assert!((same(98).p_value - 0.0505).abs() < 1e-4);
    }

    /// Summed over all outcomes, for the share of pairs that differ which is worst.
    #[test]
    fn a_loss_of_the_margin_passes_at_most_as_often_as_stated() {
        for (margin, count) in [(0.02, 150_u64), (0.03, 88), (0.03, 200), (0.05, 60), (0.1, 30)] {
            let log_factorial: Vec<f64> = std::iter::once(0.0)
                .chain((1..=count).scan(0.0, |sum, n| {
                    *sum += (n as f64).ln();
                    Some(*sum)
                }))
                .collect();
            let worst = [1e-9, 1e-3, 0.01, 0.05, 0.1, 0.2]
                .into_iter()
                .map(|tuned: f64| {
                    let base = tuned + margin;
                    let mut passes = 0.0;
                    for only_tuned in 0..=count {
                        for only_base in 0..=count - only_tuned {
                            let pairs = Pairs { only_first: only_tuned, only_second: only_base, count };
                            let gate = of_answers(pairs, margin, 0.05, Clustering::NONE).unwrap();
                            if gate.verdict != Verdict::Kept {
                                break;
                            }
                            let same = count - only_tuned - only_base;
                            let [t, b, s] = [only_tuned, only_base, same].map(|n| log_factorial[n as usize]);
                            let log = log_factorial[count as usize] - t - b - s
                                + only_tuned as f64 * tuned.ln()
                                + only_base as f64 * base.ln()
                                + same as f64 * (1.0 - tuned - base).ln();
                            passes += log.exp();
                        }
                    }
                    passes
                })
                .fold(0.0, f64::max);
            assert!((0.03..=0.05).contains(&worst), "margin {margin}, {count} items: {worst}");
        }
    }

    #[test]
    fn refusals() {
        let pairs = Pairs::of(1, 1, 5).unwrap();
        assert_eq!(of_answers(pairs, 0.0, 0.05, Clustering::NONE), None);
        assert_eq!(of_answers(pairs, 0.1, 0.0, Clustering::NONE), None);
        let difference = Mean::of(&[0.0, 0.0]).unwrap();
        assert_eq!(of_scores(&difference, f64::NAN, 0.05), None);
    }
}
