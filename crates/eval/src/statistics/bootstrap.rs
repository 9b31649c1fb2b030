//! Intervals of figures that have no formula: draw the items again, with replacement, and look how the figure varies.
//!
//! **Formula.** `B` resamples; the standard error is the deviation of their figures (not that over `√B`, which says how
//! well the bootstrap's own mean is known), the interval reaches from quantile `α/2` to `1 - α/2` of them. Items that
//! come in groups are drawn by the group.
//!
//! **Source.** Efron 1979; Efron and Tibshirani 1993, chapters 6 and 13; groups: Cameron, Gelbach and Miller 2008.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;

use super::{Interval, is_probability};
use crate::random::below;

/// The figure of each resample, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Replicates(Vec<f64>);

impl Replicates {
    /// The figure of each of `resamples` draws of `count` items: `figure` sees the items drawn, by number. Figures that
    /// are not numbers (a correlation of constant values) are left out, and [`count`](Self::count) tells.
    pub fn draw(
        count: usize,
        resamples: usize,
        random: &mut ChaCha8Rng,
        mut figure: impl FnMut(&[usize]) -> f64,
    ) -> Self {
        let mut items = vec![0; count];
        let figures = (0..resamples).map(|_| {
            items.fill_with(|| below(random, count));
            figure(&items)
        });
        Self::of(figures.collect())
    }

    /// The same by groups: as many groups as there are are drawn, each with all its items. `clusters[i]` names the
    /// group of item `i`.
    pub fn draw_clusters<C: Ord>(
        clusters: &[C],
        resamples: usize,
        random: &mut ChaCha8Rng,
        mut figure: impl FnMut(&[usize]) -> f64,
    ) -> Self {
        let mut groups: BTreeMap<&C, Vec<usize>> = BTreeMap::new();
        for (item, cluster) in clusters.iter().enumerate() {
            groups.entry(cluster).or_default().push(item);
        }
        let groups: Vec<Vec<usize>> = groups.into_values().collect();
        let mut items = Vec::with_capacity(clusters.len());
        let figures = (0..resamples).map(|_| {
            items.clear();
            for _ in 0..groups.len() {
                items.extend_from_slice(&groups[below(random, groups.len())]);
            }
            figure(&items)
        });
        Self::of(figures.collect())
    }

    /// From figures in any order.
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.retain(|figure| !figure.is_nan());
        figures.sort_unstable_by(f64::total_cmp);
        Self(figures)
    }

    /// Resamples whose figure is a number.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The deviation of the figures; `None` for fewer than two.
    pub fn standard_error(&self) -> Option<f64> {
        let n = self.0.len() as f64;
        let mean = self.0.iter().sum::<f64>() / n;
        let squares: f64 = self.0.iter().map(|figure| (figure - mean).powi(2)).sum();
        (self.0.len() >= 2).then(|| (squares / (n - 1.0)).sqrt())
    }

    /// The percentile interval; between two figures it interpolates (Hyndman and Fan's type 7).
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        if self.0.is_empty() || !is_probability(confidence) {
            return None;
        }
        let quantile = |probability: f64| {
            let place = probability * (self.0.len() - 1) as f64;
            let (below, above) = (self.0[place.floor() as usize], self.0[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Some(Interval { low: quantile(0.5 - confidence / 2.0), high: quantile(0.5 + confidence / 2.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::mean::Mean;
    use super::*;
    use crate::random::stream;

    fn mean_of(values: &[f64]) -> impl Fn(&[usize]) -> f64 {
        |items| items.iter().map(|&item| values[item]).sum::<f64>() / items.len() as f64
    }

    #[test]
    fn the_error_of_a_mean_is_found_without_its_formula() {
        let values: Vec<f64> = (0..60).map(|i| f64::from(i * i % 17)).collect();
        let drawn = Replicates::draw(60, 4000, &mut stream(1, "test"), mean_of(&values));
        // The bootstrap divides by n, not by n - 1.
        let expected = Mean::of(&values).unwrap().standard_error * (59.0_f64 / 60.0).sqrt();
        assert!((drawn.standard_error().unwrap() / expected - 1.0).abs() < 0.03);
        let again = Replicates::draw(60, 4000, &mut stream(1, "test"), mean_of(&values));
        assert_eq!(drawn, again);
        assert_ne!(drawn, Replicates::draw(60, 4000, &mut stream(2, "test"), mean_of(&values)));
    }

    #[test]
    fn groups_are_drawn_whole() {
        let clusters = ["b", "a", "b", "a", "b"];
        Replicates::draw_clusters(&clusters, 100, &mut stream(0, "test"), |items| {
            let of_a = items.iter().filter(|&&item| clusters[item] == "a").count();
            assert!(of_a % 2 == 0 && (items.len() - of_a) % 3 == 0);
            0.0
        });
    }

    #[test]
    fn quantiles_interpolate() {
        let replicates = Replicates::of(vec![3.0, 1.0, f64::NAN, 2.0, 0.0, 4.0]);
        assert_eq!(replicates.count(), 5);
        assert_eq!(replicates.interval(0.5), Some(Interval { low: 1.0, high: 3.0 }));
        assert_eq!(replicates.interval(0.75), Some(Interval { low: 0.5, high: 3.5 }));
        assert_eq!(Replicates::of(Vec::new()).interval(0.95), None);
        assert_eq!(Replicates::of(vec![1.0]).standard_error(), None);
        assert_eq!(Replicates::draw(0, 3, &mut stream(0, "none"), |items| items.len() as f64).count(), 3);
    }
}
