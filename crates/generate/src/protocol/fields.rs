//! Reading a JSON object field by field, so that an error names the field.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::ApiError;

/// Values of a body at most: two bytes of JSON can become a hundred in memory.
const MOST_VALUES: usize = 1 << 20;

/// An upper bound of the values of a JSON text, without building them.
fn values_of(body: &[u8]) -> usize {
    let (mut values, mut quoted, mut escaped) = (1, false, false);
    for &byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b',' | b':' | b'[' | b'{' if !quoted => values += 1,
            _ => {}
        }
    }
    values
}

/// The fields of a request. A field that is null counts as absent, as clients write it either way.
pub(super) struct Fields(Map<String, Json>);

impl Fields {
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if values_of(body) > MOST_VALUES {
            let message = format!("the body has more than {MOST_VALUES} values\n  fix: send fewer prompts at a time");
            return Err(ApiError::malformed(message));
        }
        match serde_json::from_slice(body) {
            Ok(Json::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(ApiError::malformed("the body is no JSON object\n  fix: send `{\"model\": ..., ...}`")),
            Err(error) => Err(ApiError::malformed(format!("the body is not JSON: {error}\n  fix: send a JSON object"))),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Removes the field, so that large values need no copy.
    pub(super) fn take(&mut self, name: &str) -> Option<Json> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn read<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        self.take(name).map(|value| from_json(name, value)).transpose()
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        Ok(self.read(name)?.unwrap_or(false))
    }
}

pub(super) fn from_json<T: DeserializeOwned>(name: &str, value: Json) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|error| {
        ApiError::field(
            name,
            format!("`{name}` cannot be used: {error}\n  fix: send what the OpenAI interface documents"),
        )
    })
}

/// One of something or a list of it.
pub(super) fn one_or_many<T: DeserializeOwned>(name: &str, value: Json) -> Result<Vec<T>, ApiError> {
    match value {
        Json::Array(_) => from_json(name, value),
        one => Ok(vec![from_json(name, one)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        for (text, least) in [("3", 1), ("[1,2,3]", 4), (r#"{"a": "x,y\",[{", "b": [[]]}"#, 4)] {
            let bound = values_of(text.as_bytes());
            assert!((least..=3 * least).contains(&bound), "{text}: {bound}");
        }
        let many = format!("{{\"prompt\": [{}0]}}", "0,".repeat(MOST_VALUES));
        let Err(error) = Fields::parse(many.as_bytes()) else { panic!("it was read") };
        assert!(error.message.contains("more than 1048576 values"), "{error}");
        let text = format!("{{\"prompt\": \"{}\"}}", "0,".repeat(MOST_VALUES));
        assert!(Fields::parse(text.as_bytes()).is_ok(), "a long text is one value");
    }
}
