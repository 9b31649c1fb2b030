//! Instruction data: one question with its answer, and the exchanges before it.

use serde_json::{Map, Value};

use super::{Fields, string, wrong_type};
use crate::{Conversation, Message, Provenance, Record, Role, fault::Fault};

pub(super) fn convert(mut row: Fields<'_>, provenance: Provenance) -> Result<Record, Fault> {
    let mut messages = asked(&mut row)?;
    let output = row.required_string("output")?;
    if output.trim().is_empty() {
        return Err(Fault::at(row.column("output"), "the answer is empty", "write the answer, or remove the row"));
    }
    messages.push(Message::new(Role::Assistant, output));
    Ok(Record::Conversation(Conversation { messages, tools: None, template_arguments: Map::new(), provenance }))
}

/// All before the answer. The last user turn is `instruction`, then a blank line and `input` where there is one.
pub(super) fn asked(row: &mut Fields<'_>) -> Result<Vec<Message>, Fault> {
    let mut messages = Vec::new();
    if let Some(system) = row.optional_string("system")? {
        messages.push(Message::new(Role::System, system));
    }
    history(row, &mut messages)?;

    let instruction = row.optional_string("instruction")?.unwrap_or_default();
    let input = row.optional_string("input")?.unwrap_or_default();
    let parts: Vec<&str> =
        [instruction.as_str(), input.as_str()].into_iter().filter(|part| !part.trim().is_empty()).collect();
    if parts.is_empty() {
        let fix = "write the instruction, or remove the row";
        return Err(Fault::at(row.column("instruction"), "instruction and input are both empty", fix));
    }
    messages.push(Message::new(Role::User, parts.join("\n\n")));
    Ok(messages)
}

/// Earlier exchanges: a list of `[question, answer]`.
fn history(row: &mut Fields<'_>, messages: &mut Vec<Message>) -> Result<(), Fault> {
    let column = row.column("history");
    let exchanges = match row.optional_structure("history")? {
        None => return Ok(()),
        Some(Value::Array(exchanges)) => exchanges,
        Some(other) => return Err(wrong_type(column, &other, "a list of [question, answer] pairs")),
    };
    for (index, exchange) in exchanges.into_iter().enumerate() {
        let path = format!("{column}[{index}]");
        let pair: [Value; 2] = match exchange {
            Value::Array(pair) => pair.try_into().map_err(|pair: Vec<Value>| {
                Fault::at(&path, format!("{} entries where there are two", pair.len()), PAIR)
            })?,
            other => return Err(wrong_type(&path, &other, "a [question, answer] pair")),
        };
        let [question, answer] = pair;
        let question = string(question, &format!("{path}[0]"))?;
        let answer = string(answer, &format!("{path}[1]"))?;
        if answer.trim().is_empty() {
            return Err(Fault::at(&format!("{path}[1]"), "the answer is empty", "write the answer, or remove the row"));
        }
        messages.push(Message::new(Role::User, question));
        messages.push(Message::new(Role::Assistant, answer));
    }
    Ok(())
}

const PAIR: &str = "write each earlier exchange as [question, answer]";
