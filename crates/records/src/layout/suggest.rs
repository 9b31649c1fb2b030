//! What to write where no format fits: columns known under another name, misspelt, or of the right shape.

use serde_json::Value;

use super::Columns;
use crate::{Format, convert::is_transcript, format::Field};

impl Columns {
    /// A mapping that would make the file fit `format`: columns known under another name, misspelt, or of the right shape.
    pub(super) fn suggest_mapping(&self, format: Format) -> Option<String> {
        let mut entries: Vec<String> = Vec::new();
        for field in format.fields() {
            if field.columns.iter().any(|name| self.has(name)) {
                continue;
            }
            match self.likely_column(format, field) {
                Some(column) => entries.push(format!("{} = \"{column}\"", field.name)),
                None if field.required => return None,
                None => {}
            }
        }
        (!entries.is_empty()).then(|| format!("format = \"{format}\", columns = {{ {} }}", entries.join(", ")))
    }

    fn likely_column(&self, format: Format, field: &Field) -> Option<&str> {
        let of_right_shape = |value: &Value| match format {
            Format::Messages if field.name == "messages" => has_messages(value, "role"),
            Format::ShareGpt if field.name == "conversations" => has_messages(value, "from"),
            Format::Oasst => is_tree(value),
            Format::HhTranscript => value.as_str().is_some_and(is_transcript),
            _ => false,
        };
        if let Some((name, _)) = self.found.iter().find(|(_, value)| of_right_shape(value)) {
            return Some(name);
        }
        if matches!(format, Format::HhTranscript | Format::Oasst) || matches!(field.name, "messages" | "conversations")
        {
            return None;
        }
        let spelled = |name: &str| field.known_as.iter().chain(field.columns).any(|known| near(name, known));
        let feedback = Format::PREFERENCES.contains(&format);
        let fits = |value: &Value| match field.name {
            "responses" | "completions" => value.is_array(),
            _ => value.is_string() || !field.required || (feedback && !value.is_object()),
        };
        self.found.iter().find(|(name, value)| spelled(name) && fits(value)).map(|(name, _)| name.as_str())
    }
}

/// Whether a value is the root of a tree of messages.
pub(super) fn is_tree(value: &Value) -> bool {
    value.get("replies").is_some()
}

/// Whether a value is a list of objects with the given key, as it stands or as JSON text.
fn has_messages(value: &Value, key: &str) -> bool {
    value.as_array().and_then(|list| list.first()).is_some_and(|message| message.get(key).is_some())
}

/// Whether two names are the same but for a slip of the pen.
fn near(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    one == other || (one.len() > 3 && strsim::osa_distance(&one, &other) <= 1 + one.len() / 8)
}

pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &str| strsim::osa_distance(&name.to_lowercase(), &known.to_lowercase());
    known.iter().copied().filter(|known| distance(known) <= 1 + name.len() / 4).min_by_key(|known| distance(known))
}
