//! Templates and expressions of tasks.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde_json::Value as Json;

use super::definition::Definition;
use super::{Task, TaskError};

pub(super) const PREAMBLE: &str = "prompt.preamble";
pub(super) const ITEM: &str = "prompt.item";
pub(super) const ANSWER: &str = "prompt.answer";
pub(super) const CONTINUATION: &str = "prompt.continuation";

/// Steps that one template may take: none of a task comes near, and none of a user's can hang a run.
const FUEL: u64 = 1_000_000;

/// The letter of a choice: 0 is A.
fn letter(index: usize) -> String {
    char::from_u32('A' as u32 + index as u32).filter(char::is_ascii_uppercase).map(String::from).unwrap_or_default()
}

/// The number of a letter: A is 0.
fn number(letter: &str) -> Result<usize, Error> {
    match letter.trim().as_bytes() {
        [letter @ b'A'..=b'Z'] => Ok(usize::from(letter - b'A')),
        _ => Err(Error::new(ErrorKind::InvalidOperation, format!("`{letter}` is no letter from A to Z"))),
    }
}

/// Line breaks at the end of a prompt are part of it.
fn syntax() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.keep_trailing_newline(true);
    // Only delimiters can be wrong.
    builder.build().unwrap_or_default()
}

/// The environment in which rows are read and prompts written: a field that is not there is an error, and text is text.
pub(super) fn bare() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(syntax());
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("letter", letter);
    environment.add_filter("number", |text: &str| number(text));
    environment.add_filter("position", |values: Vec<Value>, value: Value| {
        values
            .iter()
            .position(|one| *one == value)
            .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("`{value}` is none of the list's values")))
    });
    environment.add_filter("sub", |text: &str, pattern: &str, to: &str| -> Result<String, Error> {
        let pattern =
            regex::Regex::new(pattern).map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
        Ok(pattern.replace_all(text, to).into_owned())
    });
    environment
}

pub(super) fn environment(origin: &str, definition: &Definition) -> Result<Environment<'static>, TaskError> {
    let mut environment = bare();
    let prompt = &definition.prompt;
    let templates = vec![
        (PREAMBLE, prompt.preamble.clone()),
        (ITEM, prompt.item.clone()),
        (ANSWER, prompt.answer.clone()),
        (CONTINUATION, prompt.continuation.clone()),
    ];
    for (name, source) in templates {
        environment.add_template_owned(name, source).map_err(|error| TaskError {
            origin: origin.to_owned(),
            what: format!("{name}: {error}"),
            fix: "correct the template".into(),
        })?;
    }
    let expressions = definition.sources.iter().flat_map(|source| {
        let fields = source.fields.iter().map(|(name, expression)| (format!("source.fields.{name}"), expression));
        fields.chain(source.keep.iter().map(|keep| ("source.keep".to_owned(), keep)))
    });
    for (name, expression) in expressions {
        environment.compile_expression(expression).map_err(|error| TaskError {
            origin: origin.to_owned(),
            what: format!("{name}: {error}"),
            fix: "correct the expression".into(),
        })?;
    }
    Ok(environment)
}

impl Task {
    /// A template with an item's fields and further ones.
    pub(super) fn render(
        &self,
        name: &str,
        fields: &serde_json::Map<String, Json>,
        more: &[(&str, Json)],
    ) -> Result<String, TaskError> {
        let explain = |error: Error| {
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            let chain: Vec<String> =
                std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect();
            self.wrong(format!("{name}: {}", chain.join(": ")), "use fields that every item has")
        };
        let template = self.environment.get_template(name).map_err(explain)?;
        let mut fields = fields.clone();
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        fields.insert("names".into(), serde_json::json!(self.definition.names));
        template.render(Serde(&fields)).map_err(explain)
    }
}
