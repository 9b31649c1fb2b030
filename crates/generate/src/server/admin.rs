//! New weights for a running server.

use std::path::{Path, PathBuf};

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::access::received;
use crate::protocol::ApiError;

#[derive(Deserialize)]
struct LoadRequest {
    path: PathBuf,
}

pub(super) async fn load_adapter(State(server): Shared, request: Request) -> Result<Response, ApiError> {
    let Some(load) = server.load_adapter.clone() else {
        let message = "this server does not take new weights\n  fix: start it with weight updates allowed";
        return Err(ApiError { status: 404, ..ApiError::malformed(message) });
    };
    // A page in a browser can send a form to this machine, but no JSON without being asked first.
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        let message = "the body is not declared as JSON\n  fix: send `Content-Type: application/json`";
        return Err(ApiError { status: 415, ..ApiError::malformed(message) });
    }
    let body = received(request, &server.settings).await?;
    let wanted: LoadRequest = serde_json::from_slice(&body).map_err(|error| {
        ApiError::field("path", format!("the body cannot be read: {error}\n  fix: send {{\"path\": \"FOLDER\"}}"))
    })?;
    let version = tokio::task::spawn_blocking(move || load(Path::new(&wanted.path))).await;
    let version = version.map_err(|_| ApiError::internal("loading the weights failed\n  fix: see the server's log"))?;
    let version = version.map_err(|reason| ApiError::field("path", reason))?;
    Ok(axum::Json(json!({ "weight_version": version })).into_response())
}
