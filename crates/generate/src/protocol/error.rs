//! What a server says when it cannot answer.

use serde_json::{Value as Json, json};

use crate::Refusal;

/// An error as clients of OpenAI's interface expect it, with its HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// What is wrong and what to do.
    pub message: String,
    /// The field at fault.
    pub field: Option<String>,
    /// A short word for programs.
    pub code: Option<&'static str>,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
}

impl ApiError {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), field: None, code: None, retry_after: None }
    }

    /// A field whose value cannot be used.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(400, message) }
    }

    /// A request that cannot be understood at all.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// A field that asks for something that this server cannot do.
    pub fn unsupported(field: &str, instead: &str) -> Self {
        let message = format!("`{field}` is not supported\n  fix: {instead}");
        Self { code: Some("unsupported_parameter"), ..Self::field(field, message) }
    }

    /// The key is missing or wrong.
    pub fn unauthorized() -> Self {
        let message = "the API key is missing or wrong\n  fix: send `Authorization: Bearer KEY` with this server's key";
        Self { code: Some("invalid_api_key"), ..Self::new(401, message) }
    }

    /// Nothing is served at this address.
    pub fn no_route(method: &str, path: &str) -> Self {
        let message = format!(
            "nothing answers {method} {path}\n  fix: use POST /v1/chat/completions, POST /v1/completions, \
             GET /v1/models, GET /health or GET /metrics"
        );
        Self::new(404, message)
    }

    /// The address answers another method.
    pub fn wrong_method(method: &str, path: &str) -> Self {
        let other = if method == "GET" { "POST" } else { "GET" };
        Self::new(405, format!("{path} does not answer {method}\n  fix: use {other}"))
    }

    /// Another model than those served was asked for.
    pub fn no_model(model: &str, served: &[String]) -> Self {
        let message = format!("there is no model `{model}` here\n  fix: use `{}`", served.join("` or `"));
        Self { code: Some("model_not_found"), status: 404, ..Self::field("model", message) }
    }

    /// The body took longer to arrive than the server waits.
    pub fn too_slow(seconds: u64) -> Self {
        Self::new(408, format!("the body did not arrive within {seconds} seconds\n  fix: send it faster or in parts"))
    }

    /// The body is larger than the server takes.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes\n  fix: send fewer or shorter prompts at a time");
        Self::new(413, message)
    }

    /// Something is refused for the state that the server is in.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, message)
    }

    /// The server stops before this request could be finished.
    pub fn stopping() -> Self {
        Self::new(503, "the server is shutting down\n  fix: ask again when it is back")
    }

    /// The server's own fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }

    /// Why an engine refused a request; clients may try again `retry_after` seconds after it was busy.
    pub fn refused(refusal: &Refusal, retry_after: u64) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Invalid { field, .. } => Self::field(*field, message),
            Refusal::Busy { .. } => {
                Self { retry_after: Some(retry_after), code: Some("queue_full"), ..Self::new(429, message) }
            }
            Refusal::Closed => Self { retry_after: Some(retry_after), ..Self::new(503, message) },
        }
    }

    /// OpenAI's word for the class of error.
    pub fn class(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            status if status >= 500 => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// The body of the reply.
    pub fn json(&self) -> Json {
        json!({ "error": {
            "message": self.message, "type": self.class(), "param": self.field, "code": self.code,
        }})
    }
}
