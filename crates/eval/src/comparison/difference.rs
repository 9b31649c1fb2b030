//! How far the scores of the same items differ.
//!
//! **Which test.** Right and wrong: McNemar's mid-p with the [score interval](crate::statistics::paired_proportion); in groups, the score
//! test with the design effect of the groups. Other scores: Student's for pairs, in groups with the clustered error; of fewer
//! than a hundred independent items the permutation test, with the bootstrap's interval. Items that all belong to one group are taken
//! as independent: the figure then speaks of that group alone.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::random::stream;
use crate::statistics::clustered::clustered_mean;
use crate::statistics::mean::Mean;
use crate::statistics::paired::{McNemar, paired_bootstrap, permutation_p};
use crate::statistics::paired_proportion::{Clustering, Pairs};
use crate::statistics::power::Design;
use crate::statistics::{Interval, paired};

/// Of all intervals.
pub const CONFIDENCE: f64 = 0.95;

/// Fewer scores than this are permuted.
const FEW: usize = 100;
const RESAMPLES: u64 = 10_000;

/// Scores of the same items in the same order; `clusters[i]` names the group of item `i`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairedScores {
    pub before: Vec<f64>,
    pub after: Vec<f64>,
    pub clusters: Vec<usize>,
}

/// What a p-value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    McNemar,
    ClusteredScore,
    Student,
    ClusteredStudent,
    Permutation,
}

impl Test {
    pub fn name(self) -> &'static str {
        match self {
            Self::McNemar => "McNemar",
            Self::ClusteredScore => "score, by group",
            Self::Student => "Student",
            Self::ClusteredStudent => "Student, by group",
            Self::Permutation => "permutation",
        }
    }
}

/// After less before.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub count: usize,
    pub before: f64,
    pub after: f64,
    pub value: f64,
    /// At [`CONFIDENCE`].
    pub interval: Option<Interval>,
    /// Two-sided, of no difference.
    pub p_value: Option<f64>,
    pub test: Test,
    /// Right and wrong: items that only the second side (`only_first`: after) and only the first gets right.
    pub answers: Option<Pairs>,
    /// Groups, where items come in groups.
    pub groups: Option<usize>,
    pub clustering: Clustering,
    /// The mean difference with its error, in groups the clustered one.
    pub mean: Option<Mean>,
}

impl Difference {
    /// `None` without items, for lists of different lengths, and for scores that are not finite.
    pub fn of(scores: &PairedScores) -> Option<Self> {
        let PairedScores { before, after, clusters } = scores;
        let differences = paired::differences(after, before)?;
        let count = differences.len();
        if count == 0 || clusters.len() != count || differences.iter().any(|difference| !difference.is_finite()) {
            return None;
        }
        let mean_of = |values: &[f64]| values.iter().sum::<f64>() / count as f64;
        let (groups, clustering) = clustering(&differences, clusters);
        let mean = match groups {
            Some(_) => clustered_mean(&differences, clusters),
            None => Mean::of(&differences),
        };
        let answers = answers(before, after);
        let (test, p_value, interval) = match (answers, groups) {
            (Some(pairs), None) => {
                let p = McNemar { only_first: pairs.only_first, only_second: pairs.only_second }.mid_p();
                (Test::McNemar, Some(p), pairs.interval(CONFIDENCE, clustering))
            }
            (Some(pairs), Some(_)) => {
                let p = pairs.two_sided_p(clustering);
                (Test::ClusteredScore, Some(p), pairs.interval(CONFIDENCE, clustering))
            }
            (None, None) if count < FEW => {
                let mut random = stream(0, "comparison");
                let p = permutation_p(after, before, RESAMPLES, &mut random);
                let drawn = paired_bootstrap(after, before, RESAMPLES as usize, &mut random);
                (Test::Permutation, p, drawn.and_then(|drawn| drawn.interval(CONFIDENCE)))
            }
            (None, groups) => {
                let test = if groups.is_some() { Test::ClusteredStudent } else { Test::Student };
                let interval = mean.and_then(|mean| mean.interval(CONFIDENCE));
                (test, mean.map(|mean| mean.two_sided_p(0.0)), interval)
            }
        };
        let (before, after) = (mean_of(before), mean_of(after));
        let value = mean_of(&differences);
        Some(Self { count, before, after, value, interval, p_value, test, answers, groups, clustering, mean })
    }

    /// The variance of one item's difference, such that over the number of items it is that of the mean.
    pub fn variance(&self) -> Option<f64> {
        let plain = match self.answers {
            Some(Pairs { only_first, only_second, count }) => {
                let share = |part: u64| part as f64 / count as f64;
                let variance = crate::statistics::power::paired_binary_variance(share(only_first), share(only_second));
                return Some(variance * self.clustering.design_effect);
            }
            None => self.mean?.standard_error.powi(2) * self.count as f64,
        };
        Some(plain)
    }

    /// The smallest true difference that a comparison of so many items finds as often as the design says.
    pub fn minimum_detectable_effect(&self, design: Design) -> Option<f64> {
        design.minimum_detectable_effect(self.variance()?, self.count)
    }

    /// The items with which a true difference of `effect` would be found.
    pub fn needed_count(&self, design: Design, effect: f64) -> Option<usize> {
        design.needed_count(self.variance()?, effect)
    }
}

/// Counts, if every score is right or wrong.
fn answers(before: &[f64], after: &[f64]) -> Option<Pairs> {
    if before.iter().chain(after).any(|&score| score != 0.0 && score != 1.0) {
        return None;
    }
    let only = |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, b)| **a > **b).count() as u64;
    Pairs::of(only(after, before), only(before, after), before.len() as u64)
}

/// The number of groups and what they do to the error; none where items are independent or all in one group.
fn clustering(differences: &[f64], clusters: &[usize]) -> (Option<usize>, Clustering) {
    let groups = clusters.iter().collect::<BTreeSet<_>>().len();
    if groups < 2 || groups == clusters.len() {
        return (None, Clustering::NONE);
    }
    let design_effect = match (clustered_mean(differences, clusters), Mean::of(differences)) {
        (Some(grouped), Some(plain)) if plain.standard_error > 0.0 => {
            // Groups that seem to differ less than chance would have it do so by chance.
            (grouped.standard_error / plain.standard_error).powi(2).max(1.0)
        }
        _ => 1.0,
    };
    (Some(groups), Clustering { design_effect, degrees_of_freedom: groups as f64 - 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(before: &[f64], after: &[f64], clusters: &[usize]) -> PairedScores {
        PairedScores { before: before.to_vec(), after: after.to_vec(), clusters: clusters.to_vec() }
    }

    #[test]
    fn right_and_wrong_are_mcnemars() {
        let before = [1.0, 1.0, 1.0, 0.0, 1.0, 0.0];
        let after = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let difference = Difference::of(&scores(&before, &after, &[0, 1, 2, 3, 4, 5])).unwrap();
        assert_eq!((difference.test, difference.groups), (Test::McNemar, None));
        assert_eq!(difference.answers, Pairs::of(1, 3, 6));
        assert!((difference.p_value.unwrap() - 0.375).abs() < 1e-12);
        assert!(
            (difference.value + 1.0 / 3.0).abs() < 1e-12 && difference.interval.unwrap().contains(difference.value)
        );
        // 4/6 - 4/36 over 6 items, times 1.95996 + 0.84162.
        let effect = difference.minimum_detectable_effect(Design::default()).unwrap();
        assert!((effect - 2.801_585 * (5.0_f64 / 9.0 / 6.0).sqrt()).abs() < 1e-5, "{effect}");
        assert!(matches!(difference.needed_count(Design::default(), effect), Some(6 | 7)));
    }

    #[test]
    fn items_that_change_together_weigh_less() {
        // Twelve groups of ten; in three of them everything is lost, in one everything is won.
        let clusters: Vec<usize> = (0..120).map(|item| item / 10).collect();
        let before: Vec<f64> = clusters.iter().map(|&group| f64::from(u8::from(group != 3))).collect();
        let after: Vec<f64> = clusters.iter().map(|&group| f64::from(u8::from(group > 2))).collect();
        let grouped = Difference::of(&scores(&before, &after, &clusters)).unwrap();
        let alone = Difference::of(&scores(&before, &after, &(0..120).collect::<Vec<_>>())).unwrap();
        assert_eq!((grouped.test, grouped.groups), (Test::ClusteredScore, Some(12)));
        assert!(alone.p_value.unwrap() < 0.01 && grouped.p_value.unwrap() > 0.3, "{grouped:?}");
        // Whole groups change: ten items say what one does, but for the factors C/(C - 1) and (n - 1)/n.
        assert!((grouped.clustering.design_effect - 10.0 * 12.0 / 11.0 * 119.0 / 120.0).abs() < 1e-9);
        let error = grouped.mean.unwrap().standard_error;
        assert!((grouped.variance().unwrap() / 120.0 / error.powi(2) - 120.0 / 119.0).abs() < 0.02);
        let one_group = Difference::of(&scores(&before, &after, &[7; 120])).unwrap();
        assert_eq!((one_group.groups, one_group.p_value), (None, alone.p_value));
    }

    #[test]
    fn other_scores_are_permuted_or_students() {
        let score = |item: usize, shift: usize| ((item * 7 + shift) % 11) as f64 / 10.0;
        for (count, test) in [(40, Test::Permutation), (150, Test::Student)] {
            let before: Vec<f64> = (0..count).map(|item| score(item, 0)).collect();
            let after: Vec<f64> = (0..count).map(|item| 0.8 * score(item, 0) + 0.1 * score(item, 3)).collect();
            let difference = Difference::of(&scores(&before, &after, &(0..count).collect::<Vec<_>>())).unwrap();
            assert_eq!((difference.test, difference.answers), (test, None));
            assert!(difference.p_value.unwrap() < 0.01 && difference.interval.unwrap().high < 0.0, "{difference:?}");
            let grouped: Vec<usize> = (0..count).map(|item| item / 2).collect();
            assert_eq!(Difference::of(&scores(&before, &after, &grouped)).unwrap().test, Test::ClusteredStudent);
        }
    }

    #[test]
    fn refusals() {
        assert_eq!(Difference::of(&PairedScores::default()), None);
        assert_eq!(Difference::of(&scores(&[1.0], &[1.0, 0.0], &[0])), None);
        assert_eq!(Difference::of(&scores(&[1.0], &[f64::NAN], &[0])), None);
    }
}
