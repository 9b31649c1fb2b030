//! Chat templates: Jinja as `transformers` runs it.

use std::fmt::Write as _;

use camelid_records::Message;
use jiff::ZonedDateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, context};
use serde_json::{Map, Value as Json};

use crate::TextError;

/// A template that loops longer than this on one conversation is taken to be broken.
const FUEL: u64 = 50_000_000;

/// A compiled chat template.
#[derive(Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Special tokens by their configuration key, such as `bos_token`.
    special_tokens: Map<String, Json>,
    uses_clock: bool,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ChatTemplate").field("special_tokens", &self.special_tokens).finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Compiles a template. `special_tokens` become variables of their names.
    pub fn new(source: &str, special_tokens: Map<String, Json>) -> Result<Self, TextError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| explain("the chat template does not compile", &error))?);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(100);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", |format: String| ZonedDateTime::now().strftime(&format).to_string());
        environment.add_filter("tojson", to_json);
        let uses_clock = source.contains("strftime_now");
        environment
            .add_template_owned("chat_template", without_generation_tags(source))
            .map_err(|error| explain("the chat template does not compile", &error))?;
        Ok(Self { environment, special_tokens, uses_clock })
    }

    /// Whether the text depends on the day it is rendered.
    pub fn uses_clock(&self) -> bool {
        self.uses_clock
    }

    /// Renders a conversation. `arguments` are further variables, which may override special tokens.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        arguments: &Map<String, Json>,
        add_generation_prompt: bool,
    ) -> Result<String, TextError> {
        let failed = |error: Error| explain("the chat template cannot render this conversation", &error);
        let template = self.environment.get_template("chat_template").map_err(failed)?;
        let mut variables: Map<String, Json> = self.special_tokens.clone();
        variables.extend(arguments.clone());
        let given = context! {
            messages => messages.iter().map(message_value).collect::<Vec<_>>(),
            tools => tools.map(|tools| Value::from(Serde(tools))),
            add_generation_prompt,
        };
        template.render(context! { ..given, ..Value::from(Serde(&variables)) }).map_err(failed)
    }
}

/// Only the fields that are there, in the order that peers give them.
fn message_value(message: &Message) -> Value {
    let mut fields = Map::new();
    fields.insert("role".into(), message.role.name().into());
    fields.insert("content".into(), message.content.clone().into());
    if let Some(name) = &message.name {
        fields.insert("name".into(), name.clone().into());
    }
    if let Some(calls) = &message.tool_calls {
        fields.insert("tool_calls".into(), calls.clone());
    }
    Value::from(Serde(&fields))
}

/// `{% generation %}` marks assistant text for transformers; it prints nothing, and spans are found from the text.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(end) = rest[start..].find("%}").map(|end| start + end + 2) else { break };
        let inner = rest[start + 2..end - 2].trim_matches(['-', '+']).trim();
        if matches!(inner, "generation" | "endgeneration") {
            out.push_str(&rest[..start]);
            // A comment with the same whitespace control leaves the text around it as the tag would.
            let open = if rest[start + 2..].starts_with('-') { "{#-" } else { "{#" };
            let close = if rest[..end - 2].ends_with('-') { "-#}" } else { "#}" };
            out.push_str(open);
            out.push_str(close);
        } else {
            out.push_str(&rest[..end]);
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn explain(what: &str, error: &Error) -> TextError {
    let place = error.line().map_or_else(|| "chat template".to_owned(), |line| format!("chat template, line {line}"));
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    TextError::new(
        place,
        format!("{what}: {detail}"),
        "change the conversation to what the template accepts, or the template",
    )
}

/// `json.dumps(value, ensure_ascii=False)` with Python's separators; `indent` as there.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let _: Option<bool> = options.get("ensure_ascii")?;
    let _: Option<Vec<String>> = options.get("separators")?;
    let _: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    if value.kind() == ValueKind::Undefined {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson of something undefined"));
    }
    let json = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, "tojson").with_source(error))?;
    let mut out = String::new();
    write_python_json(&json, indent, 0, &mut out);
    Ok(Value::from_safe_string(out))
}

fn write_python_json(json: &Json, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    let separator = if indent.is_some() { "," } else { ", " };
    match json {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { separator } else { "" });
                line(depth + 1, out);
                write_python_json(item, indent, depth + 1, out);
            }
            line(depth, out);
            out.push(']');
        }
        Json::Object(fields) if !fields.is_empty() => {
            out.push('{');
            for (index, (key, item)) in fields.iter().enumerate() {
                out.push_str(if index > 0 { separator } else { "" });
                line(depth + 1, out);
                let _ = write!(out, "{}: ", Json::String(key.clone()));
                write_python_json(item, indent, depth + 1, out);
            }
            line(depth, out);
            out.push('}');
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}
