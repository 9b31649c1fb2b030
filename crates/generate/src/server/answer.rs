//! The two ways to ask for an answer, and the two ways to give it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Shared;
use super::access::received;
use super::ask::{Running, ask};
use super::pieces::Pieces;
use super::render::Renderer;
use crate::gather::Gathered;
use crate::protocol::{ApiError, Endpoint};
use crate::random::fresh_number;

pub(super) async fn chat(state: Shared, request: Request) -> Result<Response, ApiError> {
    answer(state, Endpoint::Chat, request).await
}

pub(super) async fn completions(state: Shared, request: Request) -> Result<Response, ApiError> {
    answer(state, Endpoint::Completions, request).await
}

async fn answer(State(server): Shared, endpoint: Endpoint, request: Request) -> Result<Response, ApiError> {
    let body = received(request, &server.settings).await?;
    // The permit lasts as long as the work, which goes on where the client has left.
    let permit = server.understanding.clone().acquire_owned().await.map_err(|_| ApiError::stopping())?;
    let asking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        ask(server, endpoint, &body)
    });
    let running = asking.await.map_err(|_| ApiError::internal("the request broke the server\n  fix: report it"))??;
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

/// Lines that wait for a client to read them. A client that reads nothing for the stall limit while there are more is given up, so that
/// what it does not read cannot pile up.
const LINES_AHEAD: usize = 64;

/// What goes to the connection.
enum Outgoing {
    Line(Line),
    /// Everything was sent.
    End,
}

fn streamed(running: Running, id: String, created: u64) -> Response {
    let pieces = Pieces::new(id, created, running.asked.prompts.len(), running.asked.body.decoding.samples);
    let stall_limit = running.server().settings.stall_limit;
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    tokio::spawn(send(running, pieces, sender, stall_limit));
    let lines = stream::unfold(Some(lines), |lines| async move {
        let mut lines = lines?;
        match lines.recv().await {
            Some(Outgoing::Line(line)) => Some((Ok(line), Some(lines))),
            Some(Outgoing::End) => None,
            // The connection breaks off, which no client takes for the end of an answer.
            None => Some((Err(std::io::Error::other("the client has stopped reading")), None)),
        }
    });
    Sse::new(lines).keep_alive(KeepAlive::default()).into_response()
}

/// Turns events into lines until all are sent or nobody takes them any more.
async fn send(mut running: Running, mut pieces: Pieces, lines: mpsc::Sender<Outgoing>, stall_limit: Duration) {
    loop {
        let event = tokio::select! {
            biased;
            () = lines.closed() => return,
            event = running.next() => event,
        };
        let (ready, over) = advance(event, &running, &mut pieces);
        for line in ready {
            if lines.send_timeout(Outgoing::Line(line), stall_limit).await.is_err() {
                return;
            }
        }
        if over {
            if pieces.done() {
                running.finish();
            }
            let _ = lines.send_timeout(Outgoing::End, stall_limit).await;
            return;
        }
    }
}

/// Lines for an event, and whether they are the last.
fn advance(
    event: Result<(usize, crate::Event), ApiError>,
    running: &Running,
    pieces: &mut Pieces,
) -> (Vec<Line>, bool) {
    let (mut ready, mut over) = (Vec::new(), true);
    match event {
        Ok((place, event)) => {
            let renderer = Renderer { asked: &running.asked, text: &running.server().text };
            let reply = pieces.push(place, event, &renderer);
            ready.extend(reply.map(|reply| line(&reply)));
            over = pieces.done();
            if over && running.asked.body.output.include_usage {
                ready.push(line(&pieces.usage(&renderer)));
            }
        }
        // The status has gone out already, so the error comes as a piece.
        Err(error) => ready.push(line(&error.json())),
    }
    if over {
        ready.push(Line::default().data("[DONE]"));
    }
    (ready, over)
}

/// JSON has no line breaks, as the format of events requires.
fn line(content: &impl Serialize) -> Line {
    Line::default().data(serde_json::to_string(content).unwrap_or_default())
}
