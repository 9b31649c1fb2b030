//! Scores of log-likelihoods.
//!
//! **Formula.** `acc`: `argmax_i ℓ_i = right`, the first of equal ones. `acc_norm`: the same for `ℓ_i / b_i`, `b_i` the
//! bytes of choice `i` without what stands before it. `mc1`: whether the argmax is true. `mc2`: `Σ_true e^{ℓ_i} / Σ e^{ℓ_i}`.
//! Bits per byte: `-ℓ / (ln 2 · bytes)`, over documents the ratio of the sums.
//!
//! **Source.** Gao et al., lm-evaluation-harness (`acc`, `acc_norm`); Lin 2021 (arXiv 2109.07958) for mc1 and mc2; Gao 2020
//! (arXiv 2101.00027), section 3.1, for bits per byte.

use serde_json::json;

use super::definition::{ChoiceMetric, Scoring, TruthMetric};
use super::scored::is_true;
use super::{Failure, FailureKind, Item, Likelihood, Scored, Task};

/// The place of the first of the largest values; `None` if there is none or one is no number.
pub(super) fn argmax(values: &[f64]) -> Option<usize> {
    if values.iter().any(|value| value.is_nan()) {
        return None;
    }
    values
        .iter()
        .enumerate()
        .fold(None, |best, (index, value)| match best {
            Some((_, largest)) if *value <= largest => best,
            _ => Some((index, *value)),
        })
        .map(|(index, _)| index)
}

/// The share of probability on what is true, whatever the log-likelihoods' size.
pub(super) fn mass_of_truth(log_probs: &[f64], truth: &[bool]) -> Option<f64> {
    let largest = log_probs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = log_probs.iter().map(|log_prob| (log_prob - largest).exp()).collect();
    let right: f64 = shares.iter().zip(truth).filter(|(_, truth)| **truth).map(|(share, _)| share).sum();
    let mass = right / shares.iter().sum::<f64>();
    mass.is_finite().then_some(mass)
}

fn as_score(right: bool) -> f64 {
    f64::from(u8::from(right))
}

impl Task {
    pub(super) fn score_likelihoods(&self, item: &Item, likelihoods: &[Likelihood]) -> Scored {
        let mut scored = Scored::new(self.reference(item));
        let failed = |message: &str| {
            let failure = Failure { kind: FailureKind::Invalid, message: message.to_owned() };
            Scored::failed(self.reference(item), &failure)
        };
        let log_probs: Vec<f64> = likelihoods.iter().map(|likelihood| likelihood.log_prob).collect();
        if matches!(self.definition.score, Scoring::Perplexity {}) {
            let text = item.text("text").unwrap_or_default();
            let (Some(log_prob), bytes) = (log_probs.first(), text.len() as f64) else {
                return failed("there is no log-likelihood");
            };
            let words = text.split_whitespace().count();
            scored.score = Some(-log_prob / (std::f64::consts::LN_2 * bytes));
            scored.weight = bytes;
            let tokens = likelihoods.first().map_or(0, |likelihood| likelihood.tokens);
            let details = json!({ "log_prob": log_prob, "tokens": tokens, "bytes": text.len(), "words": words });
            scored.details = details.as_object().cloned().unwrap_or_default();
            scored.also.insert("nats_per_token", (-log_prob, tokens as f64));
            scored.also.insert("nats_per_word", (-log_prob, words as f64));
            return scored;
        }
        let choices = item.texts("choices").unwrap_or_default();
        if choices.len() != log_probs.len() {
            return failed("there are not as many log-likelihoods as choices");
        }
        let by_byte: Vec<f64> =
            log_probs.iter().zip(&choices).map(|(log_prob, choice)| log_prob / choice.len().max(1) as f64).collect();
        let (Some(likeliest), Some(by_length)) = (argmax(&log_probs), argmax(&by_byte)) else {
            return failed("a log-likelihood is no number");
        };
        let greedy: Vec<Option<bool>> = likelihoods.iter().map(|likelihood| likelihood.greedy).collect();
        let tokens: Vec<usize> = likelihoods.iter().map(|likelihood| likelihood.tokens).collect();
        let details = json!({ "log_probs": log_probs, "tokens": tokens, "greedy": greedy });
        scored.details = details.as_object().cloned().unwrap_or_default();
        let picked = match &self.definition.score {
            Scoring::TruthSets { metric } => {
                let labels = item.texts("labels").unwrap_or_default();
                let truth: Vec<bool> = labels.iter().map(|label| is_true(label)).collect();
                let Some(mass) = mass_of_truth(&log_probs, &truth).filter(|_| truth.len() == choices.len()) else {
                    return failed("`labels` do not fit the choices");
                };
                scored.score = Some(match metric {
                    TruthMetric::Mc1 => as_score(truth[likeliest]),
                    TruthMetric::Mc2 => mass,
                });
                likeliest
            }
            score => {
                let Some(right) = item.fields.get("answer").and_then(serde_json::Value::as_u64) else {
                    return failed("`answer` is no number of a choice");
                };
                let [acc, acc_norm] = [likeliest, by_length].map(|picked| as_score(picked as u64 == right));
                let normalised = matches!(score, Scoring::Choices { metric: ChoiceMetric::AccNorm });
                scored.score = Some(if normalised { acc_norm } else { acc });
                let (name, other) = if normalised { ("acc", acc) } else { ("acc_norm", acc_norm) };
                scored.also.insert(name, (other, 1.0));
                if normalised { by_length } else { likeliest }
            }
        };
        scored.answer.clone_from(&choices[picked]);
        scored.extracted = Some(choices[picked].clone());
        scored.details.insert("picked".into(), json!(picked));
        scored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_wins() {
        assert_eq!(argmax(&[-2.0, -1.0, -1.0]), Some(1));
        assert_eq!(argmax(&[f64::NEG_INFINITY]), Some(0));
        assert_eq!(argmax(&[]), None);
        assert_eq!(argmax(&[0.0, f64::NAN]), None);
    }

    #[test]
    fn probability_is_shared_out_among_the_choices() {
        let log_probs = [0.1_f64, 0.3, 0.6].map(|share| share.ln() - 1000.0);
        let mass = mass_of_truth(&log_probs, &[true, false, true]).unwrap();
        assert!((mass - 0.7).abs() < 1e-9, "{mass}");
        assert_eq!(mass_of_truth(&[], &[]), None);
    }
}
