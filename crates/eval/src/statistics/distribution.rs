//! Tails and quantiles. Callers have checked their arguments, so that a distribution always exists.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal, StudentsT};
use statrs::function::beta::beta_reg;
use statrs::function::gamma::ln_gamma;

pub(crate) fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// `P(Z > z)` of a standard normal, without cancellation for large `z`.
pub(super) fn normal_upper_tail(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// The quantile of Student's t; of the normal where the degrees of freedom are not finite.
pub(super) fn t_quantile(probability: f64, degrees_of_freedom: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, degrees_of_freedom) {
        Ok(distribution) if degrees_of_freedom.is_finite() => distribution.inverse_cdf(probability),
        _ => normal_quantile(probability),
    }
}

/// `P(T > t)`: for positive `t` half of `I_{ν/(ν + t²)}(ν/2, 1/2)`.
pub(super) fn t_upper_tail(t: f64, degrees_of_freedom: f64) -> f64 {
    // What is no number has no tail, and the incomplete beta function would not say so.
    if t.is_nan() || !degrees_of_freedom.is_finite() {
        return normal_upper_tail(t);
    }
    if t.is_infinite() {
        return if t > 0.0 { 0.0 } else { 1.0 };
    }
    let half = 0.5 * beta_reg(degrees_of_freedom / 2.0, 0.5, degrees_of_freedom / (degrees_of_freedom + t * t));
    if t > 0.0 { half } else { 1.0 - half }
}

/// `P(X ≤ successes)` of `trials` fair coins.
pub(super) fn fair_coin_at_most(successes: u64, trials: u64) -> f64 {
    Binomial::new(0.5, trials).map_or(1.0, |coins| coins.cdf(successes))
}

/// `P(X = successes)` of `trials` fair coins.
pub(super) fn fair_coin_exactly(successes: u64, trials: u64) -> f64 {
    let log_factorial = |n: u64| ln_gamma(n as f64 + 1.0);
    let log_choose = log_factorial(trials) - log_factorial(successes) - log_factorial(trials - successes);
    (log_choose - trials as f64 * std::f64::consts::LN_2).exp()
}
