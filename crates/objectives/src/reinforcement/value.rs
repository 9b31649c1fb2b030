//! The loss of a value head.
//!
//! **What it optimises.** The distance between the value of each token and the return that followed it.
//!
//! **When to use it.** With PPO; see [`super::ppo`]. Start the head from the reward model where there is one.
//!
//! **Formula.** `L = Σ_t f_t max((V_t - R_t)², (clip(V_t, V_old,t - ε, V_old,t + ε) - R_t)²) / 2`, with `f` as in
//! [`super::policy_gradient`]. The larger of the two, so that clipping never hides an error: a value that moved more than
//! `ε` towards its return stops learning, one that moved away does not.
//!
//! **Source.** lm-human-preferences (Ziegler 2019, arXiv 1909.08593), section 2.2, and "The N+ implementation details of RLHF"
//! (arXiv 2403.17031).
//!
//! **Reference numbers.** Clip fraction 0 at the first update. `ε` 0.2; explained variance rises from about 0 towards 1.

use super::policy_gradient::Denominator;
use crate::{Metric, Outcome, Reduced};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueLoss {
    /// `ε`; infinite means no clip.
    pub clip: f64,
    /// The policy's, so that both losses have one count.
    pub denominator: Denominator,
}

/// The values of one response; all slices have one entry for each of its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values<'a> {
    /// Now.
    pub values: &'a [f32],
    /// When the response was sampled.
    pub old_values: &'a [f32],
    pub returns: &'a [f64],
    pub weights: &'a [f32],
}

/// Loss, metrics and, in `Outcome::d_values`, derivatives of a micro-batch, one for each token of each response.
pub fn loss(method: &ValueLoss, responses: &[Values<'_>]) -> Outcome {
    let mut total = Reduced::default();
    let (mut clipped, mut tokens) = (0.0, 0.0);
    let mut d_values = Vec::new();
    for response in responses {
        let (factors, count) = method.denominator.factors(response.weights);
        total.count += count;
        for (token, &factor) in factors.iter().enumerate() {
            if factor == 0.0 {
                d_values.push(0.0);
                continue;
            }
            let (value, old) = (f64::from(response.values[token]), f64::from(response.old_values[token]));
            let bounded = value.max(old - method.clip).min(old + method.clip);
            let (free, held) = (value - response.returns[token], bounded - response.returns[token]);
            let holds = held * held > free * free;
            // Where the clipped one is the larger it does not depend on the value any more.
            let (error, slope) = if holds { (held, 0.0) } else { (free, free) };
            total.sum += 0.5 * factor * error * error;
            d_values.push((factor * slope) as f32);
            clipped += f64::from(u8::from(holds));
            tokens += 1.0;
        }
    }
    let metrics =
        vec![Metric::new("loss/value_avg", total), Metric::new("val/clipfrac_avg", Reduced::new(clipped, tokens))];
    Outcome { loss: total, metrics, d_values, ..Outcome::default() }
}

/// `1 - variance(R - V) / variance(R)` over the learned tokens of a whole batch: 1 if the values predict the returns, 0 if
/// they do so no better than a constant, below 0 if worse. `None` where the returns do not vary. It is no mean, so it
/// cannot be put together from micro-batches.
pub fn explained_variance(responses: &[Values<'_>]) -> Option<f64> {
    let mut points = Vec::new();
    for response in responses {
        for (token, _) in response.weights.iter().enumerate().filter(|&(_, &weight)| weight > 0.0) {
            let target = response.returns[token];
            points.push((target, target - f64::from(response.old_values[token])));
        }
    }
    let count = points.len() as f64;
    let variance = |of: fn(&(f64, f64)) -> f64| {
        let mean = points.iter().map(of).sum::<f64>() / count;
        points.iter().map(|point| (of(point) - mean).powi(2)).sum::<f64>() / count
    };
    let of_returns = variance(|point| point.0);
    (of_returns > 0.0).then(|| 1.0 - variance(|point| point.1) / of_returns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f32; 5] = [1.0, 1.0, 0.5, -0.5, 7.0];
    const RESPONSE: Values<'static> = Values {
        values: &VALUES,
        // Moved by 0.5 towards the return, by 0.5 away from it, by 0.1 only, not at all; masked.
        old_values: &[0.5, 0.5, 0.4, -0.5, 0.0],
        returns: &[2.0, 0.0, 2.5, -1.5, 3.0],
        weights: &[1.0, 1.0, 0.5, 1.0, 0.0],
    };

    fn method(denominator: Denominator) -> ValueLoss {
        ValueLoss { clip: 0.2, denominator }
    }

    #[test]
    fn values_by_hand() {
        let outcome = loss(&method(Denominator::Tokens), &[RESPONSE]);
        // (0.7 - 2)², clipped; (1 - 0)², free; 2²; 1².
        assert!((outcome.loss.sum - 0.5 * (1.69 + 1.0 + 0.5 * 4.0 + 1.0)).abs() < 1e-7);
        assert_eq!(outcome.loss.count, 3.5);
        assert_eq!(outcome.d_values, [0.0, 1.0, -1.0, 1.0, 0.0]);
        assert_eq!(outcome.metrics[1].value, Reduced::new(1.0, 4.0));
        let free = loss(&ValueLoss { clip: f64::INFINITY, ..method(Denominator::Tokens) }, &[RESPONSE]);
        assert_eq!(free.loss.sum, 0.5 * (1.0 + 1.0 + 0.5 * 4.0 + 1.0));
        assert_eq!(free.metrics[1].value.sum, 0.0);
    }

    #[test]
    fn derivatives() {
        for denominator in [Denominator::Tokens, Denominator::Sequences, Denominator::Constant(16.0)] {
            let outcome = loss(&method(denominator), &[RESPONSE]);
            for (token, &slope) in outcome.d_values.iter().enumerate() {
                let moved = |by: f32| {
                    let mut values = VALUES;
                    values[token] += by;
                    loss(&method(denominator), &[Values { values: &values, ..RESPONSE }]).loss.sum
                };
                let difference = (moved(1.0 / 256.0) - moved(-1.0 / 256.0)) * 128.0;
                assert!((difference - f64::from(slope)).abs() < 1e-6, "{denominator:?} {token}");
            }
        }
    }

    #[test]
    fn at_the_first_update_nothing_is_clipped() {
        let outcome = loss(&method(Denominator::Tokens), &[Values { old_values: &VALUES, ..RESPONSE }]);
        assert_eq!(outcome.metrics[1].value.sum, 0.0);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        for denominator in [Denominator::Tokens, Denominator::Sequences, Denominator::Constant(16.0)] {
            let other = Values { weights: &[1.0, 0.0, 1.0, 1.0, 1.0], ..RESPONSE };
            let whole = loss(&method(denominator), &[RESPONSE, other]);
            let mut sum = loss(&method(denominator), &[RESPONSE]).loss;
            sum += loss(&method(denominator), &[other]).loss;
            assert_eq!(sum, whole.loss);
        }
    }

    #[test]
    fn explained_variance_of_the_extremes() {
        let of = |old_values: &[f32]| {
            explained_variance(&[Values { old_values, returns: &[1.0, 2.0, 3.0], weights: &[1.0; 3], values: &[] }])
        };
        // A constant offset is no variance; a constant value explains nothing; the wrong way round is worse.
        assert_eq!([of(&[0.5, 1.5, 2.5]), of(&[9.0; 3]), of(&[3.0, 2.0, 1.0])], [Some(1.0), Some(0.0), Some(-3.0)]);
        assert_eq!(explained_variance(&[]), None);
        let same = Values { old_values: &[1.0, 2.0], returns: &[1.0, 1.0], weights: &[1.0; 2], values: &[] };
        assert_eq!(explained_variance(&[same]), None);
    }
}
