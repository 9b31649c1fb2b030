//! The likeliest answers, from a model in this process.

use std::sync::{Arc, Mutex, PoisonError};

use camelid_text::Text;

use super::{Done, GenerateError, Generated, Generator, Prompt, Sampled, Totals};
use crate::engine::{BeamError, BeamSearch, Engine, Hypothesis, Limits, beam_search};
use crate::gather::finish_word;
use crate::protocol::{Decoding, Usage};
use crate::{Sampling, prepare};

/// Answers each prompt with the best that beam search finds, best first: as many as samples are asked for.
pub struct BeamGenerator {
    engine: Mutex<Engine>,
    text: Arc<Text>,
    model: String,
    limits: Limits,
    search: BeamSearch,
    totals: Mutex<Totals>,
}

impl BeamGenerator {
    /// `model` names the model and its revision. A prompt's own limit of tokens and stop tokens come before the search's.
    pub fn new(engine: Engine, text: Arc<Text>, model: impl Into<String>, limits: Limits, search: BeamSearch) -> Self {
        let (engine, model) = (Mutex::new(engine), model.into());
        Self { engine, text, model, limits, search, totals: Mutex::default() }
    }

    fn answer(&self, prompt: &Prompt) -> Result<Generated, GenerateError> {
        let invalid = |message: String| Err(GenerateError::Invalid(message));
        let Decoding { samples, max_tokens, stop_tokens, .. } = &prompt.decoding;
        let known = Decoding {
            samples: *samples,
            max_tokens: *max_tokens,
            stop_tokens: stop_tokens.clone(),
            ..Decoding::default()
        };
        if prompt.decoding != known {
            return invalid(
                "beam search draws nothing\n  fix: set no decoding parameter but limits and stop tokens".into(),
            );
        }
        let beams = self.search.beams;
        if *samples == 0 || *samples > beams {
            return invalid(format!("{samples} answers of {beams} beams are asked for\n  fix: ask for 1 to {beams}"));
        }
        let max_tokens = max_tokens.unwrap_or(self.search.max_tokens);
        let decoding = Decoding { max_tokens: Some(max_tokens), ..known };
        let request = prepare(&prompt.input, &decoding, &self.text, &Sampling::greedy(), self.limits.context)
            .map_err(|error| GenerateError::Invalid(error.message))?;
        let stop_tokens = [&self.search.stop_tokens[..], &request.stop.tokens].concat();
        let search = BeamSearch { max_tokens, stop_tokens, ..self.search.clone() };
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let found = beam_search(engine.as_mut(), &self.text, self.limits, &request.prompt, &search);
        let found = found.map_err(|error| match error {
            BeamError::Invalid(message) => GenerateError::Invalid(message),
            BeamError::Model(error) => GenerateError::Failed(error.to_string()),
        })?;
        let answers: Vec<Sampled> = found.into_iter().take(*samples).map(sampled).collect();
        let prompt_tokens = request.prompt.len() as u64;
        let completion_tokens = answers.iter().filter_map(|answer| answer.tokens.as_ref()).map(Vec::len).sum::<usize>();
        let completion_tokens = completion_tokens as u64;
        Ok(Generated {
            answers,
            model: self.model.clone(),
            usage: Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
            prompt_tokens: Some(request.prompt),
            ..Generated::default()
        })
    }
}

fn sampled(Hypothesis { answer, score }: Hypothesis) -> Sampled {
    Sampled {
        text: answer.text,
        finish: answer.finish.map(|finish| finish_word(finish).to_owned()),
        tokens: Some(answer.tokens.iter().map(|score| score.token).collect()),
        log_probs: Some(answer.tokens.iter().map(|score| score.log_prob).collect()),
        beam_score: Some(score),
        ..Sampled::default()
    }
}

impl Generator for BeamGenerator {
    fn identity(&self) -> String {
        let text = blake3::Hash::from_bytes(self.text.hash()).to_hex();
        format!("{}\n{text}\n{:?}", self.model, self.search)
    }

    fn generate_each(&self, prompts: &[Prompt], done: Done) {
        for (place, prompt) in prompts.iter().enumerate() {
            let result = self.answer(prompt);
            {
                let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
                match &result {
                    Ok(generated) => {
                        totals.answered += 1;
                        totals.prompt_tokens += generated.usage.prompt_tokens;
                        totals.completion_tokens += generated.usage.completion_tokens;
                    }
                    Err(_) => totals.failed += 1,
                }
            }
            done(place, result);
        }
    }

    fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
