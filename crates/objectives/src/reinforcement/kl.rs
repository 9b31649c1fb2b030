//! Estimators of `KL(π‖π_ref)` from one sample, and controllers of its coefficient.
//!
//! **What it optimises.** Nothing by itself: it says how far the policy went from its reference, as a part of the reward or
//! of the loss.
//!
//! **When to use it.** The place decides which estimator is right:
//! * In the *reward*, where no gradient flows through it, `k1`: the score-function gradient of `E[r - β k1]` is that of the
//!   objective.
//! * As a term of the *loss*, differentiated through `log π(y)` at samples of the policy itself: the expected gradient of
//!   `k1` is zero (`E[∇ log π] = 0`), so it only adds noise; that of `k2` is the gradient of the KL; that of `k3` is the
//!   gradient of the KL in the other direction. With the ratio `π/π_old` as a factor the missing score-function term is
//!   there, and `k1` and `k3` have the right gradient too; `k2` then has that of its own, biased, expectation.
//! * For *reporting*, `k3`: unbiased, never negative, of low variance. Clamping `k1` at 0 is biased upward.
//!
//! **Formula.** With `d = log π(y) - log π_ref(y)`, `y ~ π`: `k1 = d`, `k2 = d²/2`, `k3 = e⁻ᵈ - 1 + d`. Controller of
//! Ziegler 2019: `β ← β (1 + clip(KL/target - 1, -0.2, 0.2) n / horizon)` after `n` episodes.
//!
//! **Source.** Schulman 2020, "Approximating KL divergence"; Tang and Munos 2025 (arXiv 2506.09477) on gradients; Ziegler
//! 2019 (arXiv 1909.08593), section 2.2, with the constants of lm-human-preferences.
//!
//! **Reference numbers.** All are 0 at step 0. Ziegler: `β` from 0.15, target 6 nats, horizon 10,000 episodes; TL;DR: 0.05
//! fixed; InstructGPT: 0.02 fixed.

/// How far one sample says the policy is from the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Estimator {
    #[default]
    K1,
    K2,
    K3,
}

/// From this many nats below the reference on, `k3` goes on as a straight line, so that it does not overflow.
const FARTHEST: f64 = 20.0;

impl Estimator {
    /// The estimate from `d = log π(y) - log π_ref(y)`.
    pub fn value(self, log_ratio: f64) -> f64 {
        match self {
            Self::K1 => log_ratio,
            Self::K2 => 0.5 * log_ratio * log_ratio,
            Self::K3 if log_ratio < -FARTHEST => {
                Self::K3.value(-FARTHEST) + (log_ratio + FARTHEST) * Self::K3.slope(-FARTHEST)
            }
            Self::K3 => (-log_ratio).exp_m1() + log_ratio,
        }
    }

    /// Its derivative with respect to `log π(y)`.
    pub fn slope(self, log_ratio: f64) -> f64 {
        match self {
            Self::K1 => 1.0,
            Self::K2 => log_ratio,
            Self::K3 => -(-log_ratio.max(-FARTHEST)).exp_m1(),
        }
    }
}

/// A coefficient that stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedController {
    pub coefficient: f64,
}

/// A coefficient that is raised while the KL is above its target and lowered while it is below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveController {
    coefficient: f64,
    /// Nats over a whole response.
    target: f64,
    /// Episodes after which a KL that is off by 20 % or more has moved the coefficient by about 20 %.
    horizon: f64,
}

impl AdaptiveController {
    /// `target` and `horizon` above 0.
    pub fn new(coefficient: f64, target: f64, horizon: f64) -> Self {
        Self { coefficient, target, horizon }
    }

    /// The coefficient now; all there is to save, and what [`Self::set_coefficient`] takes back.
    pub fn coefficient(&self) -> f64 {
        self.coefficient
    }

    pub fn set_coefficient(&mut self, coefficient: f64) {
        self.coefficient = coefficient;
    }

    /// After `episodes` responses whose mean KL, summed over each response, was `kl`. A KL that is not a number changes
    /// nothing.
    pub fn update(&mut self, kl: f64, episodes: usize) {
        let error = (kl / self.target - 1.0).clamp(-0.2, 0.2);
        if !error.is_nan() {
            self.coefficient *= 1.0 + error * episodes as f64 / self.horizon;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Estimator; 3] = [Estimator::K1, Estimator::K2, Estimator::K3];
    const POLICY: [f64; 2] = [0.8, 0.2];
    const REFERENCE: [f64; 2] = [0.5, 0.5];

    fn expectation(of: impl Fn(f64) -> f64) -> f64 {
        POLICY.iter().zip(REFERENCE).map(|(&p, q)| p * of((p / q).ln())).sum()
    }

    #[test]
    fn values_by_hand() {
        let e = std::f64::consts::E;
        assert_eq!(ALL.map(|k| k.value(1.0)), [1.0, 0.5, (-1.0_f64).exp_m1() + 1.0]);
        assert!((Estimator::K3.value(-1.0) - (e - 2.0)).abs() < 1e-15);
        assert_eq!(ALL.map(|k| k.value(0.0)), [0.0; 3]);
        assert_eq!(ALL.map(|k| k.slope(0.0)), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn derivatives() {
        for estimator in ALL {
            for d in [-40.0, -2.0, -0.1, 0.0, 0.3, 5.0] {
                let difference = (estimator.value(d + 1e-5) - estimator.value(d - 1e-5)) / 2e-5;
                let slope = estimator.slope(d);
                let tolerance = 1e-7 * slope.abs().max(1.0);
                assert!((difference - slope).abs() <= tolerance, "{estimator:?} at {d}: {difference} is not {slope}");
            }
            assert!(estimator.value(-1e6).is_finite() && estimator.slope(-1e6).is_finite());
        }
    }

    /// O9: on a policy (0.8, 0.2) against (0.5, 0.5).
    #[test]
    fn k1_and_k3_are_unbiased_and_a_clamped_k1_is_not() {
        let kl = expectation(|d| d);
        assert!((kl - (0.8 * 1.6_f64.ln() + 0.2 * 0.4_f64.ln())).abs() < 1e-15);
        assert!((expectation(|d| Estimator::K3.value(d)) - kl).abs() < 1e-15);
        assert!(POLICY.iter().zip(REFERENCE).all(|(p, q)| Estimator::K3.value((p / q).ln()) >= 0.0));
        let clamped = expectation(|d| d.max(0.0));
        // 0.8 ln 1.6 = 0.376 where the KL is 0.193.
        assert!((clamped - 0.8 * 1.6_f64.ln()).abs() < 1e-15 && clamped > 1.9 * kl);
        // Where the policy is the reference but for noise in the log-probabilities, the clamp sees a divergence.
        let noise = [0.1, -0.1];
        assert_eq!(noise.iter().sum::<f64>(), 0.0);
        assert!(noise.iter().map(|d| d.max(0.0)).sum::<f64>() > 0.0);
    }

    /// Expected gradients with respect to the first logit of the two-state policy, where `∇ log π(y) = [y = 0] - π(0)`.
    #[test]
    fn gradients_of_the_estimators_as_loss_terms() {
        let score = [1.0 - POLICY[0], -POLICY[0]];
        let gradient = |slope: &dyn Fn(f64) -> f64| -> f64 {
            (0..2).map(|y| POLICY[y] * slope((POLICY[y] / REFERENCE[y]).ln()) * score[y]).sum()
        };
        // d KL / d logit = Σ π(y) d(y) ∇ log π(y).
        let right = gradient(&|d| d);
        let reversed: f64 = (0..2).map(|y| -REFERENCE[y] * score[y]).sum();
        assert!(gradient(&|d| Estimator::K1.slope(d)).abs() < 1e-15);
        assert!((gradient(&|d| Estimator::K2.slope(d)) - right).abs() < 1e-15);
        assert!((gradient(&|d| Estimator::K3.slope(d)) - reversed).abs() < 1e-15);
        assert!((right - reversed).abs() > 0.05);
        // With the ratio as a factor, whose derivative at 1 adds the value.
        for estimator in [Estimator::K1, Estimator::K3] {
            let weighted = gradient(&|d| estimator.value(d) + estimator.slope(d));
            assert!((weighted - right).abs() < 1e-15, "{estimator:?}");
        }
    }

    #[test]
    fn the_adaptive_controller_has_the_constants_of_lm_human_preferences() {
        let mut controller = AdaptiveController::new(0.15, 6.0, 10_000.0);
        // Naively: 12/6 - 1 = 1, clipped to 0.2, times 512/10000.
        controller.update(12.0, 512);
        assert!((controller.coefficient() - 0.15 * (1.0 + 0.2 * 0.0512)).abs() < 1e-15);
        let before = controller.coefficient();
        controller.update(5.4, 512);
        assert!((controller.coefficient() - before * (1.0 - 0.1 * 0.0512)).abs() < 1e-15);
        controller.set_coefficient(0.2);
        controller.update(6.0, 512);
        controller.update(f64::NAN, 512);
        assert_eq!(controller.coefficient(), 0.2);
    }
}
