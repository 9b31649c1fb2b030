//! The two ways to ask for an answer, and the two ways to give it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use super::access::received;
use super::ask::{Running, ask};
use super::pieces::Pieces;
use super::render::Renderer;
use super::{Server, Shared};
use crate::gather::Gathered;
use crate::protocol::{ApiError, Endpoint};
use crate::random::fresh_number;

pub(super) async fn chat(state: Shared, body: Result<Bytes, BytesRejection>) -> Result<Response, ApiError> {
    answer(state, Endpoint::Chat, body).await
}

pub(super) async fn completions(state: Shared, body: Result<Bytes, BytesRejection>) -> Result<Response, ApiError> {
    answer(state, Endpoint::Completions, body).await
}

async fn answer(
    State(server): Shared,
    endpoint: Endpoint,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = received(body, server.settings.body_limit)?;
    let asking = tokio::task::spawn_blocking(move || ask(server, endpoint, &body)).await;
    let running = asking.map_err(|_| ApiError::internal("the request broke the server\n  fix: report it"))??;
    let prefix = if endpoint == Endpoint::Chat { "chatcmpl" } else { "cmpl" };
    let id = format!("{prefix}-{:016x}{:016x}", fresh_number(), fresh_number());
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    if running.asked.body.output.stream {
        Ok(streamed(running, id, created))
    } else {
        whole(running, id, created).await
    }
}

async fn whole(mut running: Running, id: String, created: u64) -> Result<Response, ApiError> {
    let samples = running.asked.body.decoding.samples;
    let mut gathered = vec![Gathered::new(samples); running.asked.prompts.len()];
    while !gathered.iter().all(|one| one.done) {
        let (place, event) = running.next().await?;
        if let Some(one) = gathered.get_mut(place) {
            one.add(event).map_err(ApiError::internal)?;
        }
    }
    running.finish();
    let renderer = Renderer { asked: &running.asked, text: &running.server().text };
    Ok(axum::Json(renderer.reply(id, created, &gathered)).into_response())
}

/// A stream of server-sent events and what it still has to do.
struct Streaming {
    running: Running,
    server: Arc<Server>,
    pieces: Pieces,
    /// Lines to send before the next event is asked for.
    ready: VecDeque<Line>,
    over: bool,
}

fn streamed(running: Running, id: String, created: u64) -> Response {
    let pieces = Pieces::new(id, created, running.asked.prompts.len(), running.asked.body.decoding.samples);
    let server = running.server().clone();
    let streaming = Streaming { running, server, pieces, ready: VecDeque::new(), over: false };
    let lines = stream::unfold(streaming, |mut streaming| async move {
        let line = streaming.next().await?;
        Some((Ok::<_, Infallible>(line), streaming))
    });
    Sse::new(lines).keep_alive(KeepAlive::default()).into_response()
}

impl Streaming {
    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            self.advance().await;
        }
    }

    async fn advance(&mut self) {
        match self.running.next().await {
            Ok((place, event)) => {
                let renderer = Renderer { asked: &self.running.asked, text: &self.server.text };
                let reply = self.pieces.push(place, event, &renderer);
                self.ready.extend(reply.map(|reply| line(&reply)));
                if self.pieces.done() {
                    if self.running.asked.body.output.include_usage {
                        self.ready.push_back(line(&self.pieces.usage(&renderer)));
                    }
                    self.running.finish();
                    self.end();
                }
            }
            // The status has gone out already, so the error comes as a piece.
            Err(error) => {
                self.ready.push_back(line(&error.json()));
                self.end();
            }
        }
    }

    fn end(&mut self) {
        self.ready.push_back(Line::default().data("[DONE]"));
        self.over = true;
    }
}

/// JSON has no line breaks, as the format of events requires.
fn line(content: &impl Serialize) -> Line {
    Line::default().data(serde_json::to_string(content).unwrap_or_default())
}
