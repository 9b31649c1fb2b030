//! Answers to many prompts, from an engine in this process or from any OpenAI-compatible server.
//!
//! | generator | asks |
//! |---|---|
//! | [`ServiceGenerator`] | an engine in this process |
//! | [`BeamGenerator`] | a model in this process for its likeliest answers |
//! | [`RemoteGenerator`] | vLLM, SGLang, a hosted model, or [`crate::server`] |
//! | [`CachedGenerator`] | another generator, but each question only once |

mod beams;
mod cache;
mod cached;
mod pace;
mod policy_server;
mod read;
mod remote;
mod retry;
mod service;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::protocol::{Decoding, Input, Usage};

pub use beams::BeamGenerator;
pub use cache::{CacheError, ResponseCache};
pub use cached::CachedGenerator;
pub use policy_server::PolicyServer;
pub use read::read_reply;
pub use remote::{InvalidRemote, LimitField, Price, RemoteGenerator, RemoteSettings};
pub use service::ServiceGenerator;

/// What to go on with, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    pub input: Input,
    #[serde(default)]
    pub decoding: Decoding,
}

/// The answers to one prompt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Generated {
    /// As many as `samples` asked for.
    pub answers: Vec<Sampled>,
    /// The name that the model answered under.
    pub model: String,
    pub usage: Usage,
    /// The prompt's tokens, where the generator tells them.
    pub prompt_tokens: Option<Vec<u32>>,
    /// Log-probability of each token of the prompt but the first, where they were asked for and told.
    pub prompt_log_probs: Option<Vec<f32>>,
    /// Which weights answered, where the generator tells.
    pub weight_version: Option<u64>,
    /// It was found in a cache and cost nothing now.
    #[serde(skip)]
    pub cached: bool,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sampled {
    pub text: String,
    /// `stop`, `length`, or another word of the server.
    pub finish: Option<String>,
    /// Thoughts that the server cut out of the text.
    pub reasoning: Option<String>,
    /// Calls that the server cut out of the text.
    pub tool_calls: Option<Json>,
    pub tokens: Option<Vec<u32>>,
    /// Log-probability of each token under the model.
    pub log_probs: Option<Vec<f32>>,
    /// The same under the distribution that it was drawn from.
    pub sampling_log_probs: Option<Vec<f32>>,
    /// What a server says could have stood at each place, with log-probabilities, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternatives: Option<Vec<Vec<Alternative>>>,
    /// What beam search ranks by; larger is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beam_score: Option<f64>,
}

/// A token that could have stood at a place of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// As the server writes it; a token that is only a part of a character may be spelled in any way.
    pub text: String,
    /// Natural logarithm.
    pub log_prob: f32,
}

/// Why a prompt has no answers. Its message ends with what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The prompt or its decoding parameters can never be answered.
    #[error("{0}")]
    Invalid(String),
    /// A server refused it, and would again.
    #[error("the server answered {status}: {body}\n  fix: change what the server's message names")]
    Refused { status: u16, body: String },
    /// Every attempt failed in a way that might have passed.
    #[error(
        "gave up after {attempts} attempts; the last failed thus: {last}\n  fix: look at the server, or allow more attempts or time"
    )]
    Exhausted { attempts: u32, last: String },
    /// A server answered something that is no answer; `body` is its beginning.
    #[error("{reason}: {body}\n  fix: check that the address is an OpenAI-compatible server and look at its log")]
    Malformed { reason: String, body: String },
    /// The engine broke off.
    #[error("{0}")]
    Failed(String),
}

/// What a generator has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Prompts that got answers, from wherever.
    pub answered: u64,
    /// Of those, from a cache.
    pub cached: u64,
    pub failed: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Tokens that were computed, not found in a cache.
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Answers whose server did not count their tokens.
    pub unmetered: u64,
    /// In the currency of the price; 0 without one.
    pub cost: f64,
    /// Answers that could not be written to the cache.
    pub unsaved: u64,
}

/// Something that answers prompts.
pub trait Generator: Send + Sync {
    /// All that decides an answer beside the prompt: the model, its revision or weights, its template, its defaults.
    /// Answers of generators with one identity can stand for each other.
    fn identity(&self) -> String;

    /// Answers each prompt once. `done` gets a prompt's place and what came of it as soon as that is known, in any order,
    /// exactly once for each.
    fn generate_each(&self, prompts: &[Prompt], done: Done);

    /// Since the start.
    fn totals(&self) -> Totals;

    /// Answers all prompts, in their order.
    fn generate(&self, prompts: &[Prompt]) -> Vec<Result<Generated, GenerateError>> {
        let mut answers: Vec<_> = prompts.iter().map(|_| None).collect();
        self.generate_each(prompts, &mut |place, answer| answers[place] = Some(answer));
        let missing = || Err(GenerateError::Failed("the generator forgot this prompt\n  fix: report it".into()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
    }
}

/// Takes a prompt's place and what came of it.
pub type Done<'a> = &'a mut (dyn FnMut(usize, Result<Generated, GenerateError>) + Send);

/// Characters of a server's body that an error shows.
const SHOWN: usize = 200;

/// The beginning of a body, on one line.
fn shown(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
    text.replace(['\n', '\r'], " ")
}

impl Generator for Box<dyn Generator> {
    fn identity(&self) -> String {
        (**self).identity()
    }

    fn generate_each(&self, prompts: &[Prompt], done: Done) {
        (**self).generate_each(prompts, done);
    }

    fn totals(&self) -> Totals {
        (**self).totals()
    }
}
