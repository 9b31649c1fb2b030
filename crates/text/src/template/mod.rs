//! Chat templates: Jinja as `transformers` runs it.
//!
//! The environment has the settings of `transformers` (blocks trimmed on both sides, loop controls, Python's string
//! methods) and its functions (`raise_exception`, `strftime_now`, a `tojson` that writes what `json.dumps` writes).
//! A template is untrusted text: it gets a budget of steps and memory, so that none can hang or exhaust the process.

mod generation_tags;
mod python_json;
mod python_methods;

use camelid_records::Message;
use jiff::civil::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::{Map, Value as Json};

use crate::TextError;

/// Budget of one rendering: about this many steps, and 64 bytes of data each.
const FUEL: u64 = 1_000_000;
/// Conversations up to this size get by with that budget whatever the template does with each message.
const ORDINARY_MESSAGES: usize = 200;
const ORDINARY_BYTES: usize = 1 << 20;
/// What each message and byte of a larger one adds.
const FUEL_OF_A_MESSAGE: u64 = 4_000;
/// Nesting of blocks and macros; templates for tools nest below 20.
const RECURSION: usize = 80;
const NAME: &str = "chat template";

/// A compiled chat template.
#[derive(Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Special tokens by their configuration key, such as `bos_token`.
    special_tokens: Map<String, Json>,
    now: DateTime,
    uses_clock: bool,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { environment: _, special_tokens, now, uses_clock } = self;
        let mut shown = formatter.debug_struct("ChatTemplate");
        let shown = shown.field("special_tokens", special_tokens).field("now", now).field("uses_clock", uses_clock);
        shown.finish_non_exhaustive()
    }
}

/// Thrown by the template itself, through `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

impl ChatTemplate {
    /// Compiles a template. `strftime_now` gives the time of this call.
    pub fn new(source: &str) -> Result<Self, TextError> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| explain(&error, "does not compile"))?);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_recursion_limit(RECURSION);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(python_methods::call);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            let error = Error::new(ErrorKind::InvalidOperation, message.clone());
            Err(error.with_source(Refusal(message)))
        });
        environment.add_filter("tojson", python_json::to_json);
        environment
            .add_template_owned(NAME, generation_tags::as_scopes(source))
            .map_err(|error| explain(&error, "does not compile"))?;
        let template = Self {
            environment,
            special_tokens: Map::new(),
            now: DateTime::default(),
            uses_clock: source.contains("strftime_now"),
        };
        Ok(template.with_clock(jiff::ZonedDateTime::now().datetime()))
    }

    /// Sets variables such as `bos_token`.
    #[must_use]
    pub fn with_special_tokens(mut self, special_tokens: Map<String, Json>) -> Self {
        self.special_tokens = special_tokens;
        self
    }

    /// Sets the time that `strftime_now` gives.
    #[must_use]
    pub fn with_clock(mut self, now: DateTime) -> Self {
        self.now = now;
        self.environment.add_function("strftime_now", move |format: String| -> Result<String, Error> {
            jiff::fmt::strtime::format(&format, now).map_err(|error| {
                let what = format!("strftime_now cannot write {format:?}");
                Error::new(ErrorKind::InvalidOperation, what).with_source(error)
            })
        });
        self
    }

    /// The day on which it renders, if the text depends on it.
    pub fn day(&self) -> Option<jiff::civil::Date> {
        self.uses_clock.then(|| self.now.date())
    }

    /// Renders a conversation. `arguments` are further variables, which may override special tokens.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        arguments: &Map<String, Json>,
        add_generation_prompt: bool,
    ) -> Result<String, TextError> {
        let failed = |error: Error| explain(&error, "cannot render this conversation");
        let mut variables: Vec<(&str, Value)> = Vec::new();
        for (name, value) in self.special_tokens.iter().chain(arguments) {
            variables.push((name, Value::from(Serde(value))));
        }
        // Later entries win.
        variables.push(("messages", messages.iter().map(message_value).collect()));
        variables.push(("tools", tools.map_or(Value::from(()), |tools| Value::from(Serde(tools)))));
        variables.push(("add_generation_prompt", Value::from(add_generation_prompt)));
        if !arguments.contains_key("documents") {
            variables.push(("documents", Value::from(())));
        }
        let context = Value::from_pairs(variables);
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        let larger;
        let environment = if messages.len() <= ORDINARY_MESSAGES && bytes <= ORDINARY_BYTES {
            &self.environment
        } else {
            let mut environment = self.environment.clone();
            environment.set_fuel(Some(FUEL + FUEL_OF_A_MESSAGE * messages.len() as u64 + bytes as u64));
            larger = environment;
            &larger
        };
        environment.get_template(NAME).and_then(|template| template.render(context)).map_err(failed)
    }
}

/// Only the fields that are there, in the order that peers give them.
fn message_value(message: &Message) -> Value {
    let mut fields =
        vec![("role", Value::from(message.role.name())), ("content", Value::from(message.content.as_str()))];
    fields.extend(message.name.as_ref().map(|name| ("name", Value::from(name.as_str()))));
    fields.extend(message.tool_calls.as_ref().map(|calls| ("tool_calls", Value::from(Serde(calls)))));
    Value::from_pairs(fields)
}

fn explain(error: &Error, what: &str) -> TextError {
    let place = error.line().map_or_else(|| NAME.to_owned(), |line| format!("{NAME}, line {line}"));
    if let Some(Refusal(message)) = find_refusal(error) {
        let fix = "change the conversation to what the template accepts, or use another template";
        return TextError::new(place, format!("refuses this conversation: {message}"), fix);
    }
    let fix = match error.kind() {
        ErrorKind::SyntaxError => "correct the template, or take the one of the model's publisher",
        ErrorKind::OutOfFuel => "shorten the conversation, or take the loop out of the template",
        ErrorKind::UndefinedError => "give the value in the record's chat_template_kwargs, or correct the template",
        _ => "correct the template, or the record where the template is right",
    };
    let mut reason = format!("{what}: {}", error.kind());
    if let Some(detail) = error.detail() {
        reason.push_str(": ");
        reason.push_str(detail);
    }
    TextError::new(place, reason, fix)
}

fn find_refusal(error: &Error) -> Option<&Refusal> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref() {
            return Some(refusal);
        }
        source = cause.source();
    }
    None
}
