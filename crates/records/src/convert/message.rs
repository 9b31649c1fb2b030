//! One message, and the rules that a list of them obeys.

use serde_json::{Map, Value, json};

use super::{missing, string, structure, wrong_type};
use crate::{Message, Role, fault::Fault};

/// Reads a list of messages, in either spelling: `role`/`content`, or `ShareGPT`'s `from`/`value`.
pub(super) fn messages(value: Value, path: &str) -> Result<Vec<Message>, Fault> {
    let list = match structure(value, path)? {
        Some(Value::Array(list)) => list,
        Some(other) => return Err(wrong_type(path, &other, "a list of messages")),
        None => Vec::new(),
    };
    list.into_iter().enumerate().map(|(index, value)| message(value, &format!("{path}[{index}]"))).collect()
}

fn message(value: Value, path: &str) -> Result<Message, Fault> {
    let Value::Object(mut fields) = value else {
        return Err(wrong_type(path, &value, "an object with role and content"));
    };
    let content_name = if fields.contains_key("from") { ["value", "content"] } else { ["content", "value"] };
    let mut take = |names: [&'static str; 2]| {
        let found = names.into_iter().find_map(|name| {
            let value = fields.get_mut(name)?.take();
            (!value.is_null()).then_some((format!("{path}.{name}"), value))
        });
        found.ok_or_else(|| format!("{path}.{}", names[0]))
    };
    let (role_path, role) = take(["role", "from"]).map_err(|path| missing(&path))?;
    let speaker = speaker(&string(role, &role_path)?, &role_path)?;
    let content = take(content_name);
    let tool_calls = match take(["tool_calls", "tool_calls"]) {
        Ok((path, value)) => tool_calls(value, &path)?,
        Err(_) => None,
    };
    let weight = take(["weight", "loss_weight"]).ok().map(|(path, value)| weight(&value, &path)).transpose()?;
    let name = take(["name", "name"]).ok().map(|(path, value)| string(value, &path)).transpose()?;

    let message = |role, content, tool_calls| Message { role, content, weight, name: name.clone(), tool_calls };
    let role = match speaker {
        Speaker::Role(role) => role,
        Speaker::FunctionCall => {
            let (path, value) = content.map_err(|path| missing(&path))?;
            return Ok(message(Role::Assistant, String::new(), Some(function_calls(value, &path)?)));
        }
    };
    match content {
        Ok((path, value)) => Ok(message(role, text(value, &path)?, tool_calls)),
        // An assistant that only calls tools says nothing; whether it may is checked for the conversation.
        Err(_) if role == Role::Assistant => Ok(message(role, String::new(), tool_calls)),
        Err(path) => Err(missing(&path)),
    }
}

enum Speaker {
    Role(Role),
    /// `ShareGPT`'s assistant turn that is one call or several.
    FunctionCall,
}

fn speaker(name: &str, path: &str) -> Result<Speaker, Fault> {
    Ok(Speaker::Role(match name {
        "system" | "developer" => Role::System,
        "user" | "human" => Role::User,
        "assistant" | "gpt" | "model" => Role::Assistant,
        "tool" | "observation" | "function" => Role::Tool,
        "function_call" => return Ok(Speaker::FunctionCall),
        _ => {
            let near = Role::ALL.map(Role::name).into_iter().find(|known| strsim::osa_distance(name, known) <= 2);
            let near =
                near.or_else(|| Role::ALL.map(Role::name).into_iter().find(|known| name.eq_ignore_ascii_case(known)));
            return Err(Fault::at(
                path,
                format!("unknown role \"{}\"", name.chars().take(40).collect::<String>()),
                near.map_or_else(|| "use system, user, assistant or tool".into(), |near| format!("write \"{near}\"")),
            ));
        }
    }))
}

/// Content as a string, or as a list of parts of which all are text (as multimodal chat formats write it).
fn text(value: Value, path: &str) -> Result<String, Fault> {
    let parts = match value {
        Value::String(text) => return Ok(text),
        Value::Array(parts) => parts,
        other => return Err(wrong_type(path, &other, "a string or a list of text parts")),
    };
    let mut joined = String::new();
    for (index, part) in parts.iter().enumerate() {
        match (part.get("type").and_then(Value::as_str), part.get("text").or_else(|| part.get("value"))) {
            (Some("text") | None, Some(Value::String(text))) => joined.push_str(text),
            (Some(kind), _) if kind != "text" => {
                return Err(Fault::at(
                    &format!("{path}[{index}]"),
                    format!("a part of type \"{}\"", kind.chars().take(40).collect::<String>()),
                    "keep text parts only; this model reads nothing else",
                ));
            }
            _ => return Err(Fault::at(&format!("{path}[{index}]"), "a part without text", TEXT_PART)),
        }
    }
    Ok(joined)
}

const TEXT_PART: &str = "write parts as {\"type\": \"text\", \"text\": \"...\"}, or content as one string";

fn weight(value: &Value, path: &str) -> Result<f32, Fault> {
    const FIX: &str = "use 0 for a turn that is not learned, 1 for one that is, or a positive factor";
    let weight = match value {
        Value::Number(number) => number.as_f64(),
        // Parquet's NaN and infinities arrive as text, JSON has none.
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match weight.map(|weight| weight as f32) {
        Some(weight) if weight.is_finite() && weight >= 0.0 => Ok(weight),
        Some(_) => Err(Fault::at(path, format!("the weight {value} is not a finite number of at least 0"), FIX)),
        None => Err(wrong_type(path, value, "a number")),
    }
}

fn tool_calls(value: Value, path: &str) -> Result<Option<Value>, Fault> {
    match structure(value, path)? {
        Some(Value::Array(calls)) if calls.is_empty() => Ok(None),
        Some(Value::Array(calls)) => match calls.iter().position(|call| !call.is_object()) {
            Some(index) => Err(wrong_type(&format!("{path}[{index}]"), &calls[index], "an object")),
            None => Ok(Some(Value::Array(calls))),
        },
        Some(other) => Err(wrong_type(path, &other, "a list of calls")),
        None => Ok(None),
    }
}

/// `ShareGPT`'s `function_call` text, `{"name": ..., "arguments": ...}` or a list of those, as `tool_calls`.
fn function_calls(value: Value, path: &str) -> Result<Value, Fault> {
    const FIX: &str = "write {\"name\": \"...\", \"arguments\": {...}}, or a list of those";
    let calls = match structure(value, path)? {
        Some(Value::Array(calls)) if !calls.is_empty() => calls,
        Some(call @ Value::Object(_)) => vec![call],
        _ => return Err(Fault::at(path, "this is not a function call", FIX)),
    };
    let wrapped = calls.into_iter().map(|call| match call {
        Value::Object(call) if call.get("name").is_some_and(Value::is_string) => {
            Ok(json!({ "type": "function", "function": Value::Object(normalised_call(call)) }))
        }
        _ => Err(Fault::at(path, "a function call without a name", FIX)),
    });
    Ok(Value::Array(wrapped.collect::<Result<_, _>>()?))
}

/// Templates print `arguments` as JSON, so arguments that are JSON text already are read first.
fn normalised_call(mut call: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::String(text)) = call.get("arguments")
        && let Ok(arguments @ Value::Object(_)) = serde_json::from_str(text)
    {
        call.insert("arguments".into(), arguments);
    }
    call
}

/// What every conversation must satisfy.
pub(super) fn check(messages: &[Message], path: &str) -> Result<(), Fault> {
    let Some(first) = messages.first() else {
        return Err(Fault::at(path, "the conversation is empty", "add its messages, or remove the row"));
    };
    if first.role == Role::Tool {
        return Err(Fault::at(
            &format!("{path}[0]"),
            "the conversation starts with a tool's answer",
            "put the assistant turn with the call before it",
        ));
    }
    if messages.iter().all(|message| message.role == Role::System) {
        return Err(Fault::at(path, "there are only system turns", "add what the user and the assistant say"));
    }
    for (index, message) in messages.iter().enumerate() {
        if message.tool_calls.is_some() && message.role != Role::Assistant {
            return Err(Fault::at(
                &format!("{path}[{index}].tool_calls"),
                format!("a {} turn cannot call tools", message.role),
                "give the calls to an assistant turn",
            ));
        }
        if message.role == Role::Assistant && message.tool_calls.is_none() && message.content.trim().is_empty() {
            return Err(Fault::at(
                &format!("{path}[{index}]"),
                "the assistant says nothing and calls no tool",
                "fill in content or tool_calls, or remove the row",
            ));
        }
    }
    Ok(())
}
