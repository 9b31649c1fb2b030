//! From logits to a token.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Decoding parameters, in the order they act: repetition penalty, temperature, top-k, top-p, min-p.
///
/// The order and the meaning of each parameter are those of `transformers`' logits processors, so that the same
/// parameters describe the same distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 picks the most likely token.
    pub temperature: f32,
    /// Keep the `top_k` most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of most likely tokens whose probability reaches `top_p` (Holtzman 2019, arXiv 1904.09751).
    pub top_p: f32,
    /// Keep tokens at least `min_p` times as likely as the most likely one (Nguyen 2024, arXiv 2407.01082).
    pub min_p: f32,
    /// Divide positive, multiply negative logits of tokens seen before (Keskar 2019, arXiv 1909.05858); 1 is off.
    pub repetition_penalty: f32,
    pub seed: u64,
}

impl Sampling {
    /// Most likely token each time.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, seed: 0 }
    }
}

/// A decoding parameter outside its range.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{parameter} = {value} is out of range\n  fix: use {range}")]
pub struct InvalidSampling {
    parameter: &'static str,
    value: f32,
    range: &'static str,
}

/// Draws tokens; the same seed and logits give the same tokens.
pub struct Sampler {
    parameters: Sampling,
    random: ChaCha8Rng,
    /// Scratch: (token, logit), reused between draws.
    candidates: Vec<(u32, f32)>,
}

impl Sampler {
    pub fn new(parameters: Sampling) -> Result<Self, InvalidSampling> {
        let check = |ok: bool, parameter, value, range| {
            if ok { Ok(()) } else { Err(InvalidSampling { parameter, value, range }) }
        };
        let Sampling { temperature, top_p, min_p, repetition_penalty, .. } = parameters;
        check(temperature >= 0.0 && temperature.is_finite(), "temperature", temperature, "a number from 0 up")?;
        check(top_p > 0.0 && top_p <= 1.0, "top_p", top_p, "a share above 0 and at most 1")?;
        check((0.0..1.0).contains(&min_p), "min_p", min_p, "a share from 0 to below 1")?;
        let penalty_ok = repetition_penalty > 0.0 && repetition_penalty.is_finite();
        check(penalty_ok, "repetition_penalty", repetition_penalty, "a number above 0; 1 is off")?;
        Ok(Self { parameters, random: ChaCha8Rng::seed_from_u64(parameters.seed), candidates: Vec::new() })
    }

    /// The next token, given the logits of all tokens and those already in the context.
    pub fn pick(&mut self, logits: &[f32], history: &[u32]) -> u32 {
        self.candidates.clear();
        self.candidates.extend(logits.iter().enumerate().map(|(token, &logit)| (token as u32, logit)));
        self.penalise(history);
        if self.parameters.temperature == 0.0 {
            return most_likely(&self.candidates);
        }
        for candidate in &mut self.candidates {
            candidate.1 /= self.parameters.temperature;
        }
        self.candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.parameters.top_k > 0 {
            self.candidates.truncate(self.parameters.top_k);
        }
        let mut probabilities = softmax_of_sorted(&self.candidates);
        keep_nucleus(&mut probabilities, self.parameters.top_p);
        let least = self.parameters.min_p * probabilities[0];
        let kept = probabilities.iter().take_while(|&&p| p >= least).count().max(1);
        probabilities.truncate(kept);

        let total: f32 = probabilities.iter().sum();
        let mut left = self.random.random::<f32>() * total;
        for (candidate, probability) in self.candidates.iter().zip(&probabilities) {
            left -= probability;
            if left < 0.0 {
                return candidate.0;
            }
        }
        self.candidates[probabilities.len() - 1].0
    }

    fn penalise(&mut self, history: &[u32]) {
        let penalty = self.parameters.repetition_penalty;
        if (penalty - 1.0).abs() < f32::EPSILON {
            return;
        }
        let mut seen: Vec<u32> = history.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some((_, logit)) = self.candidates.get_mut(token as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }
}

/// The first of the largest, as `argmax` of the peers.
fn most_likely(candidates: &[(u32, f32)]) -> u32 {
    let mut best = candidates[0];
    for &candidate in &candidates[1..] {
        if candidate.1 > best.1 {
            best = candidate;
        }
    }
    best.0
}

fn softmax_of_sorted(sorted: &[(u32, f32)]) -> Vec<f32> {
    let largest = sorted[0].1;
    let mut probabilities: Vec<f32> = sorted.iter().map(|c| (c.1 - largest).exp()).collect();
    let total: f32 = probabilities.iter().sum();
    for p in &mut probabilities {
        *p /= total;
    }
    probabilities
}

/// Keeps the shortest head whose sum reaches `top_p`, at least one.
fn keep_nucleus(probabilities: &mut Vec<f32>, top_p: f32) {
    if top_p >= 1.0 {
        return;
    }
    let mut sum = 0.0;
    let kept = probabilities.iter().take_while(|&&p| {
        let needed = sum < top_p;
        sum += p;
        needed
    });
    let kept = kept.count().max(1);
    probabilities.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of_draws(parameters: Sampling, logits: &[f32], history: &[u32]) -> Vec<f64> {
        let mut sampler = Sampler::new(parameters).unwrap();
        let draws = 20_000;
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..draws {
            counts[sampler.pick(logits, history) as usize] += 1.0 / f64::from(draws);
        }
        counts
    }

    fn assert_near(drawn: &[f64], expected: &[f64]) {
        for (d, e) in drawn.iter().zip(expected) {
            // Four standard errors of a share of 20,000 draws are at most 0.0142.
            assert!((d - e).abs() < 0.0142, "drew {drawn:?}, expected {expected:?}");
        }
    }

    const LOGITS: [f32; 4] = [0.0, std::f32::consts::LN_2, 2.0 * std::f32::consts::LN_2, 0.0]; // 1 : 2 : 4 : 1

    #[test]
    fn draws_follow_the_softmax() {
        let parameters = Sampling { temperature: 1.0, seed: 7, ..Sampling::greedy() };
        assert_near(&share_of_draws(parameters, &LOGITS, &[]), &[0.125, 0.25, 0.5, 0.125]);
    }

    #[test]
    fn temperature_two_takes_the_square_root_of_odds() {
        let parameters = Sampling { temperature: 2.0, seed: 7, ..Sampling::greedy() };
        let total = 1.0 + 2f64.sqrt() + 2.0 + 1.0;
        let expected = [1.0 / total, 2f64.sqrt() / total, 2.0 / total, 1.0 / total];
        assert_near(&share_of_draws(parameters, &LOGITS, &[]), &expected);
    }

    #[test]
    fn top_k_top_p_and_min_p_cut_the_tail() {
        let two = [0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0];
        let base = Sampling { temperature: 1.0, seed: 3, ..Sampling::greedy() };
        assert_near(&share_of_draws(Sampling { top_k: 2, ..base }, &LOGITS, &[]), &two);
        assert_near(&share_of_draws(Sampling { top_p: 0.7, ..base }, &LOGITS, &[]), &two);
        assert_near(&share_of_draws(Sampling { min_p: 0.4, ..base }, &LOGITS, &[]), &two);
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest_and_the_penalty_can_move_it() {
        let mut greedy = Sampler::new(Sampling::greedy()).unwrap();
        assert_eq!(greedy.pick(&[1.0, 3.0, 3.0], &[]), 1);
        let mut penalised = Sampler::new(Sampling { repetition_penalty: 1.5, ..Sampling::greedy() }).unwrap();
        assert_eq!(penalised.pick(&[1.0, 3.0, 2.9], &[1, 1]), 2);
        assert_eq!(penalised.pick(&[-1.0, -1.2, -9.0], &[0]), 1);
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let message = Sampler::new(Sampling { top_p: 0.0, ..Sampling::greedy() }).err().unwrap().to_string();
        assert!(message.contains("top_p = 0"), "{message}");
        assert!(Sampler::new(Sampling { temperature: f32::NAN, ..Sampling::greedy() }).is_err());
    }
}
