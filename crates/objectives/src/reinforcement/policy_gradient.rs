//! The policy's loss, shared by all methods that learn from their own samples.
//!
//! **What it optimises.** The expected advantage of the policy's tokens, in steps small enough that samples of the policy
//! that was (`old`) still speak for the one that is.
//!
//! **When to use it.** Through a method: PPO, GRPO, RLOO and the others choose advantages, denominator and ratio. On the
//! first update after sampling, the gradient is that of plain REINFORCE: every ratio is 1 and nothing is clipped.
//!
//! **Formula.** `ρ_t = exp(log π_t - log π_old,t)`; `S_t = min(ρ_t A_t, clip(ρ_t, 1 - ε_low, 1 + ε_high) A_t)`; with a dual clip
//! `c`, `S_t = max(S_t, c A_t)` where `A_t < 0`. `L = Σ_t f_t (-S_t + β k_t - η H_t)`, where `k` is the KL estimate, `H` the
//! entropy and `f` comes from the [`Denominator`]:
//! * `Tokens`: `f_t = w_t`, over `Σ w` of the step (DAPO); long responses weigh more.
//! * `Sequences`: `f_t = w_t / Σ_{u∈y} w_u`, over the number of responses (GRPO); tokens of long ones weigh less.
//! * `Constant(n)`: `f_t = w_t / n`, over the number of responses (Dr. GRPO); no length has an influence.
//!
//! With [`Ratio::Sequence`] all tokens of a response share `ρ = exp(Σ_t w_t (log π_t - log π_old,t) / Σ_t w_t)` (GSPO), with
//! [`Ratio::Product`] the same without the division, the response being one action (RLOO).
//!
//! **Source.** Schulman 2017 (arXiv 1707.06347), eq. 7; dual clip: Ye 2020 (arXiv 1912.09729), eq. 5; Shao 2024 (GRPO, arXiv
//! 2402.03300), eq. 3; Yu 2025 (DAPO, arXiv 2503.14476), eq. 8; Liu 2025 (Dr. GRPO, arXiv 2503.20783); Zheng 2025 (GSPO,
//! arXiv 2507.18071), section 4.1.
//!
//! **Reference numbers.** At the first update ratio 1, `approxkl` 0, clip fraction 0. `ε` 0.2 (PPO, GRPO), 0.2 and 0.28
//! (DAPO), 3e-4 and 4e-4 with the sequence's ratio (GSPO); dual clip 3.

use super::kl::Estimator;
use crate::{Metric, Outcome, Reduced};

/// What the summed loss is divided by, and so what counts the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Denominator {
    /// Each token of the step.
    #[default]
    Tokens,
    /// Each response that has a learned token, its tokens sharing.
    Sequences,
    /// Each response, its tokens divided by this number; usually the most that a response may have.
    Constant(f64),
}

impl Denominator {
    /// How much each token of a response counts, and what the response adds to the step's count.
    pub fn factors(self, weights: &[f32]) -> (Vec<f64>, f64) {
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let (divisor, count) = match self {
            Self::Tokens => (1.0, total),
            Self::Sequences if total > 0.0 => (total, 1.0),
            Self::Sequences => (1.0, 0.0),
            Self::Constant(tokens) => (tokens, 1.0),
        };
        (weights.iter().map(|&weight| f64::from(weight) / divisor).collect(), count)
    }
}

/// What is compared with the policy that sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ratio {
    /// Each token.
    #[default]
    Token,
    /// Each response, by the mean over its tokens.
    Sequence,
    /// Each response, by the sum.
    Product,
}

/// How far the ratio may go before a token stops pulling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// `ε_low`.
    pub low: f64,
    /// `ε_high`; above `low` it lets rare tokens become likely ("clip-higher").
    pub high: f64,
    /// `c` above 1: what a bad token's ratio counts at most.
    pub dual: Option<f64>,
}

impl Clip {
    fn bound(&self, ratio: f64) -> f64 {
        ratio.max(1.0 - self.low).min(1.0 + self.high)
    }

    /// The same on both sides, no dual clip.
    pub fn symmetric(epsilon: f64) -> Self {
        Self { low: epsilon, high: epsilon, dual: None }
    }
}

/// A KL penalty in the loss; see [`super::kl`] for which estimator has which gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlTerm {
    pub coefficient: f64,
    pub estimator: Estimator,
    /// Whether the token's ratio is a factor, which corrects for samples of the older policy and supplies the
    /// score-function term.
    pub importance_weighted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicyGradient {
    pub clip: Clip,
    pub ratio: Ratio,
    pub denominator: Denominator,
    pub kl: Option<KlTerm>,
    /// `η`.
    pub entropy_coefficient: f64,
}

impl PolicyGradient {
    /// PPO's: each token, clipped on both sides alike.
    pub fn new(epsilon: f64) -> Self {
        Self {
            clip: Clip::symmetric(epsilon),
            ratio: Ratio::Token,
            denominator: Denominator::Tokens,
            kl: None,
            entropy_coefficient: 0.0,
        }
    }
}

/// One sampled response; all slices have one entry for each of its tokens, or are empty where it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample<'a> {
    /// `log π(y_t | x, y_<t)` now.
    pub log_probs: &'a [f32],
    /// The same when the response was sampled.
    pub old_log_probs: &'a [f32],
    pub advantages: &'a [f64],
    /// 0 where the token is not learned.
    pub weights: &'a [f32],
    /// `log π_ref`; empty if there is no reference.
    pub reference: &'a [f32],
    /// Empty if nothing needs them.
    pub entropies: &'a [f32],
}

/// A policy this many nats away from the one that sampled learns nothing from its samples; the bound keeps `ρ` finite.
const FARTHEST: f64 = 20.0;

/// `ρ` and its derivative with respect to its logarithm.
fn ratio_of(log_ratio: f64) -> (f64, f64) {
    let ratio = log_ratio.clamp(-FARTHEST, FARTHEST).exp();
    (ratio, if log_ratio.abs() < FARTHEST { ratio } else { 0.0 })
}

/// What one token makes of its ratio and advantage.
struct Surrogate {
    value: f64,
    /// With respect to the ratio.
    slope: f64,
    clipped: bool,
}

fn surrogate(clip: &Clip, ratio: f64, advantage: f64) -> Surrogate {
    let bounded = clip.bound(ratio);
    if bounded * advantage < ratio * advantage {
        return Surrogate { value: bounded * advantage, slope: 0.0, clipped: true };
    }
    match clip.dual {
        Some(dual) if advantage < 0.0 && ratio > dual => {
            Surrogate { value: dual * advantage, slope: 0.0, clipped: true }
        }
        _ => Surrogate { value: ratio * advantage, slope: advantage, clipped: false },
    }
}

/// Loss, metrics and derivatives of a micro-batch. `Outcome::d_log_probs`, and `Outcome::d_entropies` where there is a bonus,
/// have one entry for each token of each response, in that order.
pub fn loss(method: &PolicyGradient, samples: &[Sample<'_>]) -> Outcome {
    let mut total = Reduced::default();
    let (mut d_log_probs, mut d_entropies) = (Vec::new(), Vec::new());
    let mut figures = Figures::default();
    for sample in samples {
        let (factors, count) = method.denominator.factors(sample.weights);
        total.count += count;
        let log_ratio = |token: usize| f64::from(sample.log_probs[token]) - f64::from(sample.old_log_probs[token]);
        let shared = shared_log_ratio(method.ratio, sample);
        // Derivative of the loss with respect to the logarithm of a ratio that all tokens share.
        let mut shared_slope = 0.0;
        let start = d_log_probs.len();
        for (token, &factor) in factors.iter().enumerate() {
            if factor == 0.0 {
                d_log_probs.push(0.0);
                continue;
            }
            let advantage = sample.advantages[token];
            let (ratio, d_ratio) = ratio_of(shared.map_or_else(|| log_ratio(token), |(log_ratio, _)| log_ratio));
            let surrogate = surrogate(&method.clip, ratio, advantage);
            let mut policy_slope = -factor * surrogate.slope * d_ratio;
            if shared.is_some() {
                shared_slope += policy_slope;
                policy_slope = 0.0;
            }
            let (kl, kl_slope) = kl_term(method.kl.as_ref(), sample, token);
            let entropy = sample.entropies.get(token).map_or(0.0, |&entropy| f64::from(entropy));
            total.sum += factor * (kl - surrogate.value - method.entropy_coefficient * entropy);
            d_log_probs.push(policy_slope + factor * kl_slope);
            figures.policy.sum -= factor * surrogate.value;
            figures.add(&method.clip, sample, token, log_ratio(token), ratio, &surrogate);
        }
        if let Some((_, divisor)) = shared {
            for (slope, &weight) in d_log_probs[start..].iter_mut().zip(sample.weights) {
                *slope += shared_slope * f64::from(weight) / divisor;
            }
        }
        if method.entropy_coefficient != 0.0 {
            d_entropies.extend(factors.iter().map(|factor| (-method.entropy_coefficient * factor) as f32));
        }
    }
    figures.policy.count = total.count;
    Outcome {
        loss: total,
        metrics: figures.finish(),
        d_log_probs: d_log_probs.into_iter().map(|slope: f64| slope as f32).collect(),
        d_entropies,
        ..Outcome::default()
    }
}

/// The logarithm of the ratio that a response's tokens share, and what its sum over tokens was divided by; `None` where each
/// has its own.
fn shared_log_ratio(ratio: Ratio, sample: &Sample<'_>) -> Option<(f64, f64)> {
    let length: f64 = sample.weights.iter().map(|&weight| f64::from(weight)).sum();
    let divisor = match ratio {
        Ratio::Token => return None,
        Ratio::Sequence => length,
        Ratio::Product => 1.0,
    };
    if length <= 0.0 {
        return None;
    }
    let tokens = sample.log_probs.iter().zip(sample.old_log_probs).zip(sample.weights);
    let sum: f64 = tokens.map(|((&new, &old), &weight)| (f64::from(new) - f64::from(old)) * f64::from(weight)).sum();
    Some((sum / divisor, divisor))
}

/// The penalty at a token and its derivative with respect to the token's log-probability.
fn kl_term(term: Option<&KlTerm>, sample: &Sample<'_>, token: usize) -> (f64, f64) {
    let (Some(term), Some(&reference)) = (term, sample.reference.get(token)) else { return (0.0, 0.0) };
    let log_prob = f64::from(sample.log_probs[token]);
    let distance = log_prob - f64::from(reference);
    let (value, slope) = (term.estimator.value(distance), term.estimator.slope(distance));
    let (value, slope) = if term.importance_weighted {
        let (ratio, d_ratio) = ratio_of(log_prob - f64::from(sample.old_log_probs[token]));
        (ratio * value, ratio * slope + d_ratio * value)
    } else {
        (value, slope)
    };
    (term.coefficient * value, term.coefficient * slope)
}

/// Means over the learned tokens, but for `policy`.
#[derive(Default)]
struct Figures {
    policy: Reduced,
    tokens: f64,
    squared_log_ratio: f64,
    clipped: f64,
    ratio: f64,
    ratio_after: f64,
    squared_ratio_error: f64,
    low: f64,
    high: f64,
    entropy: Reduced,
    kl: Reduced,
}

impl Figures {
    fn add(
        &mut self,
        clip: &Clip,
        sample: &Sample<'_>,
        token: usize,
        log_ratio: f64,
        ratio: f64,
        surrogate: &Surrogate,
    ) {
        let advantage = sample.advantages[token];
        let share = |holds: bool| f64::from(u8::from(holds));
        self.tokens += 1.0;
        self.squared_log_ratio += log_ratio * log_ratio;
        self.clipped += share(surrogate.clipped);
        self.ratio += ratio;
        self.ratio_after += clip.bound(ratio);
        self.squared_ratio_error += (ratio - 1.0) * (ratio - 1.0);
        self.low += share(ratio < 1.0 - clip.low && advantage < 0.0);
        self.high += share(ratio > 1.0 + clip.high && advantage > 0.0);
        if let Some(&entropy) = sample.entropies.get(token) {
            self.entropy += Reduced::new(f64::from(entropy), 1.0);
        }
        if let Some(&reference) = sample.reference.get(token) {
            let distance = f64::from(sample.log_probs[token]) - f64::from(reference);
            self.kl += Reduced::new(Estimator::K3.value(distance), 1.0);
        }
    }

    /// `approxkl`, `ratio` and `ratio_var` are of the ratios as they are, `ratio_clipped` is after clipping. As a ratio's
    /// expectation is 1 under the policy that sampled, its variance is taken about 1: so it adds up over micro-batches.
    fn finish(self) -> Vec<Metric> {
        let token_mean = |name, sum| Metric::new(name, Reduced::new(sum, self.tokens));
        let mut metrics = vec![
            Metric::new("loss/policy_avg", self.policy),
            token_mean("policy/approxkl_avg", 0.5 * self.squared_log_ratio),
            token_mean("policy/clipfrac_avg", self.clipped),
            token_mean("val/ratio", self.ratio),
            token_mean("val/ratio_clipped", self.ratio_after),
            token_mean("val/ratio_var", self.squared_ratio_error),
            token_mean("clip_ratio/low_mean", self.low),
            token_mean("clip_ratio/high_mean", self.high),
            token_mean("clip_ratio/region_mean", self.low + self.high),
        ];
        if self.entropy.count > 0.0 {
            metrics.push(Metric::new("policy/entropy_avg", self.entropy));
        }
        if self.kl.count > 0.0 {
            metrics.push(Metric::new("kl", self.kl));
        }
        metrics
    }
}

#[cfg(test)]
mod tests;
