//! Answers from an engine in this process.

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use camelid_text::Text;

use super::{Alternative, Done, GenerateError, Generated, Generator, Prompt, Sampled, Totals};
use crate::gather::{Gathered, finish_word, sink};
use crate::protocol::Usage;
use crate::{Event, Refusal, Request, Sampling, Service, Ticket, TokenScore, prepare};

/// Asks an engine in this process, without a network between.
pub struct ServiceGenerator {
    service: Arc<dyn Service>,
    text: Arc<Text>,
    model: String,
    sampling: Sampling,
    totals: Mutex<Totals>,
}

/// Prompts in the engine's hands at a time, so that its events need not all be held at once.
const WINDOW: usize = 512;
/// How long to wait for an engine that others keep busy.
const PAUSE: Duration = Duration::from_millis(20);

struct Running {
    place: usize,
    gathered: Gathered,
    prompt: Vec<u32>,
    scored: bool,
    weight_version: u64,
    _ticket: Box<dyn Ticket>,
}

impl ServiceGenerator {
    /// `model` names the model and its revision; `sampling` holds where a prompt says nothing.
    pub fn new(service: Arc<dyn Service>, text: Arc<Text>, model: impl Into<String>, sampling: Sampling) -> Self {
        Self { service, text, model: model.into(), sampling, totals: Mutex::default() }
    }

    fn request(&self, prompt: &Prompt) -> Result<Request, GenerateError> {
        let context = self.service.context();
        prepare(&prompt.input, &prompt.decoding, &self.text, &self.sampling, context)
            .map_err(|error| GenerateError::Invalid(error.message))
    }

    fn count(&self, result: Result<Generated, GenerateError>) -> Result<Generated, GenerateError> {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(generated) => {
                totals.answered += 1;
                totals.prompt_tokens += generated.usage.prompt_tokens;
                totals.completion_tokens += generated.usage.completion_tokens;
            }
            Err(_) => totals.failed += 1,
        }
        result
    }
}

impl Generator for ServiceGenerator {
    fn identity(&self) -> String {
        let text = blake3::Hash::from_bytes(self.text.hash()).to_hex();
        // A seed left open is drawn anew for each request.
        let defaults = Sampling { seed: 0, ..self.sampling };
        format!("{}\n{}\n{text}\n{defaults:?}", self.model, self.service.weight_version())
    }

    fn generate_each(&self, prompts: &[Prompt], done: Done) {
        let (sender, events) = channel();
        let mut running: HashMap<usize, Running> = HashMap::new();
        let mut waiting = prompts.iter().enumerate();
        let mut refused: Option<(usize, Request)> = None;
        // Numbers of attempts to submit, so that what a refused one leaves behind is not taken for a later one's.
        let mut number = 0;
        loop {
            let mut busy = false;
            while running.len() < WINDOW && !busy {
                let (place, request) = match (refused.take(), waiting.len()) {
                    (Some(again), _) => again,
                    (None, 0) => break,
                    (None, _) => match waiting.next().map(|(place, prompt)| (place, self.request(prompt))) {
                        Some((place, Ok(request))) => (place, request),
                        Some((place, Err(error))) => {
                            done(place, self.count(Err(error)));
                            continue;
                        }
                        None => break,
                    },
                };
                number += 1;
                let sender = sender.clone();
                match self.service.submit(request.clone(), sink(number, move |event| sender.send(event).is_ok())) {
                    Ok(ticket) => {
                        let (gathered, weight_version) = (Gathered::new(request.samples), ticket.weight_version());
                        let Request { prompt, prompt_log_probs: scored, .. } = request;
                        let one = Running { place, gathered, prompt, scored, weight_version, _ticket: ticket };
                        running.insert(number, one);
                    }
                    Err(Refusal::Busy { .. }) => {
                        refused = Some((place, request));
                        busy = true;
                    }
                    Err(refusal @ Refusal::Invalid { .. }) => {
                        done(place, self.count(Err(GenerateError::Invalid(refusal.to_string()))));
                    }
                    Err(refusal @ Refusal::Closed) => {
                        done(place, self.count(Err(GenerateError::Failed(refusal.to_string()))));
                    }
                }
            }
            if running.is_empty() {
                if !busy {
                    return;
                }
                std::thread::sleep(PAUSE);
                continue;
            }
            // Never an error, since this function holds a sender itself.
            let Ok((number, event)) = events.recv() else { return };
            self.hear(number, event, &mut running, done);
        }
    }

    fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServiceGenerator {
    fn hear(&self, number: usize, event: Event, running: &mut HashMap<usize, Running>, done: Done) {
        let Some(one) = running.get_mut(&number) else { return };
        let failure = one.gathered.add(event).err();
        if failure.is_none() && !one.gathered.done {
            return;
        }
        let Some(one) = running.remove(&number) else { return };
        let place = one.place;
        let result = failure.map_or_else(|| Ok(self.generated(one)), |reason| Err(GenerateError::Failed(reason)));
        done(place, self.count(result));
    }

    /// The most likely tokens at each place, where they were asked for.
    fn alternatives(&self, scores: &[TokenScore]) -> Option<Vec<Vec<Alternative>>> {
        let one = |&(token, log_prob): &(u32, f32)| Alternative { text: self.text.decode(&[token]), log_prob };
        let places = scores.iter().map(|score| score.top.iter().map(one).collect());
        scores.iter().any(|score| !score.top.is_empty()).then(|| places.collect())
    }

    fn generated(&self, one: Running) -> Generated {
        let prompt_tokens = one.prompt.len() as u64;
        let completion_tokens = one.gathered.sampled_tokens() as u64;
        let answers = one.gathered.samples.into_iter().map(|sample| Sampled {
            tokens: Some(sample.scores.iter().map(|score| score.token).collect()),
            log_probs: Some(sample.scores.iter().map(|score| score.log_prob).collect()),
            sampling_log_probs: Some(sample.scores.iter().map(|score| score.sampling_log_prob).collect()),
            alternatives: self.alternatives(&sample.scores),
            text: sample.text,
            finish: sample.finish.map(|finish| finish_word(finish).to_owned()),
            ..Sampled::default()
        });
        Generated {
            answers: answers.collect(),
            model: self.model.clone(),
            usage: Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens },
            prompt_tokens: Some(one.prompt),
            prompt_log_probs: one.scored.then(|| one.gathered.prompt.iter().map(|score| score.log_prob).collect()),
            weight_version: Some(one.weight_version),
            cached: false,
        }
    }
}
