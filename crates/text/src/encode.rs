//! From a record to tokens and the weight with which each is learned.

use camelid_records::{Conversation, Record, Role};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::spans::{LearnedSpan, learned_spans};
use crate::{Encoded, Text, TextError, Untrainable};

/// Whose turns are learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learn {
    /// Every assistant turn.
    Assistant,
    /// The last assistant turn only.
    LastAssistant,
    /// The turns of these roles.
    Roles(Vec<Role>),
    /// Every token, headers and user turns included.
    Everything,
}

/// What is learned of a record. A message's own weight overrides the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanPolicy {
    pub learn: Learn,
    /// Learn the prompt of prompt-completion records too.
    pub train_on_prompt: bool,
}

impl Default for SpanPolicy {
    fn default() -> Self {
        Self { learn: Learn::Assistant, train_on_prompt: false }
    }
}

/// What happens to a record with too many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlong {
    /// It is rejected, with its length.
    Reject,
    /// Its head is kept, if that still trains something.
    Truncate,
}

/// The records that can be trained on, and why the others cannot.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedSet {
    /// In the order of the records.
    pub sequences: Vec<Encoded>,
    pub rejects: Vec<(usize, Untrainable)>,
    /// The tokens came from the cache.
    pub cache_hit: bool,
}

/// Encodes all records in parallel, each rendered once; `cache_folder` keeps the result under the hash of everything
/// that it depends on.
pub fn encode_all(
    text: &Text,
    records: &[Record],
    policy: &SpanPolicy,
    max_length: usize,
    overlong: Overlong,
    cache_folder: Option<&std::path::Path>,
) -> Result<EncodedSet, TextError> {
    let key = cache::key(text, records, policy, max_length, overlong);
    if let Some(found) = cache_folder.and_then(|folder| cache::load(folder, &key)) {
        return Ok(found);
    }
    let outcomes: Vec<_> = records
        .par_iter()
        .enumerate()
        .map(|(index, record)| {
            let mut encoded = text.encode_record(record, policy, max_length, overlong)?;
            encoded.record = index as u32;
            Ok(encoded)
        })
        .collect();
    let mut set = EncodedSet { sequences: Vec::new(), rejects: Vec::new(), cache_hit: false };
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(encoded) => set.sequences.push(encoded),
            Err(reason) => set.rejects.push((index, reason)),
        }
    }
    if let Some(folder) = cache_folder {
        cache::store(folder, &key, &set)?;
    }
    Ok(set)
}

impl Text {
    /// Encodes one record (as number 0), or says why it cannot be trained on.
    pub fn encode_record(
        &self,
        record: &Record,
        policy: &SpanPolicy,
        max_length: usize,
        overlong: Overlong,
    ) -> Result<Encoded, Untrainable> {
        let mut encoded = match record {
            Record::Conversation(conversation) => self.encode_conversation(conversation, policy)?,
            Record::Completion { prompt, completion, .. } => {
                if completion.trim().is_empty() {
                    return Err(Untrainable::new("the completion is empty", "remove the record or fill it"));
                }
                let learned = if policy.train_on_prompt { 0 } else { prompt.len() };
                self.encode_plain(&format!("{prompt}{completion}"), learned)?
            }
            Record::Text { text, .. } => self.encode_plain(text, 0)?,
        };
        if let Some(first) = encoded.weights.first_mut() {
            *first = 0.0;
        }
        if encoded.tokens.len() > max_length {
            if overlong == Overlong::Reject {
                return Err(Untrainable::new(
                    format!("{} tokens, the limit is {max_length}", encoded.tokens.len()),
                    "raise max_length, shorten the record, or set overlong = \"truncate\"",
                ));
            }
            encoded.tokens.truncate(max_length);
            encoded.weights.truncate(max_length);
        }
        if encoded.weights.iter().all(|&weight| weight == 0.0) {
            let cut = overlong == Overlong::Truncate && encoded.tokens.len() == max_length;
            return Err(if cut {
                Untrainable::new(
                    format!("nothing to learn is left in its first {max_length} tokens"),
                    "raise max_length, or remove the record",
                )
            } else {
                Untrainable::new("no token of it is learned", "check `learn` and the weights of its messages")
            });
        }
        Ok(encoded)
    }

    /// Everything from byte `learned_from` on is learned, and the end-of-text token after it.
    fn encode_plain(&self, text: &str, learned_from: usize) -> Result<Encoded, Untrainable> {
        if text.trim().is_empty() {
            return Err(Untrainable::new("the text is empty", "remove the record or fill it"));
        }
        let span = LearnedSpan { bytes: learned_from..text.len(), weight: 1.0 };
        let mut encoded = self.place(text, &[span])?;
        if let Some(eos) = self.eos().filter(|eos| encoded.tokens.last() != Some(eos)) {
            encoded.tokens.push(eos);
            encoded.weights.push(1.0);
        }
        Ok(encoded)
    }

    fn encode_conversation(&self, conversation: &Conversation, policy: &SpanPolicy) -> Result<Encoded, Untrainable> {
        let weights = message_weights(conversation, policy)?;
        let render = |count: usize, prompt: bool| {
            let tools = conversation.tools.as_ref();
            self.render_chat(&conversation.messages[..count], tools, &conversation.template_arguments, prompt)
                .map_err(|error| Untrainable::new(format!("{}: {}", error.place, error.reason), error.fix))
        };
        let rendered = render(conversation.messages.len(), false)?;
        let spans = if policy.learn == Learn::Everything {
            vec![LearnedSpan { bytes: 0..rendered.trim_end().len(), weight: 1.0 }]
        } else {
            learned_spans(conversation, &weights, &rendered, self.turns.as_ref(), &render)?
        };
        self.place(&rendered, &spans)
    }

    /// Tokens of the whole text; a token belongs to the span in which it ends.
    fn place(&self, text: &str, spans: &[LearnedSpan]) -> Result<Encoded, Untrainable> {
        let placed = self.encode_placed(text).map_err(|error| Untrainable::new(error.reason, error.fix))?;
        let mut tokens = Vec::with_capacity(placed.len() + 2);
        let mut weights = Vec::with_capacity(placed.len() + 2);
        if self.adds_bos() && placed.first().map(|token| token.id) != self.bos() {
            tokens.extend(self.bos());
            weights.extend(self.bos().map(|_| 0.0));
        }
        let mut span = spans.iter().peekable();
        for token in placed {
            while span.next_if(|span| span.bytes.end < token.end).is_some() {}
            let weight = span.peek().filter(|span| span.bytes.start < token.end).map_or(0.0, |span| span.weight);
            tokens.push(token.id);
            weights.push(weight);
        }
        if self.bos().is_some() && tokens.len() > 1 && tokens[0] == tokens[1] && Some(tokens[0]) == self.bos() {
            let fix = "remove the BOS token from the text, or from the chat template";
            return Err(Untrainable::new("the text starts with two BOS tokens", fix));
        }
        Ok(Encoded { tokens, weights, record: 0 })
    }
}

/// The weight of each message's tokens.
fn message_weights(conversation: &Conversation, policy: &SpanPolicy) -> Result<Vec<f32>, Untrainable> {
    let messages = &conversation.messages;
    let last_assistant = messages.iter().rposition(|message| message.role == Role::Assistant);
    let learned = |index: usize, role: Role| match &policy.learn {
        Learn::Assistant => role == Role::Assistant,
        Learn::LastAssistant => Some(index) == last_assistant,
        Learn::Roles(roles) => roles.contains(&role),
        Learn::Everything => true,
    };
    let weights: Vec<f32> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| message.weight.unwrap_or(if learned(index, message.role) { 1.0 } else { 0.0 }))
        .collect();
    if weights.iter().all(|&weight| weight == 0.0) {
        return Err(match last_assistant {
            None => Untrainable::new("there is no assistant turn", "remove the record, or set `learn` to other roles"),
            Some(_) => Untrainable::new("no message of it is learned", "check `learn` and the weights of its messages"),
        });
    }
    let empty = messages.iter().zip(&weights).position(|(message, &weight)| {
        weight > 0.0 && message.content.trim().is_empty() && message.tool_calls.is_none()
    });
    match empty {
        Some(index) if policy.learn != Learn::Everything => Err(Untrainable::new(
            format!("message {} is to be learned but is empty", index + 1),
            "remove the record, fill the message, or give it weight 0",
        )),
        _ => Ok(weights),
    }
}
