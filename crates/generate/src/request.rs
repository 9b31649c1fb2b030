//! What is asked of a generation engine, and what it answers: the seam between engines and those who use them.

use crate::{Finish, Sampling};

/// A prompt and how to go on with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// At least one token.
    pub prompt: Vec<u32>,
    /// Samples of this prompt; they share its computation. Sample `i` draws from its own stream of `(seed, i)`, so that
    /// it is the same whatever else runs in the batch and however many samples are asked for.
    pub samples: usize,
    /// Tokens of one sample at most; 0 only scores the prompt.
    pub max_tokens: usize,
    pub sampling: Sampling,
    pub stop: StopRules,
    /// Only these continuations may be produced, each followed by the end of the answer; empty allows everything.
    pub choices: Vec<Vec<u32>>,
    /// How many of the most likely tokens to report at each place.
    pub top_log_probs: usize,
    /// Report the log-probability of each prompt token but the first.
    pub prompt_log_probs: bool,
}

/// What ends a sample before its token limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopRules {
    /// The text ends before the first of these that appears in it.
    pub strings: Vec<String>,
    /// Beside the model's own stop tokens.
    pub tokens: Vec<u32>,
    /// Do not stop at the model's own stop tokens.
    pub ignore_end: bool,
}

/// A token that was produced or scored.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenScore {
    pub token: u32,
    /// Natural log-probability under the model: temperature 1, nothing cut, no penalty. What training computes.
    pub log_prob: f32,
    /// Natural log-probability under the distribution that it was drawn from.
    pub sampling_log_prob: f32,
    /// The model's most likely tokens, best first.
    pub top: Vec<(u32, f32)>,
}

/// What happens to a request, in order. The last event is `Done` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Scores of the prompt's tokens from the second on, where they were asked for.
    Prompt(Vec<TokenScore>),
    /// A sample grew by a token; `text` is what became certain, often empty, and holds no part of a stop string.
    Token { sample: usize, score: TokenScore, text: String },
    /// A sample ended. `text` is what was held back until now.
    Finished { sample: usize, finish: Finish, text: String },
    /// Every sample has ended.
    Done,
    /// The engine could not go on with this request.
    Failed(String),
}

/// Why a request was not accepted. Nothing was computed for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It can never be served: empty prompt, too long for the context or the cache, a parameter out of range.
    #[error("{message}")]
    Invalid {
        /// What the OpenAI interface calls the part at fault.
        field: &'static str,
        message: String,
    },
    /// The queue is full now.
    #[error("{waiting} requests are waiting already\n  fix: try again later")]
    Busy { waiting: usize },
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    Closed,
}

/// Takes the events of one request, on the engine's thread: it must not block. It returns whether somebody still listens;
/// `false` cancels the request.
pub type Sink = Box<dyn FnMut(Event) -> bool + Send>;

/// An accepted request. Dropping it cancels what is left of it.
pub trait Ticket: Send {
    /// Which weights answer it; see [`Service::weight_version`]. Fixed when it was accepted, whatever is loaded after it.
    fn weight_version(&self) -> u64 {
        0
    }
}

/// Figures of a running engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests that wait for a place in the batch.
    pub waiting: usize,
    /// Samples in the batch.
    pub running: usize,
    /// Tokens of cache in use, and in all.
    pub cache_used: usize,
    pub cache_size: usize,
    /// Since the start.
    pub prompt_tokens: u64,
    pub cached_prompt_tokens: u64,
    pub sampled_tokens: u64,
}

/// An engine that takes requests from any thread and works on all of them together.
pub trait Service: Send + Sync {
    /// Queues a request. Its events go to `events`.
    fn submit(&self, request: Request, events: Sink) -> Result<Box<dyn Ticket>, Refusal>;
    fn load(&self) -> Load;
    /// Tokens of prompt and answer together at most.
    fn context(&self) -> usize;
    /// Requests that may wait at most.
    fn queue(&self) -> usize {
        usize::MAX
    }
    /// Whether it has ended, of its own accord or not, and accepts nothing more.
    fn is_closed(&self) -> bool {
        false
    }
    /// Which weights answer now; every update of the weights gives a larger number.
    fn weight_version(&self) -> u64 {
        0
    }
    /// Accepts nothing more, finishes what was accepted, and returns when all of it is answered.
    fn drain(&self);
}
