//! O3: with exact gradients on a table of 32 answers, the KL-regularised objective ends at `π_ref e^{r/β} / Z`.
//!
//! Every answer is a sample of one token whose weight is its probability, so that the loss is an exact expectation. Steps
//! are taken in the logits, divided by the probability (the natural gradient), or answers that become rare would take
//! for ever.

use super::kl::Estimator;
use super::policy_gradient::{KlTerm, PolicyGradient, Sample, loss};
use super::shaping::{Sampled, Shaping, shape};

const ANSWERS: usize = 32;

fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    logits.iter().map(|logit| (logit - most).exp() / total).collect()
}

fn table() -> (Vec<f64>, Vec<f64>) {
    let reference = (0..ANSWERS).map(|y| (y as f64 * 1.7).sin()).collect();
    let rewards = (0..ANSWERS).map(|y| (y as f64 * 0.9 + 0.4).cos()).collect();
    (reference, rewards)
}

/// Where the KL penalty is.
#[derive(Clone, Copy, Debug)]
enum Penalty {
    Reward,
    Loss(Estimator, bool),
}

/// The policy after 80 steps from the reference.
fn optimise(beta: f64, penalty: Penalty) -> Vec<f64> {
    let (reference, rewards) = table();
    let as_f32 = |probabilities: &[f64]| -> Vec<f32> { probabilities.iter().map(|p| p.ln() as f32).collect() };
    let reference_log_probs = as_f32(&softmax(&reference));
    let mut logits = reference;
    for _ in 0..80 {
        let policy = softmax(&logits);
        let log_probs = as_f32(&policy);
        let weights: Vec<f32> = policy.iter().map(|&probability| probability as f32).collect();
        let (in_reward, kl) = match penalty {
            Penalty::Reward => (beta, None),
            Penalty::Loss(estimator, importance_weighted) => {
                (0.0, Some(KlTerm { coefficient: beta, estimator, importance_weighted }))
            }
        };
        let shaping = Shaping { kl_coefficient: in_reward, ..Shaping::default() };
        let advantages: Vec<f64> = (0..ANSWERS)
            .map(|y| {
                let (log_probs, reference) = (&log_probs[y..=y], &reference_log_probs[y..=y]);
                let sampled =
                    Sampled { log_probs, reference, weights: &[1.0], score: rewards[y], ..Sampled::default() };
                shape(&shaping, &sampled).total
            })
            .collect();
        let samples: Vec<Sample<'_>> = (0..ANSWERS)
            .map(|y| Sample {
                log_probs: &log_probs[y..=y],
                old_log_probs: &log_probs[y..=y],
                advantages: &advantages[y..=y],
                weights: &weights[y..=y],
                reference: &reference_log_probs[y..=y],
                entropies: &[],
            })
            .collect();
        let slopes = loss(&PolicyGradient { kl, ..PolicyGradient::new(0.2) }, &samples).d_log_probs;
        let total: f64 = slopes.iter().map(|&slope| f64::from(slope)).sum();
        for ((logit, slope), probability) in logits.iter_mut().zip(slopes).zip(&policy) {
            *logit -= 0.5 / beta * (f64::from(slope) / probability - total);
        }
    }
    softmax(&logits)
}

fn optimum(beta: f64) -> Vec<f64> {
    let (reference, rewards) = table();
    softmax(&reference.iter().zip(rewards).map(|(logit, reward)| logit + reward / beta).collect::<Vec<_>>())
}

/// The sum, so that a probability that is not a number is not overlooked.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

/// Expected reward and KL from the reference.
fn place(policy: &[f64]) -> (f64, f64) {
    let (reference, rewards) = table();
    let terms = policy.iter().zip(softmax(&reference)).zip(rewards);
    terms.fold((0.0, 0.0), |(reward, kl), ((p, q), r)| (reward + p * r, kl + p * (p / q).ln()))
}

#[test]
fn the_right_estimators_end_at_the_optimum() {
    for beta in [0.1, 0.3, 1.0, 3.0] {
        for penalty in [
            Penalty::Reward,
            Penalty::Loss(Estimator::K2, false),
            Penalty::Loss(Estimator::K1, true),
            Penalty::Loss(Estimator::K3, true),
        ] {
            let off = distance(&optimise(beta, penalty), &optimum(beta));
            assert!(off < 2e-6, "β {beta}, {penalty:?}: {off}");
        }
    }
}

#[test]
fn a_sweep_of_beta_traces_the_frontier() {
    let mut before = (f64::INFINITY, f64::INFINITY);
    for beta in [0.1, 0.2, 0.5, 1.0, 2.0, 5.0] {
        let (reward, kl) = place(&optimise(beta, Penalty::Reward));
        // At the optimum E[r] - β KL = β log Z.
        let (reference, rewards) = table();
        let z: f64 = softmax(&reference).iter().zip(rewards).map(|(q, r)| q * (r / beta).exp()).sum();
        assert!((reward - beta * kl - beta * z.ln()).abs() < 1e-6, "β {beta}");
        assert!(reward < before.0 && kl < before.1, "β {beta}");
        before = (reward, kl);
    }
}

/// What a wrong choice costs: `k1` in the loss does not hold the policy at all.
#[test]
fn the_wrong_estimators_end_elsewhere() {
    let kl_of = |penalty| place(&optimise(1.0, penalty)).1;
    let right = kl_of(Penalty::Reward);
    assert!(kl_of(Penalty::Loss(Estimator::K1, false)) > 3.0 * right);
    assert!(distance(&optimise(1.0, Penalty::Loss(Estimator::K3, false)), &optimum(1.0)) > 1e-3);
}
