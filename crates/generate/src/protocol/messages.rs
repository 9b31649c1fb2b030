//! The messages of a chat request.

use camelid_records::{Message, Role};
use serde_json::{Map, Value as Json};

use super::ApiError;

/// Reads `messages`. Content may be a string, null, or a list of parts of type `text`.
pub(super) fn messages(value: Json) -> Result<Vec<Message>, ApiError> {
    let fix = "send a list of objects with `role` and `content`";
    let Json::Array(messages) = value else {
        return Err(ApiError::field("messages", format!("`messages` is not a list\n  fix: {fix}")));
    };
    if messages.is_empty() {
        return Err(ApiError::field("messages", format!("`messages` is empty\n  fix: {fix}")));
    }
    messages.into_iter().enumerate().map(|(place, message)| self::message(place, message)).collect()
}

fn message(place: usize, value: Json) -> Result<Message, ApiError> {
    let at = format!("messages[{place}]");
    let Json::Object(mut fields) = value else {
        let message = format!("`{at}` is not an object\n  fix: send an object with `role` and `content`");
        return Err(ApiError::field(at, message));
    };
    let role = role(&at, fields.get("role"))?;
    let content = content(&at, fields.remove("content").unwrap_or(Json::Null))?;
    let calls = fields.remove("tool_calls").filter(|calls| calls.as_array().is_none_or(|calls| !calls.is_empty()));
    Ok(Message {
        role,
        content,
        weight: None,
        name: fields.get("name").and_then(Json::as_str).map(str::to_owned),
        tool_calls: calls.filter(|calls| !calls.is_null()).map(with_parsed_arguments),
    })
}

fn role(at: &str, role: Option<&Json>) -> Result<Role, ApiError> {
    let name = role.and_then(Json::as_str).unwrap_or_default();
    // OpenAI renamed the system message for its newer models; templates know the old name.
    let name = if name == "developer" { "system" } else { name };
    Role::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| {
        let field = format!("{at}.role");
        let message = format!(
            "`{field}` is {}\n  fix: use system, developer, user, assistant or tool",
            role.map_or("missing".into(), ToString::to_string)
        );
        ApiError::field(field, message)
    })
}

fn content(at: &str, content: Json) -> Result<String, ApiError> {
    match content {
        Json::Null => Ok(String::new()),
        Json::String(text) => Ok(text),
        Json::Array(parts) => {
            let texts = parts.iter().enumerate().map(|(place, part)| {
                let text = (part["type"] == "text").then(|| part["text"].as_str()).flatten();
                text.ok_or_else(|| {
                    let field = format!("{at}.content[{place}]");
                    let message =
                        format!("`{field}` is not text\n  fix: send parts {{\"type\": \"text\", \"text\": ...}} only");
                    ApiError::field(field, message)
                })
            });
            // As vLLM joins them.
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        _ => {
            let field = format!("{at}.content");
            let message = format!("`{field}` is neither text nor a list of parts\n  fix: send a string");
            Err(ApiError::field(field, message))
        }
    }
}

/// Clients send a call's arguments as JSON in a string, while chat templates expect the object.
fn with_parsed_arguments(mut calls: Json) -> Json {
    for call in calls.as_array_mut().into_iter().flatten() {
        let arguments = call.pointer_mut("/function/arguments");
        if let Some((slot, object)) = arguments.and_then(|slot| {
            let object = serde_json::from_str::<Map<String, Json>>(slot.as_str()?).ok()?;
            Some((slot, object))
        }) {
            *slot = Json::Object(object);
        }
    }
    calls
}
