//! A prompt and its completion: raw strings, or two parts of one conversation.

use serde_json::Value;

use super::{Fields, message, wrong_type};
use crate::{Conversation, Provenance, Record, fault::Fault, rows::kind};

/// Strings become [`Record::Completion`]. Lists of messages become one conversation, whose prompt turns get weight 0
/// where they state none themselves.
pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<Record, Fault> {
    let (prompt_path, completion_path) = (row.column("prompt"), row.column("completion"));
    match (row.required("prompt")?, row.required("completion")?) {
        (Value::String(prompt), Value::String(completion)) if !is_list(&completion) || !is_list(&prompt) => {
            if completion.is_empty() {
                let fix = "write the completion, or remove the row";
                return Err(Fault::at(completion_path, "the completion is empty", fix));
            }
            Ok(Record::Completion { prompt, completion, provenance })
        }
        (prompt @ (Value::Array(_) | Value::String(_)), completion @ (Value::Array(_) | Value::String(_)))
            if prompt.is_array() == completion.is_array() =>
        {
            let mut messages = message::messages(prompt, prompt_path)?;
            for message in &mut messages {
                message.weight.get_or_insert(0.0);
            }
            let completion = message::messages(completion, completion_path)?;
            message::check(&completion, completion_path)?;
            messages.extend(completion);
            message::check(&messages, prompt_path)?;
            let tools = row.tools()?;
            let template_arguments = row.template_arguments()?;
            Ok(Record::Conversation(Conversation { messages, tools, template_arguments, provenance }))
        }
        (prompt, _) if !prompt.is_string() && !prompt.is_array() => Err(wrong_type(prompt_path, &prompt, WANTED)),
        (_, completion) if !completion.is_string() && !completion.is_array() => {
            Err(wrong_type(completion_path, &completion, WANTED))
        }
        (prompt, completion) => Err(Fault::at(
            prompt_path,
            format!("the prompt is {}, the completion {}", kind(&prompt), kind(&completion)),
            "make both strings, or both lists of messages",
        )),
    }
}

const WANTED: &str = "a string or a list of messages";

/// A list of messages written as JSON text, as CSV must.
fn is_list(text: &str) -> bool {
    text.trim_start().starts_with("[{") && serde_json::from_str::<Vec<Value>>(text).is_ok()
}
