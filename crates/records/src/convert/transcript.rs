//! HH-RLHF transcripts: `\n\nHuman: ...\n\nAssistant: ...`.

use serde_json::Map;

use super::{Fields, message};
use crate::{Conversation, Message, Provenance, Record, Role, fault::Fault};

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

/// Whether a text opens as such a transcript does and holds an answer.
pub(crate) fn is_transcript(text: &str) -> bool {
    text.trim_start().starts_with(HUMAN.trim_start()) && text.contains(ASSISTANT)
}

/// Turns of one speaker in a row, which the data has by accident, become one turn.
pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<Record, Fault> {
    let path = row.column("transcript");
    let text = row.required_string("transcript")?;
    let messages = turns(&text, path)?;
    message::check(&messages, path)?;
    Ok(Record::Conversation(Conversation { messages, tools: None, template_arguments: Map::new(), provenance }))
}

pub(super) fn turns(text: &str, path: &str) -> Result<Vec<Message>, Fault> {
    const FIX: &str = "write \"\\n\\nHuman: ...\\n\\nAssistant: ...\"";
    let Some(text) = text.trim_start().strip_prefix(HUMAN.trim_start()) else {
        return Err(Fault::at(path, "the transcript does not start with \"Human:\"", FIX));
    };
    let mut messages = Vec::new();
    let (mut role, mut start) = (Role::User, 0);
    for (at, _) in text.match_indices('\n') {
        for (mark, next) in [(HUMAN, Role::User), (ASSISTANT, Role::Assistant)] {
            if text[at..].starts_with(mark) {
                say(&mut messages, role, &text[start..at]);
                (role, start) = (next, at + mark.len());
            }
        }
    }
    say(&mut messages, role, &text[start..]);
    if messages.len() == 1 {
        return Err(Fault::at(path, "the transcript has no \"Assistant:\" turn", FIX));
    }
    Ok(messages)
}

/// Adds what one speaker says, to the speaker's turn if it is still going on.
fn say(messages: &mut Vec<Message>, role: Role, content: &str) {
    let content = content.trim();
    match messages.last_mut() {
        Some(last) if last.role == role => {
            if !last.content.is_empty() && !content.is_empty() {
                last.content.push_str("\n\n");
            }
            last.content.push_str(content);
        }
        _ => messages.push(Message::new(role, content)),
    }
}
