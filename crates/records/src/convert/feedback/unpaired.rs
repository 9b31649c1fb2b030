//! A response that is good or bad.

use super::{Shared, said, truth};
use crate::convert::{Fields, message};
use crate::{Feedback, PreferenceRecord, Provenance, Role, fault::Fault};

/// `prompt` and `completion`, or `messages` whose last turn is the response.
pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<PreferenceRecord, Fault> {
    let label_path = row.column("label");
    let desirable = truth(&row.required("label")?, label_path)?;
    let messages_path = row.column("messages");
    let messages = row.take("messages").map(|value| message::messages(value, messages_path)).transpose()?;
    let prompt_path = row.column("prompt");
    let prompt = row.take("prompt").map(|value| said(value, prompt_path)).transpose()?;
    let completion_path = row.column("completion");
    let completion = row.take("completion").map(|value| said(value, completion_path)).transpose()?;
    let shared = Shared::take(&mut row, provenance.clone())?;
    let record = match (messages, prompt, completion) {
        (Some(mut messages), _, None) => {
            let response = messages.pop().filter(|last| last.role == Role::Assistant);
            let Some(response) = response else {
                let fix = "end the conversation with the answer that the label is about";
                return Err(Fault::at(messages_path, "the last turn is not the assistant's", fix));
            };
            shared.conversation(messages, vec![response], messages_path)?
        }
        (_, Some(prompt), Some(completion)) => shared.record(&prompt, completion, completion_path)?,
        (_, None, Some(_)) => return Err(Fault::at(prompt_path, "missing or null", "fill it in, or remove the row")),
        (None, _, None) => {
            return Err(Fault::at(completion_path, "missing or null", "fill it in, or remove the row"));
        }
    };
    Ok(PreferenceRecord::Unpaired(Feedback { record, desirable, provenance }))
}
