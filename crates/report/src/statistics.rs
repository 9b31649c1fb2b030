//! What figures of several runs show.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean over runs with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    /// Half the width of the interval; none with fewer than two runs, which say nothing about what another would give.
    pub half_width: Option<f64>,
    /// How many runs.
    pub count: usize,
}

impl Estimate {
    /// Lowest and highest plausible mean.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.half_width.map(|half| (self.mean - half, self.mean + half))
    }
}

/// Mean over independent runs and its two-sided interval of Student's t: `mean ± t(1 - (1 - level)/2, n - 1) s/√n`, with `s` the
/// sample deviation. `level` is between 0 and 1, 0.95 as a rule. Values that are not finite are no measurements and are left out;
/// `None` if nothing is left.
pub fn estimate(values: &[f64], level: f64) -> Option<Estimate> {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let count = values.len();
    if count == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let freedom = count as f64 - 1.0;
    let half_width = (count > 1).then(|| StudentsT::new(0.0, 1.0, freedom).ok()).flatten().map(|distribution| {
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom;
        distribution.inverse_cdf(0.5 + level / 2.0) * (variance / count as f64).sqrt()
    });
    Some(Estimate { mean, half_width, count })
}

/// Which way a quantity gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

impl Better {
    /// So that more is better.
    fn gain(self, value: f64) -> f64 {
        match self {
            Self::Lower => -value,
            Self::Higher => value,
        }
    }
}

/// The points that no other is better than in one quantity and at least as good in the other, from the best `x` to the worst.
/// Points that are not finite are left out.
pub fn frontier(points: &[(f64, f64)], x: Better, y: Better) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    points.sort_by(|a, b| x.gain(b.0).total_cmp(&x.gain(a.0)).then(y.gain(b.1).total_cmp(&y.gain(a.1))));
    let mut best = f64::NEG_INFINITY;
    points.retain(|point| {
        let gain = y.gain(point.1);
        let extends = gain > best;
        best = best.max(gain);
        extends
    });
    points
}

/// The area between the frontier of `points` and a reference point that is worse than what counts: what a method reaches in both
/// quantities at once, in one number (Zitzler and Thiele 1999). Points that are not better than the reference in both add
/// nothing.
pub fn hypervolume(points: &[(f64, f64)], reference: (f64, f64), x: Better, y: Better) -> f64 {
    let gains = |point: &(f64, f64)| (x.gain(point.0) - x.gain(reference.0), y.gain(point.1) - y.gain(reference.1));
    let within: Vec<(f64, f64)> =
        points.iter().map(gains).filter(|(x, y)| *x > 0.0 && *y > 0.0 && (x + y).is_finite()).collect();
    let (mut area, mut reached) = (0.0, 0.0);
    // From the best x to the worst, each point adds the strip above those before it.
    for (x, y) in frontier(&within, Better::Higher, Better::Higher) {
        area += x * (y - reached);
        reached = y;
    }
    area
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Quantiles as printed in tables of Student's distribution.
    #[test]
    fn intervals_are_those_of_students_tables() {
        for (values, quantile) in
            [(vec![1.0, 3.0], 12.7062), (vec![1.0, 2.0, 3.0], 4.3027), (vec![1.0, 2.0, 3.0, 4.0, 5.0], 2.7764)]
        {
            let count = values.len() as f64;
            let estimate = estimate(&values, 0.95).unwrap();
            let mean = values.iter().sum::<f64>() / count;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
            assert_eq!(estimate.mean, mean);
            let expected = quantile * deviation / count.sqrt();
            assert!((estimate.half_width.unwrap() - expected).abs() < 1e-4 * expected, "{estimate:?}");
        }
    }

    #[test]
    fn one_run_has_no_interval_and_none_no_mean() {
        let one = estimate(&[2.0, f64::NAN], 0.95).unwrap();
        assert_eq!((one.mean, one.interval(), one.count), (2.0, None, 1));
        assert_eq!(estimate(&[f64::INFINITY], 0.95), None);
        assert_eq!(estimate(&[5.0, 5.0], 0.95).unwrap().interval(), Some((5.0, 5.0)));
    }

    #[test]
    fn the_area_under_steps_is_what_paper_says() {
        // KL down, reward up, against (10, 0): strips of 9 x 1, 7 x 2 more, 2 x 1 more.
        let points = [(1.0, 1.0), (3.0, 3.0), (8.0, 4.0), (5.0, 2.0), (12.0, 9.0), (2.0, -1.0)];
        assert_eq!(hypervolume(&points, (10.0, 0.0), Better::Lower, Better::Higher), 9.0 + 14.0 + 2.0);
        let frontier = frontier(&points[..4], Better::Lower, Better::Higher);
        assert_eq!(frontier, [(1.0, 1.0), (3.0, 3.0), (8.0, 4.0)]);
        assert_eq!(hypervolume(&[], (10.0, 0.0), Better::Lower, Better::Higher), 0.0);
    }

    proptest! {
        /// The area is the share of a fine grid's cells that some point dominates.
        #[test]
        fn the_area_is_that_of_the_dominated_cells(points in prop::collection::vec((0_u8..20, 0_u8..20), 0..12)) {
            let points: Vec<(f64, f64)> = points.into_iter().map(|(x, y)| (f64::from(x), f64::from(y))).collect();
            let cells = (0..20).flat_map(|x| (0..20).map(move |y| (f64::from(x), f64::from(y))));
            let dominated = cells.filter(|&(x, y)| points.iter().any(|point| point.0 > x && point.1 > y)).count();
            prop_assert_eq!(hypervolume(&points, (0.0, 0.0), Better::Higher, Better::Higher), dominated as f64);
        }
    }
}
