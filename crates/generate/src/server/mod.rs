//! An OpenAI-compatible server over a [`Service`].
//!
//! | address | answers |
//! |---|---|
//! | `POST /v1/chat/completions`, `POST /v1/completions` | whole, or as server-sent events |
//! | `GET /v1/models` | the names that requests may use |
//! | `GET /health` | whether it takes requests; needs no key |
//! | `GET /metrics` | counters for Prometheus |
//! | `POST /admin/load_adapter` | takes new weights, where the caller allows it |
//!
//! A request that the engine has no room for is refused with 429 and `Retry-After` rather than kept waiting without
//! bound; a client that goes away cancels its request.

mod access;
mod admin;
mod answer;
mod ask;
mod metrics;
mod pieces;
mod render;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use camelid_text::Text;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::protocol::ApiError;
use crate::{Sampling, Service};

use metrics::Metrics;

/// Takes the weights in a folder and returns their version.
pub type LoadAdapter = Arc<dyn Fn(&Path) -> Result<u64, String> + Send + Sync>;

/// How a server behaves.
#[derive(Clone)]
pub struct Settings {
    /// Names that requests may use; replies carry the one that was used, or the first.
    pub models: Vec<String>,
    /// Decoding parameters where a request says nothing; its seed is never used.
    pub sampling: Sampling,
    /// What clients must send as a bearer token.
    pub api_key: Option<String>,
    /// Bytes of a request at most.
    pub body_limit: usize,
    /// How long a request's body may take to arrive.
    pub receive_limit: Duration,
    /// How long a client that reads a stream may take nothing from it before it is given up.
    pub stall_limit: Duration,
    /// Seconds after which a client may try again when the queue is full.
    pub retry_after: u64,
    /// How long a shutdown waits for accepted requests before it cancels them.
    pub drain_limit: Duration,
}

impl Settings {
    /// One model, no key, OpenAI's decoding parameters, bodies of 16 MiB within a minute, two minutes without reading, five minutes
    /// to drain.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            models: vec![model.into()],
            sampling: Sampling { temperature: 1.0, ..Sampling::greedy() },
            api_key: None,
            body_limit: 16 << 20,
            receive_limit: Duration::from_mins(1),
            stall_limit: Duration::from_mins(2),
            retry_after: 1,
            drain_limit: Duration::from_mins(5),
        }
    }
}

/// A server before it listens.
pub struct Server {
    service: Arc<dyn Service>,
    text: Arc<Text>,
    settings: Settings,
    load_adapter: Option<LoadAdapter>,
    metrics: Metrics,
    /// Bodies that are understood at a time: each takes a processor, and memory of many times its size.
    understanding: Arc<Semaphore>,
    /// Becomes true when requests that still run are given up.
    stopping: watch::Sender<bool>,
}

type Shared = State<Arc<Server>>;

impl Server {
    pub fn new(service: Arc<dyn Service>, text: Arc<Text>, settings: Settings) -> Self {
        Self {
            service,
            text,
            settings,
            load_adapter: None,
            metrics: Metrics::default(),
            understanding: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from).max(2))),
            stopping: watch::Sender::new(false),
        }
    }

    /// Lets clients replace the weights. Whoever can reach the server can then name any path to `load`.
    #[must_use]
    pub fn with_load_adapter(mut self, load: LoadAdapter) -> Self {
        self.load_adapter = Some(load);
        self
    }

    /// The name to answer under.
    fn model(&self, asked: Option<&str>) -> Result<String, ApiError> {
        let models = &self.settings.models;
        match asked {
            None | Some("") => Ok(models.first().cloned().unwrap_or_default()),
            Some(name) if models.iter().any(|model| model == name) => Ok(name.to_owned()),
            Some(name) => Err(ApiError::no_model(name, models)),
        }
    }
}

/// The routes, for callers who listen in their own way.
pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(answer::chat))
        .route("/v1/completions", post(answer::completions))
        .route("/v1/models", get(models))
        .route("/metrics", get(metrics_text))
        .route("/admin/load_adapter", post(admin::load_adapter))
        .route_layer(middleware::from_fn_with_state(server.clone(), access::check_key))
        .route("/health", get(health))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_route)
        .layer(middleware::from_fn_with_state(server.clone(), metrics::count))
        .layer(DefaultBodyLimit::max(server.settings.body_limit))
        .with_state(server)
}

/// Serves until `shutdown` is ready, then takes no more connections, finishes what was accepted and drains the engine.
/// Requests that outlast the drain limit are cancelled.
pub async fn serve(
    listener: TcpListener,
    server: Server,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let server = Arc::new(server);
    let closing = Arc::new(tokio::sync::Notify::new());
    let closes = closing.clone();
    let signal = async move {
        shutdown.await;
        closes.notify_one();
    };
    // Pieces of a stream are small: held back until the client has confirmed the last (Nagle), each would be 40 ms late. A connection
    // on which this cannot be set works all the same.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let serving = axum::serve(listener, router(server.clone())).with_graceful_shutdown(signal).into_future();
    let out_of_time = async {
        closing.notified().await;
        tokio::time::sleep(server.settings.drain_limit).await;
        server.stopping.send_replace(true);
        // Connections are told at once; one that neither reads nor closes must not hold up the end.
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        served = serving => served?,
        () = out_of_time => {}
    }
    let service = server.service.clone();
    tokio::task::spawn_blocking(move || service.drain()).await.map_err(std::io::Error::other)
}

async fn models(State(server): Shared) -> Response {
    let entry = |model: &String| json!({ "id": model, "object": "model", "created": 0, "owned_by": "camelid", "max_model_len": server.service.context() });
    let data: Vec<_> = server.settings.models.iter().map(entry).collect();
    axum::Json(json!({ "object": "list", "data": data })).into_response()
}

async fn health(State(server): Shared) -> Response {
    let stopping = *server.stopping.borrow() || server.service.is_closed();
    let status = if stopping { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let word = if stopping { "stopping" } else { "ok" };
    (status, axum::Json(json!({ "status": word, "weight_version": server.service.weight_version() }))).into_response()
}

async fn metrics_text(State(server): Shared) -> Response {
    let text = server.metrics.text(&server.service.load(), server.service.weight_version());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn no_route(method: Method, uri: Uri) -> Response {
    ApiError::no_route(method.as_str(), uri.path()).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    ApiError::wrong_method(method.as_str(), uri.path()).into_response()
}
