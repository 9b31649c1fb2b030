//! A proxy reward and the gold reward that it stands for, over the distance from the policy that both started with.
//!
//! **Formula.** Rewards are means over prompts, less those of the first distance; the laws of
//! [`camelid_objectives::over_optimisation`] are fitted to them by least squares. Intervals of points, of coefficients and of the
//! peak come from one set of resamples: prompts are drawn with replacement, each with all that was measured on it, and the law is
//! fitted anew. Points of one curve share their prompts, so that an interval from residuals would be far too narrow.
//!
//! **Source.** Gao 2022 (arXiv 2210.10760), section 3; estimates of best-of-n: Nakano 2021 (arXiv 2112.09332), appendix I.

use camelid_objectives::over_optimisation::{Law, Peak, fit};
use camelid_objectives::selection::best_of_n::{expected_gold, kl_estimate};
use serde::{Deserialize, Serialize};

use crate::random::{below, stream};
use crate::statistics::Interval;
use crate::statistics::bootstrap::Replicates;

/// What was measured at one distance, an entry a prompt.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Distance {
    /// What the distance is a matter of: the step, or n.
    #[serde(alias = "step", alias = "n")]
    pub at: f64,
    /// From the first policy, in nats an answer. An estimate from samples may be below 0; a mean that is counts as 0.
    pub kl: Vec<f64>,
    /// Empty where nothing stands for the gold reward, as in tuning on demonstrations.
    pub proxy: Vec<f64>,
    /// Empty without a gold reward.
    pub gold: Vec<f64>,
}

/// A figure with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    pub value: f64,
    pub interval: Interval,
}

/// One distance of a curve; rewards as they are, not relative to the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: f64,
    pub kl: f64,
    pub proxy: Option<Bounded>,
    pub gold: Option<Bounded>,
}

/// A law as it fits the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    pub law: Law,
    /// The reward where the law is 0.
    pub start: f64,
    pub alpha: Bounded,
    pub beta: Bounded,
    pub bic: f64,
    pub peak: Option<FittedPeak>,
}

/// Where the fitted law is highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FittedPeak {
    /// Relative to the start.
    pub peak: Peak,
    /// Of the distance, among resamples that have a peak.
    pub distance: Interval,
    /// Share of the resamples that have one.
    pub share: f64,
    /// Whether it lies within what was measured; beyond, it is only what the law says.
    pub measured: bool,
}

/// Points in the order given, and how the laws fit them.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    pub prompts: usize,
    pub points: Vec<Point>,
    /// Both laws, that of the method first; empty where the points are too few.
    pub proxy: Vec<Fitted>,
    pub gold: Vec<Fitted>,
}

const CONFIDENCE: f64 = 0.95;

/// Fewer points than this lie on a law of two coefficients whatever they are.
const LEAST_POINTS: usize = 4;

/// The curve of `distances`, the first of which is the start. `None` without a prompt, if the distances are not of the same prompts, or
/// if a reward is there at some of them only.
pub fn curve(distances: &[Distance], law: Law, resamples: usize, seed: u64) -> Option<Curve> {
    let prompts = distances.first()?.kl.len();
    if prompts == 0 || distances.iter().any(|distance| distance.kl.len() != prompts) {
        return None;
    }
    let other = if law == Law::BestOfN { Law::Reinforcement } else { Law::BestOfN };
    let laws = [law, other];
    let everyone: Vec<usize> = (0..prompts).collect();
    let mut random = stream(seed, "over-optimisation");
    let mut draw = || -> Vec<usize> { (0..prompts).map(|_| below(&mut random, prompts)).collect() };
    let samples: Vec<Vec<usize>> = (0..resamples).map(|_| draw()).collect();
    let of = |reward: Reward| -> Option<Rewarded> {
        let there = |distance: &Distance| reward(distance).len();
        if distances.iter().all(|distance| there(distance) == 0) {
            return Some(Rewarded::default());
        }
        if distances.iter().any(|distance| there(distance) != prompts) {
            return None;
        }
        let all = means(distances, reward, &everyone);
        let drawn: Vec<Means> = samples.iter().map(|items| means(distances, reward, items)).collect();
        let points = (0..distances.len()).map(|at| bounded(all[at].1, drawn.iter().map(|means| means[at].1).collect()));
        let fits = laws.iter().filter_map(|&law| fitted(law, &all, &drawn)).collect();
        Some(Rewarded { points: points.collect::<Option<_>>()?, fits })
    };
    let (proxy, gold) = (of(|distance| &distance.proxy)?, of(|distance| &distance.gold)?);
    if proxy.points.is_empty() && gold.points.is_empty() {
        return None;
    }
    let point = |(at, distance): (usize, &Distance)| Point {
        at: distance.at,
        kl: kl(distance, &everyone),
        proxy: proxy.points.get(at).copied(),
        gold: gold.points.get(at).copied(),
    };
    let points = distances.iter().enumerate().map(point).collect();
    Some(Curve { prompts, points, proxy: proxy.fits, gold: gold.fits })
}

type Reward = fn(&Distance) -> &Vec<f64>;

/// One reward along the curve; nothing where it was not measured.
#[derive(Default)]
struct Rewarded {
    points: Vec<Bounded>,
    fits: Vec<Fitted>,
}

/// What best-of-n is expected to give, from N samples of each prompt with their (proxy, gold) rewards, for each of `ns` up to N. Gold
/// rewards may be left out, of all.
pub fn best_of_n(groups: &[(Vec<f64>, Vec<f64>)], ns: &[usize]) -> Vec<Distance> {
    let samples = groups.iter().map(|(proxy, _)| proxy.len()).min().unwrap_or(0);
    let distance = |&n: &usize| Distance {
        at: n as f64,
        kl: groups.iter().map(|(proxy, _)| kl_estimate(proxy, n)).collect(),
        proxy: groups.iter().filter_map(|(proxy, _)| expected_gold(proxy, proxy, n)).collect(),
        gold: groups
            .iter()
            .filter(|(proxy, gold)| gold.len() == proxy.len())
            .filter_map(|(proxy, gold)| expected_gold(proxy, gold, n))
            .collect(),
    };
    ns.iter().filter(|&&n| n >= 1 && n <= samples).map(distance).collect()
}

/// (KL, reward) at each distance.
type Means = Vec<(f64, f64)>;

fn means(distances: &[Distance], reward: Reward, items: &[usize]) -> Means {
    distances.iter().map(|distance| (kl(distance, items), mean(reward(distance), items))).collect()
}

fn mean(values: &[f64], items: &[usize]) -> f64 {
    items.iter().map(|&item| values[item]).sum::<f64>() / items.len() as f64
}

fn kl(distance: &Distance, items: &[usize]) -> f64 {
    mean(&distance.kl, items).max(0.0)
}

/// The same, relative to the first.
fn relative(means: &Means) -> Means {
    let start = means.first().map_or(0.0, |first| first.1);
    means.iter().map(|&(kl, reward)| (kl, reward - start)).collect()
}

fn bounded(value: f64, drawn: Vec<f64>) -> Option<Bounded> {
    Some(Bounded { value, interval: Replicates::of(drawn).interval(CONFIDENCE)? })
}

fn fitted(law: Law, all: &Means, drawn: &[Means]) -> Option<Fitted> {
    if all.len() < LEAST_POINTS {
        return None;
    }
    let whole = fit(law, &relative(all))?;
    let again: Vec<_> = drawn.iter().filter_map(|means| fit(law, &relative(means))).collect();
    let peaks: Vec<f64> = again.iter().filter_map(|fit| Some(fit.peak()?.distance)).collect();
    let share = peaks.len() as f64 / again.len().max(1) as f64;
    let farthest = all.iter().map(|(kl, _)| kl.sqrt()).fold(0.0, f64::max);
    let peak = whole.peak().and_then(|peak| {
        let distance = Replicates::of(peaks).interval(CONFIDENCE)?;
        Some(FittedPeak { peak, distance, share, measured: peak.distance <= farthest })
    });
    Some(Fitted {
        law,
        start: all.first()?.1,
        alpha: bounded(whole.alpha, again.iter().map(|fit| fit.alpha).collect())?,
        beta: bounded(whole.beta, again.iter().map(|fit| fit.beta).collect())?,
        bic: whole.bic(),
        peak,
    })
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::Rng;

    use super::*;

    /// Prompts that differ in level and in both coefficients.
    fn simulated(law: Law, alpha: f64, beta: f64, prompts: usize, seed: u64) -> Vec<Distance> {
        let mut random = stream(seed, "simulation");
        let mut noise = || (0..12).map(|_| random.next_u64() as f64 / u64::MAX as f64).sum::<f64>() - 6.0;
        let own: Vec<(f64, f64, f64)> =
            (0..prompts).map(|_| (3.0 * noise(), alpha + 0.2 * noise(), beta + 0.02 * noise())).collect();
        let distances = (0..14).map(|step| {
            let d = f64::from(step) * 0.4;
            let gold = own.iter().map(|&(level, alpha, beta)| level + law.reward(alpha, beta, d) + 0.2 * noise());
            let gold: Vec<f64> = gold.collect();
            let proxy = own.iter().map(|(level, ..)| level + d).collect();
            Distance { at: f64::from(step), kl: vec![d * d; prompts], proxy, gold }
        });
        distances.collect()
    }

    /// Intervals hold what they promise, over a hundred simulated experiments.
    #[test]
    fn the_laws_come_back_within_their_intervals() {
        for (law, alpha, beta) in [(Law::BestOfN, 0.9, 0.15), (Law::Reinforcement, 0.6, 0.35)] {
            let (mut held, mut peaks, mut preferred) = (0, 0, 0);
            let truth = camelid_objectives::over_optimisation::Fit { law, alpha, beta, points: 0, residual: 0.0 };
            for seed in 0..100 {
                let curve = curve(&simulated(law, alpha, beta, 60, seed), law, 200, seed).unwrap();
                let [own, other] = [&curve.gold[0], &curve.gold[1]];
                held += usize::from(own.alpha.interval.contains(alpha) && own.beta.interval.contains(beta));
                let peak = own.peak.unwrap();
                assert!(peak.measured && peak.share > 0.99, "{peak:?}");
                peaks += usize::from(peak.distance.contains(truth.peak().unwrap().distance));
                preferred += usize::from(own.bic < other.bic);
            }
            assert!((82..=99).contains(&held) && (85..=100).contains(&peaks), "{law:?}: {held}, {peaks}");
            assert!(preferred >= 95, "{law:?}: {preferred}");
        }
    }

    #[test]
    fn points_are_means_and_the_start_is_no_error_of_the_law() {
        let distances = simulated(Law::BestOfN, 0.9, 0.15, 40, 5);
        let curve = curve(&distances, Law::BestOfN, 300, 1).unwrap();
        assert_eq!((curve.prompts, curve.points.len()), (40, 14));
        let mean = distances[3].gold.iter().sum::<f64>() / 40.0;
        let gold = curve.points[3].gold.unwrap();
        assert!((gold.value - mean).abs() < 1e-12 && gold.interval.contains(mean));
        assert!((curve.gold[0].start - curve.points[0].gold.unwrap().value).abs() < 1e-12);
        // Levels differ by 3, so single points are known to ±0.9; the coefficients far better, as each prompt is its own start.
        assert!(gold.interval.width() > 1.0 && curve.gold[0].alpha.interval.width() < 0.25, "{curve:?}");
        // The proxy is d itself: it never peaks within reach.
        assert!(
            (curve.proxy[0].alpha.value - 1.0).abs() < 1e-9 && curve.proxy[0].peak.is_none_or(|peak| !peak.measured)
        );
    }

    #[test]
    fn best_of_n_of_samples() {
        let groups = [(vec![1.0, 3.0, 2.0], vec![0.0, -3.0, 6.0]), (vec![5.0, 5.0, 5.0], vec![1.0, 2.0, 3.0])];
        let distances = best_of_n(&groups, &[1, 2, 3, 4]);
        assert_eq!(distances.len(), 3);
        let near = |ours: &[f64], expected: &[f64]| ours.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(&distances[0].proxy, &[2.0, 5.0]) && near(&distances[0].gold, &[1.0, 2.0]));
        // Of the three pairs the best are 3, 3 and 2.
        assert!(near(&distances[1].proxy, &[8.0 / 3.0, 5.0]) && near(&distances[1].gold, &[0.0, 2.0]));
        assert!(near(&distances[2].gold, &[-3.0, 2.0]));
        let nats = 3.0_f64.ln() - 2.0 / 3.0;
        assert!(near(&distances[2].kl, &[nats, 0.0]), "{:?}", distances[2].kl);
        let ungraded = best_of_n(&[(vec![1.0, 2.0], Vec::new())], &[1, 2]);
        assert!(ungraded.iter().all(|distance| distance.gold.is_empty()));
        let curve = curve(&ungraded, Law::BestOfN, 20, 0).unwrap();
        assert!(curve.points[1].gold.is_none() && curve.gold.is_empty());
    }

    #[test]
    fn a_curve_may_have_either_reward_alone() {
        let both = simulated(Law::Reinforcement, 0.9, 0.15, 40, 5);
        let gold: Vec<Distance> = both.iter().map(|d| Distance { proxy: Vec::new(), ..d.clone() }).collect();
        let (both, gold) = (curve(&both, Law::Reinforcement, 50, 1), curve(&gold, Law::Reinforcement, 50, 1));
        let (both, gold) = (both.unwrap(), gold.unwrap());
        assert!(gold.proxy.is_empty() && gold.points.iter().all(|point| point.proxy.is_none()));
        // The same resamples, whatever else is measured.
        assert_eq!(both.gold, gold.gold);
    }

    #[test]
    fn an_estimate_below_0_is_no_distance() {
        let mut distances = simulated(Law::BestOfN, 0.9, 0.15, 40, 5);
        distances[0].kl.iter_mut().for_each(|kl| *kl -= 0.01);
        let curve = curve(&distances, Law::BestOfN, 50, 1).unwrap();
        assert_eq!(curve.points[0].kl, 0.0);
        assert!(curve.gold[0].alpha.interval.contains(0.9), "{:?}", curve.gold[0]);
    }

    #[test]
    fn what_does_not_belong_together_is_no_curve() {
        let whole = simulated(Law::BestOfN, 0.9, 0.15, 4, 5);
        for place in 0..3 {
            let mut distances = whole.clone();
            let Distance { kl, proxy, gold, .. } = &mut distances[2];
            [kl, proxy, gold][place].pop();
            assert_eq!(curve(&distances, Law::BestOfN, 10, 0), None);
        }
        let mut distances = whole;
        for distance in &mut distances {
            (distance.proxy, distance.gold) = Default::default();
        }
        assert_eq!(curve(&distances, Law::BestOfN, 10, 0), None);
        assert_eq!(curve(&[], Law::BestOfN, 10, 0), None);
    }
}
