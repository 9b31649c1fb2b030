//! What a server answers, whole or piece by piece, on either endpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;

/// A reply or a piece of a streamed one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub object: String,
    /// Seconds since 1970.
    #[serde(skip_deserializing)]
    pub created: u64,
    #[serde(deserialize_with = "or_default")]
    pub model: String,
    #[serde(deserialize_with = "or_default")]
    pub choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Of a chat whose tokens were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_token_ids: Option<Vec<u32>>,
    /// vLLM reports a chat's prompt here, a completion's in its choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs: Option<Vec<Option<BTreeMap<String, PromptLogProb>>>>,
    /// Which weights answered; our own addition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_version: Option<u64>,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    #[serde(deserialize_with = "or_default")]
    pub index: usize,
    /// Of a chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<ReplyMessage>,
    /// Of a streamed chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<ReplyMessage>,
    /// Of a completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    pub logprobs: Option<LogProbs>,
    #[serde(deserialize_with = "word")]
    pub finish_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_token_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_logprobs: Option<Vec<Option<BTreeMap<String, PromptLogProb>>>>,
}

/// What the assistant said, or the next piece of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplyMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Thoughts that a server has cut out of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The newer name; some servers send both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Json>,
}

/// Log-probabilities: `content` of a chat, the other lists of a completion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogProbs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<TokenLogProb>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_logprobs: Option<Vec<Option<f32>>>,
    /// SGLang writes null where nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<Vec<Option<BTreeMap<String, f32>>>>,
    /// Where each token starts, in characters of the choice's text; SGLang writes -1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_offset: Option<Vec<i64>>,
}

/// A token of a chat's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenLogProb {
    pub token: String,
    pub logprob: f32,
    /// Null where the token is only a part of a character.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
    #[serde(default, deserialize_with = "or_default")]
    pub top_logprobs: Vec<TopLogProb>,
}

/// A token that could have stood there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopLogProb {
    pub token: String,
    pub logprob: f32,
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
}

/// A token of the prompt, or one that could have stood there, as vLLM reports it under the token's number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptLogProb {
    pub logprob: f32,
    /// 1 is the most likely token; null where it is not among those reported.
    #[serde(default)]
    pub rank: Option<usize>,
    #[serde(default)]
    pub decoded_token: Option<String>,
}

/// Counts of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    #[serde(deserialize_with = "or_default")]
    pub prompt_tokens: u64,
    #[serde(deserialize_with = "or_default")]
    pub completion_tokens: u64,
    #[serde(deserialize_with = "or_default")]
    pub total_tokens: u64,
}

/// JSON has no infinity; this stands for it, as in OpenAI's and vLLM's replies.
pub fn least_log_prob(log_prob: f32) -> f32 {
    log_prob.max(-9999.0)
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A word, or an object whose `type` is the word, as SGLang's own interface writes it.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Json::deserialize(deserializer)? {
        Json::String(word) => Some(word),
        Json::Object(fields) => fields.get("type").and_then(Json::as_str).map(str::to_owned),
        _ => None,
    })
}
