//! Who may ask, and how errors leave.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Server, Settings};
use crate::protocol::ApiError;

/// Lets a request pass if it carries the server's key.
pub(super) async fn check_key(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    if let Some(key) = &server.settings.api_key {
        let header = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let given = match header.split_at_checked("Bearer ".len()) {
            Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"Bearer ") => given.trim_ascii(),
            _ => &[],
        };
        // Hashes compare in constant time, so that the time tells nothing of the key.
        if blake3::hash(given) != blake3::hash(key.as_bytes()) {
            return ApiError::unauthorized().into_response();
        }
    }
    next.run(request).await
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self.json())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The body, or why there is none. A client that sends too slowly is not waited for.
pub(super) async fn received(request: Request, settings: &Settings) -> Result<Bytes, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    // Nobody has to send what is refused anyway.
    if length.is_some_and(|length: u64| length > settings.body_limit as u64) {
        return Err(ApiError::too_large(settings.body_limit));
    }
    let Ok(body) = tokio::time::timeout(settings.receive_limit, Bytes::from_request(request, &())).await else {
        return Err(ApiError::too_slow(settings.receive_limit.as_secs()));
    };
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(settings.body_limit),
        _ => ApiError::malformed(format!("the body could not be received: {rejection}\n  fix: send it again")),
    })
}
