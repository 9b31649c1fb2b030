use std::collections::HashMap;
use std::sync::Arc;

use camelid_eval::task::{Answer, Answerer, Context, Failure, FailureKind, Likelihood, Reply, Request};
use camelid_generate::client::{GenerateError, Generated, Generator, Prompt, RemoteGenerator};
use camelid_generate::protocol::{Decoding, Input};
use serde_json::Map;

use super::message;

/// A model behind an OpenAI-compatible server.
///
/// Log-likelihoods need `prompt_logprobs`, which vLLM, SGLang and `camelid serve` report. The server says how many tokens a
/// context has, so that no tokenizer is needed here.
pub(crate) struct Remote {
    pub(crate) generator: Arc<RemoteGenerator>,
}

/// Requests scored between two reports, so that an interruption loses little.
const SCORED_AT_ONCE: usize = 64;

impl Answerer for Remote {
    fn answer(
        &mut self,
        requests: &[Request],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure> {
        self.generate_all(requests, done);
        for (part, start) in requests.chunks(SCORED_AT_ONCE).zip((0..).step_by(SCORED_AT_ONCE)) {
            self.score_all(part, &mut |place, reply| done(start + place, reply));
        }
        Ok(())
    }
}

impl Remote {
    fn generate_all(&self, requests: &[Request], done: &mut dyn FnMut(usize, Result<Reply, Failure>)) {
        let (mut prompts, mut owners) = (Vec::new(), Vec::new());
        for (place, request) in requests.iter().enumerate() {
            let Request::Generate { context, stop, max_tokens, draw } = request else { continue };
            let input = match context {
                Context::Text(text) => Input::Text(text.clone()),
                Context::Chat(turns) => Input::Chat {
                    messages: turns.iter().map(message).collect(),
                    tools: None,
                    template_arguments: Map::new(),
                },
            };
            let decoding = Decoding {
                max_tokens: Some(*max_tokens),
                temperature: Some(draw.map_or(0.0, |draw| draw.temperature)),
                top_p: draw.map(|draw| draw.top_p),
                seed: draw.map(|draw| draw.seed),
                stop: stop.clone(),
                ..Decoding::default()
            };
            prompts.push(Prompt { input, decoding });
            owners.push(place);
        }
        self.ask(&prompts, &mut |index, reply| done(owners[index], reply.and_then(|generated| answer(&generated))));
    }

    fn score_all(&self, requests: &[Request], done: &mut dyn FnMut(usize, Result<Reply, Failure>)) {
        let scored = requests.iter().enumerate().filter(|(_, request)| !matches!(request, Request::Generate { .. }));
        let (mut texts, mut places) = (HashMap::new(), Vec::new());
        let mut open = Vec::new();
        for (place, request) in scored {
            match pairs(request) {
                Err(failure) => done(place, Err(failure)),
                Ok(pairs) => open.push((place, pairs)),
            }
        }
        for text in open.iter().flat_map(|(_, pairs)| pairs.iter().flat_map(|(before, whole)| [before, whole])) {
            if !text.is_empty() && !texts.contains_key(text) {
                texts.insert(text.clone(), texts.len());
                places.push(text.clone());
            }
        }
        let prompts: Vec<Prompt> = places.iter().map(|text| scoring(text)).collect();
        let mut told: Vec<Result<Vec<f32>, Failure>> = vec![Err(unreported()); prompts.len()];
        self.ask(&prompts, &mut |index, reply| {
            told[index] = reply.and_then(|generated| generated.prompt_log_probs.ok_or_else(unreported));
        });
        let of = |text: &String| match texts.get(text) {
            None => Ok(&[][..]),
            Some(&index) => told[index].as_deref().map_err(Clone::clone),
        };
        for (place, pairs) in &open {
            let likelihoods = pairs.iter().map(|(before, whole)| {
                // Of the first token of all there is no log-probability, in the context and in the whole.
                let (before, whole) = (of(before)?.len(), of(whole)?);
                let own = whole.get(before..).unwrap_or_default();
                let log_prob = own.iter().map(|&log_prob| f64::from(log_prob)).sum();
                Ok(Likelihood { log_prob, tokens: own.len(), greedy: None })
            });
            done(*place, likelihoods.collect::<Result<Vec<_>, Failure>>().map(Reply::Likelihoods));
        }
    }

    /// Asks all prompts. Replies are handed on as they come, on the caller's thread.
    fn ask(&self, prompts: &[Prompt], done: &mut dyn FnMut(usize, Result<Generated, Failure>)) {
        let (sender, replies) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                self.generator.generate_each(prompts, &mut |index, reply: Result<Generated, GenerateError>| {
                    // The receiver outlives this thread.
                    let _ = sender.send((index, reply));
                });
            });
            for (index, reply) in replies {
                done(index, reply.map_err(|error| failure(&error)));
            }
        });
    }
}

/// A context and the context with a continuation; of a text, nothing and the text.
fn pairs(request: &Request) -> Result<Vec<(String, String)>, Failure> {
    match request {
        Request::Text { text } => Ok(vec![(String::new(), text.clone())]),
        Request::Generate { .. } => Ok(Vec::new()),
        Request::Choices { contexts, continuations } => {
            let pairs = continuations.iter().enumerate().map(|(index, continuation)| {
                let context = contexts.get(index).or_else(|| contexts.first());
                let Some(Context::Text(context)) = context else {
                    let message = "a server that writes the chat template itself cannot score what follows it";
                    return Err(Failure { kind: FailureKind::Invalid, message: message.into() });
                };
                Ok((context.trim_end().to_owned(), format!("{context}{continuation}")))
            });
            pairs.collect()
        }
    }
}

/// Asks for the log-probabilities of a text. Not every server accepts an answer of no tokens.
fn scoring(text: &str) -> Prompt {
    let decoding =
        Decoding { max_tokens: Some(1), temperature: Some(0.0), prompt_log_probs: Some(0), ..Decoding::default() };
    Prompt { input: Input::Text(text.to_owned()), decoding }
}

fn unreported() -> Failure {
    let message = "the server reports no log-probabilities of prompts (prompt_logprobs)";
    Failure { kind: FailureKind::Invalid, message: message.into() }
}

fn answer(generated: &Generated) -> Result<Reply, Failure> {
    let sampled = generated
        .answers
        .first()
        .ok_or_else(|| Failure { kind: FailureKind::Server, message: "the server sent no answer".into() })?;
    let truncated = sampled.finish.as_deref() == Some("length");
    let tokens = Some(generated.usage.completion_tokens as usize).filter(|&tokens| tokens > 0);
    Ok(Reply::Answer(Answer { text: sampled.text.clone(), truncated, tokens }))
}

fn failure(error: &GenerateError) -> Failure {
    let message = error.to_string();
    let kind = match error {
        GenerateError::Refused { .. } if message.contains("context") => FailureKind::Overflow,
        GenerateError::Invalid(_) | GenerateError::Refused { .. } => FailureKind::Invalid,
        GenerateError::Exhausted { .. } if message.contains("timed out") || message.contains("timeout") => {
            FailureKind::Timeout
        }
        GenerateError::Exhausted { .. } | GenerateError::Malformed { .. } | GenerateError::Failed(_) => {
            FailureKind::Server
        }
    };
    Failure { kind, message }
}
