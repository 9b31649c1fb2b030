//! The OpenAI-compatible language of servers and clients: what a request may say and what a reply looks like.
//!
//! Beside OpenAI's own fields it knows those that vLLM and SGLang added and others came to use: `top_k`, `min_p`,
//! `repetition_penalty`, `prompt_logprobs`, `guided_choice`, `return_token_ids` and so on. A field of a request that
//! nobody knows is ignored, as those servers do; one that is known and would change the answer, but cannot be followed,
//! is an error that names it. Replies are read leniently: unknown fields and nulls are fine.

mod body;
mod error;
mod fields;
mod messages;
mod reply;
mod write;

pub use body::{Body, Decoding, Endpoint, Input, MOST_LOG_PROBS, MOST_SAMPLES, Output};
pub use error::ApiError;
pub use reply::{
    Choice, LogProbs, PromptLogProb, Reply, ReplyMessage, TokenLogProb, TopLogProb, Usage, least_log_prob,
};
pub use write::body_json;
