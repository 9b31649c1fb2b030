//! The seam between tasks and models.

use serde::{Deserialize, Serialize};

/// Who says a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    System,
    User,
    Assistant,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub role: Speaker,
    pub content: String,
}

/// What stands before what is scored or generated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Context {
    /// As it is.
    Text(String),
    /// Written by the model's chat template, up to where its answer begins.
    Chat(Vec<Turn>),
}

impl Context {
    /// For people: a conversation's turns under their speakers.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Chat(turns) => {
                let turns = turns.iter().map(|turn| {
                    let role = match turn.role {
                        Speaker::System => "system",
                        Speaker::User => "user",
                        Speaker::Assistant => "assistant",
                    };
                    format!("[{role}]\n{}", turn.content)
                });
                turns.collect::<Vec<_>>().join("\n\n")
            }
        }
    }
}

/// How an answer is drawn that is not the likeliest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    pub temperature: f32,
    pub top_p: f32,
    /// The same draw of the same request gives the same answer.
    pub seed: u64,
}

/// What is asked for one item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The log-likelihood of each continuation after its context; one context alone belongs to all.
    Choices { contexts: Vec<Context>, continuations: Vec<String> },
    /// The likeliest text after a context, a token at a time, or one that is drawn.
    Generate {
        context: Context,
        stop: Vec<String>,
        max_tokens: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        draw: Option<Draw>,
    },
    /// The log-likelihood of a whole text.
    Text { text: String },
}

/// Of one continuation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// Sum over its tokens, natural logarithm.
    pub log_prob: f64,
    pub tokens: usize,
    /// Whether each token was the likeliest; where the model tells.
    pub greedy: Option<bool>,
}

/// One generated text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub text: String,
    /// The limit of tokens ended it.
    pub truncated: bool,
    pub tokens: Option<usize>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// As many as continuations; of a text, one.
    Likelihoods(Vec<Likelihood>),
    Answer(Answer),
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// The prompt does not fit the model's context.
    Overflow,
    /// No answer in time, in all attempts.
    Timeout,
    /// The server or the engine failed.
    Server,
    /// It can never be answered this way.
    Invalid,
}

/// A model that can be asked.
pub trait Answerer {
    /// Answers each request once. `done` gets its place and what came of it as soon as that is known, in any order. An error
    /// means that nothing further can be asked; what was handed to `done` stays.
    fn answer(
        &mut self,
        requests: &[Request],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure>;
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub passed: bool,
    /// `passed`, or what went wrong: a line for people.
    pub reason: String,
}

/// Runs programs that a model wrote, where they can do no harm.
pub trait CodeRunner {
    /// Runs a whole program with its tests: it passes if it ends without an error. An error is the runner's own.
    fn run(&mut self, program: &str) -> Result<Verdict, Failure>;
}

/// Says how good answers are, without knowing the right ones: a reward model.
pub trait Rater {
    /// A number for each answer to what stands before it; more is better.
    fn rate(&mut self, answers: &[(&Context, &str)]) -> Result<Vec<f64>, Failure>;
}
