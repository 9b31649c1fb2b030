//! What of a record is learned.

use camelid_records::{Conversation, Message, Role};
use serde::{Deserialize, Serialize};

use crate::error::Fault;

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
    /// Every token, the template's own text and other roles' turns included.
    Everything,
}

/// What is learned of a record. A message's own weight overrides the policy for that message.
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
    /// Its first `max_length` tokens are kept, if some of them are learned; the end of its last turn is lost.
    Truncate,
}

/// The weight of each message, or why nothing of the conversation could be learned.
pub(crate) fn message_weights(conversation: &Conversation, policy: &SpanPolicy) -> Result<Vec<f32>, Fault> {
    let messages = &conversation.messages;
    let last_assistant = messages.iter().rposition(|message| message.role == Role::Assistant);
    let by_policy = |index: usize, role: Role| match &policy.learn {
        Learn::Assistant => role == Role::Assistant,
        Learn::LastAssistant => Some(index) == last_assistant,
        Learn::Roles(roles) => roles.contains(&role),
        Learn::Everything => true,
    };
    let weight = |(index, message): (usize, &Message)| {
        message.weight.unwrap_or(if by_policy(index, message.role) { 1.0 } else { 0.0 })
    };
    let weights: Vec<f32> = messages.iter().enumerate().map(weight).collect();
    if weights.iter().all(|&weight| weight == 0.0) {
        return Err(match (last_assistant, &policy.learn) {
            (None, Learn::Assistant | Learn::LastAssistant) => Fault::new(
                "has no assistant turn",
                "remove the record, add the answer, or let `learn` name other roles",
            ),
            _ => Fault::new("has no turn that is learned", "change `learn`, or the weights of its messages"),
        });
    }
    for (index, message) in messages.iter().enumerate().filter(|(index, _)| weights[*index] != 0.0) {
        let learned_by_choice = message.weight.is_some() || policy.learn != Learn::Everything;
        if learned_by_choice && message.content.trim().is_empty() && !has_calls(message) {
            return Err(Fault::new(
                format!("message {} ({}) is to be learned but empty", index + 1, message.role),
                "remove the record, fill the message, or give it weight 0",
            ));
        }
        if !weights[index].is_finite() || weights[index] < 0.0 {
            return Err(Fault::new(
                format!("message {} has weight {}", index + 1, weights[index]),
                "use 0 for a turn that is not learned, 1 for one that is, or a positive factor",
            ));
        }
    }
    Ok(weights)
}

/// Whether the message calls tools, and so says something without text.
pub(crate) fn has_calls(message: &Message) -> bool {
    match &message.tool_calls {
        Some(serde_json::Value::Array(calls)) => !calls.is_empty(),
        Some(other) => !other.is_null(),
        None => false,
    }
}
