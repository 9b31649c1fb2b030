//! Over-optimisation: how the true reward first rises and then falls as a policy is optimised for a proxy of it.
//!
//! **What it optimises.** Nothing; it fits the laws of Gao, Schulman and Hilton to measured points and says where to stop.
//!
//! **When to use it.** With a gold reward at hand (a larger reward model, a checker, people) at several distances. Points
//! that all lie before the peak say little about `β`, so look at the interval of distances before trusting a peak beyond it.
//!
//! **Formula.** `d = √KL(π‖π_init)`; best-of-n: `R(d) = d (α - β d)`, peak `d* = α/2β`, `R* = α²/4β`; reinforcement learning:
//! `R(d) = d (α - β log d)`, peak `d* = e^(α/β - 1)`, `R* = β d*`. Gold rewards are relative to the initial policy's, so that
//! `R(0) = 0`. Both laws are linear in `α` and `β`: the fit is the solution of the normal equations. For `n` points and
//! residuals of sum of squares `S`, `BIC = n log(S/n) + 2 log n`; the law with the lower one fits better.
//!
//! **Source.** Gao 2022 (arXiv 2210.10760), section 3 and appendix A.
//!
//! **Reference numbers.** Read from its figures, best-of-n: `α` 0.49 for a proxy of 3M parameters to 0.66 for 3B, `β` 0.120 to
//! 0.090; `β` of reinforcement learning 0.175 to 0.118. The KL of two methods is not the same currency.

/// Which method went the distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    BestOfN,
    Reinforcement,
}

impl Law {
    /// Its formula.
    pub fn name(self) -> &'static str {
        match self {
            Self::BestOfN => "d(α - βd)",
            Self::Reinforcement => "d(α - β log d)",
        }
    }

    /// What `α` and `-β` are multiplied with.
    fn terms(self, distance: f64) -> (f64, f64) {
        match self {
            Self::BestOfN => (distance, distance * distance),
            // The limit of d log d at 0.
            Self::Reinforcement if distance <= 0.0 => (0.0, 0.0),
            Self::Reinforcement => (distance, distance * distance.ln()),
        }
    }

    /// `R(d)`.
    pub fn reward(self, alpha: f64, beta: f64, distance: f64) -> f64 {
        let (rises, falls) = self.terms(distance);
        alpha * rises - beta * falls
    }
}

/// Where more optimisation stops to help.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// `d*`; the KL is its square.
    pub distance: f64,
    /// `R*`.
    pub reward: f64,
}

/// A law with its coefficients, and how well it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    pub law: Law,
    pub alpha: f64,
    pub beta: f64,
    pub points: usize,
    /// Sum of squared residuals.
    pub residual: f64,
}

impl Fit {
    pub fn reward(&self, distance: f64) -> f64 {
        self.law.reward(self.alpha, self.beta, distance)
    }

    /// Minus infinity if the law holds exactly.
    pub fn bic(&self) -> f64 {
        let points = self.points as f64;
        points * (self.residual / points).ln() + 2.0 * points.ln()
    }

    /// `None` if the reward has no peak: it rises for ever, or falls from the start.
    pub fn peak(&self) -> Option<Peak> {
        let Self { alpha, beta, .. } = *self;
        let distance = match self.law {
            Law::BestOfN => alpha / (2.0 * beta),
            Law::Reinforcement => (alpha / beta - 1.0).exp(),
        };
        let found = beta > 0.0 && distance > 0.0 && distance.is_finite();
        found.then(|| Peak { distance, reward: self.reward(distance) })
    }
}

/// Least squares over (KL in nats, gold reward relative to the initial policy's). `None` with fewer than two distances other
/// than 0, or with a figure that is not a number or a KL below 0.
pub fn fit(law: Law, points: &[(f64, f64)]) -> Option<Fit> {
    let (mut aa, mut ab, mut bb, mut ar, mut br) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for &(kl, reward) in points {
        let (rises, falls) = law.terms(kl.sqrt());
        aa += rises * rises;
        ab += rises * falls;
        bb += falls * falls;
        ar += rises * reward;
        br += falls * reward;
    }
    let determinant = aa * bb - ab * ab;
    // Relative to its size: of one distance only, rounding alone may leave a little.
    let solvable = determinant > 1e-12 * aa * bb && (ar + br).is_finite();
    if !solvable {
        return None;
    }
    let alpha = (ar * bb - br * ab) / determinant;
    let beta = (ar * ab - br * aa) / determinant;
    let residual = points.iter().map(|&(kl, reward)| (reward - law.reward(alpha, beta, kl.sqrt())).powi(2)).sum();
    Some(Fit { law, alpha, beta, points: points.len(), residual })
}

/// Watches a gold reward for the end of its rise: when to stop.
///
/// Measurements are of the same prompts, so that differences are taken prompt by prompt: of two policies that write alike, the
/// difference is known far better than either reward. One *falls* if it is below the highest so far by more than twice the standard
/// error of the mean difference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch {
    peak: Option<(u64, Vec<f64>)>,
    falls: u32,
}

/// How a measurement compares with the highest before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// It is the highest itself.
    Peak,
    /// It may be as high.
    Level,
    /// It is lower for sure.
    Falls,
}

/// Standard errors below the peak.
const SURE: f64 = 2.0;

impl Watch {
    /// Takes the gold reward of each prompt after step `step`; the same prompts each time.
    pub fn see(&mut self, step: u64, gold: &[f64]) -> Trend {
        let Some((_, best)) = &self.peak else {
            self.peak = Some((step, gold.to_vec()));
            return Trend::Peak;
        };
        let differences: Vec<f64> = gold.iter().zip(best).map(|(now, best)| now - best).collect();
        let count = differences.len() as f64;
        let mean = differences.iter().sum::<f64>() / count;
        let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
        let error = (squares / (count - 1.0) / count).sqrt();
        if mean > 0.0 {
            self.peak = Some((step, gold.to_vec()));
            self.falls = 0;
            return Trend::Peak;
        }
        // A single prompt has no error, and is never sure.
        let falls = mean < -SURE * error;
        self.falls = if falls { self.falls + 1 } else { 0 };
        if falls { Trend::Falls } else { Trend::Level }
    }

    /// The step of the highest measurement.
    pub fn peak(&self) -> Option<u64> {
        self.peak.as_ref().map(|(step, _)| *step)
    }

    /// Falling measurements at the end, one after another.
    pub fn falls(&self) -> u32 {
        self.falls
    }

    /// As numbers, for a checkpoint.
    pub fn state(&self) -> Vec<f64> {
        let Some((step, gold)) = &self.peak else { return Vec::new() };
        [*step as f64, f64::from(self.falls)].into_iter().chain(gold.iter().copied()).collect()
    }

    /// Back from [`Self::state`].
    pub fn restore(state: &[f64]) -> Self {
        match state {
            [step, falls, gold @ ..] => Self { peak: Some((*step as u64, gold.to_vec())), falls: *falls as u32 },
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAWS: [Law; 2] = [Law::BestOfN, Law::Reinforcement];

    /// Points of a law, with deviations whose sum of squares is least for the law itself only by accident.
    fn points(law: Law, alpha: f64, beta: f64, noise: f64) -> Vec<(f64, f64)> {
        let point = |step: usize| {
            let distance = step as f64 * 0.5;
            let noise = noise * (step as f64 * 2.3).sin();
            (distance * distance, law.reward(alpha, beta, distance) + noise)
        };
        (0..16).map(point).collect()
    }

    #[test]
    fn the_coefficients_of_exact_points_come_back() {
        for law in LAWS {
            let fit = fit(law, &points(law, 0.6, 0.11, 0.0)).unwrap();
            assert!((fit.alpha - 0.6).abs() < 1e-12 && (fit.beta - 0.11).abs() < 1e-12, "{fit:?}");
            assert!(fit.residual < 1e-24);
            // The other one fits worse.
            let other = super::fit(LAWS[usize::from(law == LAWS[0])], &points(law, 0.6, 0.11, 0.0)).unwrap();
            assert!(other.bic() > fit.bic());
        }
    }

    #[test]
    fn peaks_are_where_the_reward_is_highest() {
        let best = Fit { law: Law::BestOfN, alpha: 0.6, beta: 0.1, points: 2, residual: 0.0 };
        let peak = best.peak().unwrap();
        assert!((peak.distance - 3.0).abs() < 1e-14 && (peak.reward - 0.9).abs() < 1e-14);
        let learned = Fit { law: Law::Reinforcement, ..best };
        let peak = learned.peak().unwrap();
        assert!((peak.distance - 5.0_f64.exp()).abs() < 1e-10 && (peak.reward - 0.1 * peak.distance).abs() < 1e-10);
        for fit in [best, learned] {
            let peak = fit.peak().unwrap();
            for near in [0.99, 1.01] {
                assert!(fit.reward(peak.distance * near) < peak.reward);
            }
            assert_eq!(fit.reward(0.0), 0.0);
            assert_eq!(Fit { beta: -0.1, ..fit }.peak(), None);
            assert_eq!(Fit { beta: 0.0, ..fit }.peak(), None);
        }
        assert_eq!(Fit { alpha: -0.5, ..best }.peak(), None);
    }

    #[test]
    fn no_other_coefficients_have_smaller_residuals() {
        for law in LAWS {
            let points = points(law, 0.5, 0.09, 0.05);
            let fit = fit(law, &points).unwrap();
            let residual = |alpha: f64, beta: f64| -> f64 {
                points.iter().map(|&(kl, r)| (r - law.reward(alpha, beta, kl.sqrt())).powi(2)).sum()
            };
            assert!((residual(fit.alpha, fit.beta) - fit.residual).abs() < 1e-15);
            for (a, b) in [(1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3), (1e-3, 1e-3)] {
                assert!(residual(fit.alpha + a, fit.beta + b) > fit.residual);
            }
            let by_hand = 16.0 * (fit.residual / 16.0).ln() + 2.0 * 16.0_f64.ln();
            assert!((fit.bic() - by_hand).abs() < 1e-12);
        }
    }

    #[test]
    fn a_fall_is_sure_and_counted_and_a_rise_ends_it() {
        let mut watch = Watch::default();
        assert_eq!(watch.peak(), None);
        let hard = |shift: f64, noise: f64| -> Vec<f64> {
            // Prompts differ far more than policies do.
            (0..50).map(|prompt| 10.0 * f64::from(prompt % 7) + shift + noise * f64::from(prompt % 2 * 2 - 1)).collect()
        };
        assert_eq!(watch.see(0, &hard(0.0, 0.0)), Trend::Peak);
        assert_eq!(watch.see(5, &hard(0.5, 0.1)), Trend::Peak);
        // The error of the mean difference is that of ±1.1 over 50 prompts, 0.157: 0.3 below is within two of it, 0.4 not.
        assert_eq!(watch.see(10, &hard(0.2, 1.2)), Trend::Level);
        assert_eq!(watch.see(15, &hard(0.1, 1.2)), Trend::Falls);
        assert_eq!(watch.see(20, &hard(0.0, 0.3)), Trend::Falls);
        assert_eq!((watch.falls(), watch.peak()), (2, Some(5)));
        let restored = Watch::restore(&watch.state());
        assert_eq!(restored, watch);
        assert_eq!(watch.see(25, &hard(0.45, 1.0)), Trend::Level);
        assert_eq!(watch.falls(), 0);
        assert_eq!(watch.see(30, &hard(0.6, 1.0)), Trend::Peak);
        assert_eq!(watch.peak(), Some(30));
        assert_eq!(Watch::restore(&Watch::default().state()), Watch::default());
        // One prompt says nothing.
        let mut single = Watch::default();
        single.see(0, &[1.0]);
        assert_eq!(single.see(1, &[-9.0]), Trend::Level);
    }

    #[test]
    fn too_little_is_no_fit() {
        for law in LAWS {
            for points in [
                &[][..],
                &[(0.0, 0.0), (0.0, 1.0)],
                &[(4.0, 1.0)],
                &[(4.0, 1.0), (4.0, 1.5), (0.0, 0.0)],
                &[(1.0, f64::NAN), (4.0, 1.0)],
                &[(-1.0, 1.0), (4.0, 1.0), (9.0, 1.0)],
            ] {
                assert_eq!(fit(law, points), None, "{law:?} {points:?}");
            }
        }
    }
}
