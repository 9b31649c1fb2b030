//! Which bytes of a rendered conversation are learned.
//!
//! A conversation is rendered once, as a whole. The template's own header before an assistant's answer and its
//! end-of-turn token are learned from two probes when the model is opened; each header in the text then starts one
//! answer. Where headers and answers do not match one to one (templates that rewrite history), the text up to each
//! message is rendered as well and must be a prefix of the whole; if it is not, the record is refused, because then no
//! span is certain.

use std::ops::Range;

use camelid_records::{Conversation, Message, Role};
use serde_json::Map;
use tokenizers::Tokenizer;

use crate::Untrainable;
use crate::template::ChatTemplate;

/// How a template surrounds an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TurnShape {
    /// What stands before an answer, such as `<|im_start|>assistant\n`.
    pub(crate) header: String,
    /// The special token after it, such as `<|im_end|>`.
    pub(crate) end_of_turn: Option<String>,
    pub(crate) end_of_turn_id: Option<u32>,
}

impl TurnShape {
    /// Renders a short conversation with and without its answer. `None` if the template refuses it.
    pub(crate) fn probe(template: &ChatTemplate, tokenizer: &Tokenizer) -> Option<Self> {
        const ANSWER: &str = "camelidprobe";
        let asked = [Message::new(Role::User, "question")];
        let answered = [asked[0].clone(), Message::new(Role::Assistant, ANSWER)];
        let render = |messages: &[Message], prompt| template.render(messages, None, &Map::new(), prompt).ok();
        let (bare, prompted, whole) = (render(&asked, false)?, render(&asked, true)?, render(&answered, false)?);
        let before = whole.find(ANSWER)?;
        // Without a generation prompt in the template, whatever stands before the answer is its header.
        let header = match prompted.strip_prefix(&bare) {
            Some(added) if !added.is_empty() => added.to_owned(),
            _ => whole.get(bare.len()..before).unwrap_or_default().to_owned(),
        };
        let after = &whole[before + ANSWER.len()..];
        let special = tokenizer
            .get_added_tokens_decoder()
            .into_iter()
            .filter_map(|(id, token)| after.find(&token.content).map(|place| (place, id, token.content)))
            .min_by(|a, b| a.0.cmp(&b.0).then(b.2.len().cmp(&a.2.len())));
        let (end_of_turn_id, end_of_turn) = special.map(|(_, id, content)| (id, content)).unzip();
        Some(Self { header, end_of_turn, end_of_turn_id })
    }
}

/// A learned span of the rendered text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LearnedSpan {
    pub(crate) bytes: Range<usize>,
    pub(crate) weight: f32,
}

/// Finds the learned spans. `weights` has one entry for each message; messages of weight 0 are context.
pub(crate) fn learned_spans(
    conversation: &Conversation,
    weights: &[f32],
    rendered: &str,
    turns: Option<&TurnShape>,
    render_prefix: &dyn Fn(usize, bool) -> Result<String, Untrainable>,
) -> Result<Vec<LearnedSpan>, Untrainable> {
    let messages = &conversation.messages;
    let starts = turns.and_then(|turns| starts_by_header(messages, rendered, turns));
    let mut spans = Vec::new();
    for (index, message) in messages.iter().enumerate().filter(|&(index, _)| weights[index] > 0.0) {
        let start = match (&starts, message.role) {
            (Some(starts), Role::Assistant) => starts[index],
            _ => start_by_prefix(index, message, rendered, render_prefix)?,
        };
        let end = end_of_answer(index, message, &rendered[start..], turns)? + start;
        spans.push(LearnedSpan { bytes: start..end, weight: weights[index] });
    }
    Ok(spans)
}

/// Where each assistant message starts (0 for others), if headers and assistant messages match one to one.
fn starts_by_header(messages: &[Message], rendered: &str, turns: &TurnShape) -> Option<Vec<usize>> {
    if turns.header.trim().is_empty() {
        return None;
    }
    let mut headers = rendered.match_indices(&turns.header).map(|(place, header)| place + header.len());
    let mut starts = Vec::with_capacity(messages.len());
    for message in messages {
        if message.role != Role::Assistant {
            starts.push(0);
            continue;
        }
        let start = headers.next()?;
        if !rendered[start..].trim_start().starts_with(message.content.trim()) {
            return None;
        }
        starts.push(start);
    }
    // A header too many means that one of them is somebody's text.
    headers.next().is_none().then_some(starts)
}

fn start_by_prefix(
    index: usize,
    message: &Message,
    rendered: &str,
    render_prefix: &dyn Fn(usize, bool) -> Result<String, Untrainable>,
) -> Result<usize, Untrainable> {
    let before = render_prefix(index, message.role == Role::Assistant)?;
    let uncertain = || {
        Untrainable::new(
            format!("the chat template rewrites what comes before message {}, so its text cannot be placed", index + 1),
            "split the conversation so that this message is the last, or use a template that only appends",
        )
    };
    let rest = rendered.strip_prefix(before.as_str()).ok_or_else(uncertain)?;
    if message.role == Role::Assistant {
        return Ok(before.len());
    }
    let content = message.content.trim();
    rest.find(content).map(|place| before.len() + place).ok_or_else(uncertain)
}

/// Bytes from the answer's start to the end of its end-of-turn token.
fn end_of_answer(index: usize, message: &Message, rest: &str, turns: Option<&TurnShape>) -> Result<usize, Untrainable> {
    let content = message.content.trim();
    let Some(after) = rest.find(content).map(|place| place + content.len()) else {
        return Err(Untrainable::new(
            format!("the chat template changes the text of message {}", index + 1),
            "use a template that keeps the assistant's words, or change the message",
        ));
    };
    let terminator = turns.and_then(|turns| turns.end_of_turn.as_deref());
    let found = terminator.and_then(|token| rest[after..].find(token).map(|place| after + place + token.len()));
    found.ok_or_else(|| {
        Untrainable::new(
            format!("no end-of-turn token follows message {}: the model would never learn to stop", index + 1),
            "use a chat template that ends each answer with a special token",
        )
    })
}
