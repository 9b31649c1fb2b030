use serde::de::DeserializeOwned;

/// A file of an evaluation that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}\n  fix: {fix}")]
pub struct ResultsError {
    /// File and line.
    pub place: String,
    /// What is wrong, with the field.
    pub what: String,
    pub fix: String,
}

impl ResultsError {
    pub(super) fn new(place: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), fix: fix.into() }
    }
}

/// What the file or line is called: `line` is where `text` begins in its file, counted from 1.
pub(super) fn parse<T: DeserializeOwned>(name: &str, line: usize, text: &str) -> Result<T, ResultsError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let place = format!("{name}, line {}", line + inner.line().saturating_sub(1));
        let message = inner.to_string();
        // The place is said already, and counts from the text's own beginning.
        let what = message.split(" at line ").next().unwrap_or(&message).to_owned();
        let fix = if inner.is_data() {
            "write the evaluation again, or correct this field"
        } else {
            "the file is cut short or damaged: write the evaluation again"
        };
        let field = if matches!(path.as_str(), "." | "?") { String::new() } else { format!("{path}: ") };
        ResultsError::new(place, format!("{field}{what}"), fix)
    })?;
    deserializer.end().map_err(|_| {
        ResultsError::new(
            format!("{name}, line {line}"),
            "there is more after the end of the JSON value",
            "keep one JSON value here",
        )
    })?;
    Ok(value)
}
