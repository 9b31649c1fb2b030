//! From logits to a token.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::distribution::{self, Candidates, draw_from_all, log_normaliser, most_likely};

/// Decoding parameters, in the order they act: penalties, temperature, top-k, top-p, min-p, typical.
///
/// The order and the meaning of each parameter are those of `transformers`' logits processors, so that the same
/// parameters describe the same distribution; presence and frequency penalties are `OpenAI`'s.
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
    /// Keep the tokens whose surprise is nearest to the entropy, up to this probability (Meister 2022, arXiv 2202.00666).
    pub typical_p: f32,
    /// Divide positive, multiply negative logits of tokens seen before (Keskar 2019, arXiv 1909.05858); 1 is off.
    pub repetition_penalty: f32,
    /// Taken from the logit of every token that the answer has already.
    pub presence_penalty: f32,
    /// Taken from a token's logit for each time that the answer has it already.
    pub frequency_penalty: f32,
    pub seed: u64,
}

impl Sampling {
    /// Most likely token each time.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::plain(0) }
    }

    /// The model's own distribution.
    pub fn plain(seed: u64) -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed,
        }
    }

    fn penalises(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }
}

/// A decoding parameter outside its range.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{parameter} = {value} is out of range\n  fix: use {range}")]
pub struct InvalidSampling {
    pub(crate) parameter: &'static str,
    value: f32,
    range: &'static str,
}

/// A token, and how likely it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    pub token: u32,
    /// Natural log-probability under the distribution that it was drawn from; 0 where nothing was drawn.
    pub log_prob: f32,
}

/// Draws tokens; the same seed and logits give the same tokens.
pub struct Sampler {
    parameters: Sampling,
    random: ChaCha8Rng,
    /// Scratch, reused between draws.
    scores: Vec<f32>,
    candidates: Candidates,
}

impl Sampler {
    pub fn new(parameters: Sampling) -> Result<Self, InvalidSampling> {
        Self::for_sample(parameters, 0)
    }

    /// The sampler of one of several samples of a prompt: each draws from a stream of its own.
    pub fn for_sample(parameters: Sampling, sample: usize) -> Result<Self, InvalidSampling> {
        let check = |ok: bool, parameter, value, range| {
            if ok { Ok(()) } else { Err(InvalidSampling { parameter, value, range }) }
        };
        let Sampling { temperature, top_p, min_p, typical_p, repetition_penalty, .. } = parameters;
        check(temperature >= 0.0 && temperature.is_finite(), "temperature", temperature, "a number from 0 up")?;
        check(top_p > 0.0 && top_p <= 1.0, "top_p", top_p, "a share above 0 and at most 1")?;
        check((0.0..1.0).contains(&min_p), "min_p", min_p, "a share from 0 to below 1")?;
        check(typical_p > 0.0 && typical_p <= 1.0, "typical_p", typical_p, "a share above 0 and at most 1")?;
        let penalty_ok = repetition_penalty > 0.0 && repetition_penalty.is_finite();
        check(penalty_ok, "repetition_penalty", repetition_penalty, "a number above 0; 1 is off")?;
        for (name, penalty) in
            [("presence_penalty", parameters.presence_penalty), ("frequency_penalty", parameters.frequency_penalty)]
        {
            check((-2.0..=2.0).contains(&penalty), name, penalty, "a number from -2 to 2; 0 is off")?;
        }
        let mut random = ChaCha8Rng::seed_from_u64(parameters.seed);
        random.set_stream(sample as u64);
        Ok(Self { parameters, random, scores: Vec::new(), candidates: Candidates::default() })
    }

    /// The next token, given the logits of all tokens and those already in the context.
    pub fn pick(&mut self, logits: &[f32], history: &[u32]) -> u32 {
        self.draw(logits, log_normaliser(logits), history, &[], None).token
    }

    /// The next token after a prompt and what has been answered so far; `allowed` restricts it to these tokens.
    /// `log_normaliser` is `log Σ exp(logits)`.
    pub fn draw(
        &mut self,
        logits: &[f32],
        log_normaliser: f64,
        prompt: &[u32],
        answer: &[u32],
        allowed: Option<&[u32]>,
    ) -> Drawn {
        let Sampling { temperature, top_k, top_p, min_p, typical_p, .. } = self.parameters;
        let whole = top_k == 0 && top_p >= 1.0 && min_p == 0.0 && typical_p >= 1.0;
        if allowed.is_none() && !self.parameters.penalises() {
            // The model's own distribution needs no copy of its logits.
            if temperature == 0.0 {
                return Drawn { token: most_likely(logits), log_prob: 0.0 };
            }
            if temperature == 1.0 && whole {
                return draw_from_all(logits, log_normaliser, self.random.random());
            }
        }
        self.take(logits, allowed);
        if self.parameters.penalises() {
            self.penalise(prompt, answer);
        }
        if temperature == 0.0 {
            return Drawn { token: most_likely(&self.scores), log_prob: 0.0 };
        }
        if temperature != 1.0 {
            let inverse = 1.0 / temperature;
            self.scores.iter_mut().for_each(|score| *score *= inverse);
        }
        let share = self.random.random::<f64>();
        if whole {
            return draw_from_all(&self.scores, distribution::log_normaliser(&self.scores), share);
        }
        self.candidates.keep_top(&self.scores, top_k, top_p);
        self.candidates.keep_likely(min_p);
        self.candidates.keep_typical(typical_p);
        self.candidates.draw(share)
    }

    /// Copies the logits of the tokens that may follow.
    fn take(&mut self, logits: &[f32], allowed: Option<&[u32]>) {
        self.scores.clear();
        let Some(allowed) = allowed else { return self.scores.extend_from_slice(logits) };
        self.scores.resize(logits.len(), f32::NEG_INFINITY);
        for &token in allowed {
            // A tokenizer may know tokens that the model does not.
            if let (Some(score), Some(&logit)) = (self.scores.get_mut(token as usize), logits.get(token as usize)) {
                *score = logit;
            }
        }
    }

    fn penalise(&mut self, prompt: &[u32], answer: &[u32]) {
        let Sampling { repetition_penalty, presence_penalty, frequency_penalty, .. } = self.parameters;
        if repetition_penalty != 1.0 {
            let mut seen: Vec<u32> = prompt.iter().chain(answer).copied().collect();
            seen.sort_unstable();
            seen.dedup();
            for token in seen {
                if let Some(score) = self.scores.get_mut(token as usize) {
                    *score = if *score > 0.0 { *score / repetition_penalty } else { *score * repetition_penalty };
                }
            }
        }
        if presence_penalty != 0.0 || frequency_penalty != 0.0 {
            let mut answered = answer.to_vec();
            answered.sort_unstable();
            for same in answered.chunk_by(|a, b| a == b) {
                if let Some(score) = self.scores.get_mut(same[0] as usize) {
                    *score -= presence_penalty + frequency_penalty * same.len() as f32;
                }
            }
        }
    }
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
        let parameters = Sampling::plain(7);
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
        let base = Sampling::plain(3);
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
    fn typical_keeps_what_is_as_surprising_as_expected() {
        // 1 : 2 : 4 : 1 has an entropy of 1.75 bits; surprises are 3, 2, 1 and 3 bits. Nearest is the second token, then the third.
        let base = Sampling::plain(5);
        assert_near(&share_of_draws(Sampling { typical_p: 0.2, ..base }, &LOGITS, &[]), &[0.0, 1.0, 0.0, 0.0]);
        let two = [0.0, 1.0 / 3.0, 2.0 / 3.0, 0.0];
        assert_near(&share_of_draws(Sampling { typical_p: 0.7, ..base }, &LOGITS, &[]), &two);
    }

    #[test]
    fn presence_and_frequency_count_the_answer_only() {
        let ln_2 = std::f32::consts::LN_2;
        let parameters = Sampling { presence_penalty: ln_2, frequency_penalty: ln_2, ..Sampling::plain(1) };
        let mut sampler = Sampler::new(parameters).unwrap();
        sampler.draw(&LOGITS, 8f64.ln(), &[0, 0], &[2, 2, 1], None);
        let expected = [LOGITS[0], LOGITS[1] - 2.0 * ln_2, LOGITS[2] - 3.0 * ln_2, LOGITS[3]];
        assert!(sampler.scores.iter().zip(expected).all(|(score, wanted)| (score - wanted).abs() < 1e-6));
    }

    #[test]
    fn what_is_drawn_says_how_likely_it_was() {
        for parameters in [Sampling::plain(2), Sampling { top_k: 2, ..Sampling::plain(2) }] {
            let total: f32 = if parameters.top_k == 2 { 6.0 } else { 8.0 };
            let mut sampler = Sampler::new(parameters).unwrap();
            for _ in 0..20 {
                let Drawn { token, log_prob } = sampler.draw(&LOGITS, 8f64.ln(), &[], &[], None);
                let odds = [1.0, 2.0, 4.0, 1.0][token as usize];
                assert!((log_prob - (odds / total).ln()).abs() < 1e-6, "{token} {log_prob}");
            }
        }
        let mut restricted = Sampler::new(Sampling::plain(2)).unwrap();
        let drawn = restricted.draw(&LOGITS, 8f64.ln(), &[], &[], Some(&[3]));
        assert_eq!(drawn, Drawn { token: 3, log_prob: 0.0 });
    }

    #[test]
    fn samples_of_a_prompt_draw_from_streams_of_their_own() {
        let flat = [0.0_f32; 1000];
        let tokens = |sample| {
            let mut sampler = Sampler::for_sample(Sampling::plain(9), sample).unwrap();
            (0..8).map(|_| sampler.pick(&flat, &[])).collect::<Vec<u32>>()
        };
        assert_eq!(tokens(1), tokens(1));
        assert_ne!(tokens(1), tokens(2));
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let message = Sampler::new(Sampling { top_p: 0.0, ..Sampling::greedy() }).err().unwrap().to_string();
        assert!(message.contains("top_p = 0"), "{message}");
        assert!(Sampler::new(Sampling { temperature: f32::NAN, ..Sampling::greedy() }).is_err());
    }
}
