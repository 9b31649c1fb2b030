//! Reading a JSON object field by field, so that an error names the field.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::ApiError;

/// The fields of a request. A field that is null counts as absent, as clients write it either way.
pub(super) struct Fields(Map<String, Json>);

impl Fields {
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
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
