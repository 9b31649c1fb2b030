//! The `messages` and `ShareGPT` formats.

use super::{Fields, message};
use crate::{Conversation, Message, Provenance, Record, Role, fault::Fault};

/// `field` holds the list of messages. A `system` column opens the conversation unless it has a system turn of its own.
pub(super) fn convert(mut row: Fields<'_>, field: &'static str, provenance: Provenance) -> Result<Record, Fault> {
    let path = row.column(field);
    let mut messages = message::messages(row.required(field)?, path)?;
    message::check(&messages, path)?;
    if let Some(system) = row.optional_string("system")?
        && messages[0].role != Role::System
    {
        messages.insert(0, Message::new(Role::System, system));
    }
    let tools = row.tools()?;
    let template_arguments = row.template_arguments()?;
    Ok(Record::Conversation(Conversation { messages, tools, template_arguments, provenance }))
}
