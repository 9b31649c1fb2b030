//! Two systems that answered the same items.
//!
//! **Formulas.** Right or wrong: of `n` items that only one got right, `b` are the first's; under no difference `b` is
//! binomial with a half (McNemar). Exact: `min(1, 2 P(X ≤ min(b, n - b)))`; mid-p counts the observed outcome half, `2
//! P(X ≤ min) - P(X = min)`: the exact test errs far below its level, mid-p close to it. Scores: Student's test of the
//! differences `d_i`, the bootstrap of their mean, or the permutation test: under no difference each `d_i` could as
//! well be `-d_i`, and `p` is the share of signs with a sum at least as far from 0, the observed one included.
//!
//! **When to use it.** McNemar for binary scores, Student's for others with a hundred items or more, the permutation
//! test for few; clusters through [`clustered_mean`](super::clustered::clustered_mean) of [`differences`].
//!
//! **Source.** McNemar 1947; Fagerland, Lydersen and Laake 2013 (mid-p); Fisher 1935; Miller 2024 (arXiv 2411.00640),
//! section 4.2.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::bootstrap::Replicates;
use super::distribution::{fair_coin_at_most, fair_coin_exactly};
use super::mean::Mean;

/// Items that one of two systems got right and the other wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McNemar {
    pub only_first: u64,
    pub only_second: u64,
}

impl McNemar {
    /// Of the same items in the same order; `None` for lists of different lengths.
    pub fn of(first: &[bool], second: &[bool]) -> Option<Self> {
        let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|&(&a, &b)| a && !b).count() as u64;
        let counts = Self { only_first: only(first, second), only_second: only(second, first) };
        (first.len() == second.len()).then_some(counts)
    }

    fn counts(self) -> (u64, u64) {
        (self.only_first.min(self.only_second), self.only_first + self.only_second)
    }

    /// The exact two-sided p-value.
    pub fn exact(self) -> f64 {
        let (fewer, all) = self.counts();
        (2.0 * fair_coin_at_most(fewer, all)).min(1.0)
    }

    /// The two-sided mid-p-value.
    pub fn mid_p(self) -> f64 {
        let (fewer, all) = self.counts();
        (2.0 * fair_coin_at_most(fewer, all) - fair_coin_exactly(fewer, all)).clamp(0.0, 1.0)
    }
}

/// `first - second`, item by item; `None` for lists of different lengths.
pub fn differences(first: &[f64], second: &[f64]) -> Option<Vec<f64>> {
    (first.len() == second.len()).then(|| first.iter().zip(second).map(|(a, b)| a - b).collect())
}

/// The mean difference with its error; its interval and test are Student's for pairs.
pub fn paired_difference(first: &[f64], second: &[f64]) -> Option<Mean> {
    Mean::of(&differences(first, second)?)
}

/// The mean difference of resampled items.
pub fn paired_bootstrap(
    first: &[f64],
    second: &[f64],
    resamples: usize,
    random: &mut ChaCha8Rng,
) -> Option<Replicates> {
    let differences = differences(first, second)?;
    let mean = |items: &[usize]| items.iter().map(|&item| differences[item]).sum::<f64>() / items.len() as f64;
    Some(Replicates::draw(differences.len(), resamples, random, mean))
}

/// The two-sided p-value of the permutation test: over all signs where these are at most `resamples`, else over as many
/// random ones. `None` without items.
pub fn permutation_p(first: &[f64], second: &[f64], resamples: u64, random: &mut ChaCha8Rng) -> Option<f64> {
    let differences = differences(first, second)?;
    if differences.is_empty() || differences.iter().any(|difference| !difference.is_finite()) {
        return None;
    }
    let observed = differences.iter().sum::<f64>().abs();
    // Sums of the same terms in the same order differ by rounding only where signs do.
    let slack = 1e-9 * differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let as_far = |sum: f64| u64::from(sum.abs() >= observed - slack);
    let signs = u32::try_from(differences.len()).ok().and_then(|count| 1_u64.checked_shl(count));
    if let Some(signs) = signs.filter(|&signs| signs <= resamples) {
        let sum = |bits: u64| -> f64 {
            let signed = differences.iter().enumerate().map(|(i, d)| if bits >> i & 1 == 1 { -d } else { *d });
            signed.sum()
        };
        return Some((0..signs).map(|bits| as_far(sum(bits))).sum::<u64>() as f64 / signs as f64);
    }
    let drawn = (0..resamples).map(|_| {
        let sum = differences.chunks(64).map(|chunk| {
            let bits = random.next_u64();
            chunk.iter().enumerate().map(|(i, d)| if bits >> i & 1 == 1 { -d } else { *d }).sum::<f64>()
        });
        as_far(sum.sum())
    });
    Some((1 + drawn.sum::<u64>()) as f64 / (1 + resamples) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn mcnemar_by_hand() {
        let first = [true, true, true, false, true, false];
        let second = [true, false, false, true, false, false];
        let counts = McNemar::of(&first, &second).unwrap();
        assert_eq!(counts, McNemar { only_first: 3, only_second: 1 });
        // P(X ≤ 1 of 4) = 5/16, P(X = 1) = 4/16.
        assert!((counts.exact() - 0.625).abs() < 1e-12 && (counts.mid_p() - 0.375).abs() < 1e-12);
        let same = McNemar { only_first: 0, only_second: 0 };
        assert!(same.exact() == 1.0 && (same.mid_p() - 1.0).abs() < 1e-12);
        let even = McNemar { only_first: 2, only_second: 2 };
        assert!(even.exact() == 1.0 && (even.mid_p() - 1.0).abs() < 1e-12);
        assert_eq!(McNemar::of(&first, &second[1..]), None);
    }

    #[test]
    fn all_signs_and_random_signs_agree() {
        let first: Vec<f64> = (0..14).map(|i| f64::from(i * 5 % 11)).collect();
        let second: Vec<f64> = (0..14).map(|i| f64::from(i * 7 % 9)).collect();
        let exact = permutation_p(&first, &second, 1 << 14, &mut stream(0, "signs")).unwrap();
        let drawn = permutation_p(&first, &second, 10_000, &mut stream(0, "signs")).unwrap();
        assert!(exact != drawn && (exact - drawn).abs() < 0.02, "{exact} {drawn}");
    }

    #[test]
    fn the_permutation_test_of_binary_scores_is_mcnemars() {
        let first = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0];
        let second = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        let counts = McNemar { only_first: 5, only_second: 1 };
        let p = permutation_p(&first, &second, 256, &mut stream(0, "signs")).unwrap();
        assert!((p - counts.exact()).abs() < 1e-12);
        assert_eq!(permutation_p(&[], &[], 256, &mut stream(0, "signs")), None);
        assert_eq!(permutation_p(&first, &first, 256, &mut stream(0, "signs")), Some(1.0));
    }

    #[test]
    fn pairing_shrinks_the_error() {
        let hard: Vec<f64> = (0..50).map(|i| f64::from(i % 10)).collect();
        let better: Vec<f64> = hard.iter().enumerate().map(|(i, x)| x + 0.2 + 0.1 * (i % 3) as f64).collect();
        let paired = paired_difference(&better, &hard).unwrap();
        let unpaired =
            super::super::mean::unpaired_difference(&Mean::of(&better).unwrap(), &Mean::of(&hard).unwrap()).unwrap();
        assert!((paired.value - unpaired.value).abs() < 1e-12);
        assert!(paired.standard_error < unpaired.standard_error / 20.0);
        let drawn = paired_bootstrap(&better, &hard, 2000, &mut stream(0, "pairs")).unwrap();
        assert!((drawn.standard_error().unwrap() / paired.standard_error - 1.0).abs() < 0.05);
    }
}
