//! From a request's body to an engine at work on it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::Server;
use crate::gather::sink;
use crate::protocol::{ApiError, Body, Endpoint, Input};
use crate::{Event, Refusal, Ticket, prepare};

/// A request that the engine has accepted. Dropping it cancels what is left of it.
pub(super) struct Running {
    pub(super) asked: Asked,
    events: mpsc::UnboundedReceiver<(usize, Event)>,
    stopping: watch::Receiver<bool>,
    server: Arc<Server>,
    begun: Instant,
    heard: bool,
    finished: bool,
    /// One for each prompt.
    _tickets: Vec<Box<dyn Ticket>>,
}

/// What was asked, as the reply needs it.
pub(super) struct Asked {
    pub(super) body: Body,
    /// Tokens of each input.
    pub(super) prompts: Vec<Vec<u32>>,
    pub(super) model: String,
    /// Weights that answer; the earliest where an update came between the prompts of one body.
    pub(super) weight_version: u64,
}

/// Understands a body and hands its prompts to the engine: all, or none if one is refused. Takes as long as a long
/// prompt takes to encode.
pub(super) fn ask(server: Arc<Server>, endpoint: Endpoint, body: &[u8]) -> Result<Running, ApiError> {
    let begun = Instant::now();
    let body = Body::parse(endpoint, body)?;
    let model = server.model(body.model.as_deref())?;
    let (asked, most) = (body.inputs.len(), server.service.queue());
    if asked > most {
        let message = format!("`prompt` holds {asked} prompts\n  fix: send at most {most} at a time");
        return Err(ApiError::field("prompt", message));
    }
    let context = server.service.context();
    let score_echo = body.output.echo && body.decoding.log_probs.is_some();
    let prepare = |input: &Input| {
        let mut request = prepare(input, &body.decoding, &server.text, &server.settings.sampling, context)?;
        request.prompt_log_probs |= score_echo;
        Ok(request)
    };
    let requests = body.inputs.iter().map(prepare).collect::<Result<Vec<_>, ApiError>>()?;
    let prompts = requests.iter().map(|request| request.prompt.clone()).collect();

    // Without a bound, since the engine must not wait; a request's own limit of tokens bounds it.
    let (sender, events) = mpsc::unbounded_channel();
    let submit = |(place, request)| {
        let sender = sender.clone();
        let sink = sink(place, move |event| sender.send(event).is_ok());
        let refused = |refusal: Refusal| refused(&refusal, &server, endpoint);
        server.service.submit(request, sink).map_err(refused)
    };
    let tickets = requests.into_iter().enumerate().map(submit).collect::<Result<Vec<_>, _>>()?;
    let weight_version = tickets.iter().map(|ticket| ticket.weight_version()).min().unwrap_or_default();
    let stopping = server.stopping.subscribe();
    let asked = Asked { body, prompts, model, weight_version };
    Ok(Running { asked, events, stopping, server, begun, heard: false, finished: false, _tickets: tickets })
}

/// An engine's refusal in the words of the endpoint.
fn refused(refusal: &Refusal, server: &Server, endpoint: Endpoint) -> ApiError {
    let error = ApiError::refused(refusal, server.settings.retry_after);
    match error.field.as_deref() {
        Some("prompt") if endpoint == Endpoint::Chat => ApiError { field: Some("messages".into()), ..error },
        _ => error,
    }
}

impl Running {
    /// The next event and the place of its prompt.
    pub(super) async fn next(&mut self) -> Result<(usize, Event), ApiError> {
        let event = tokio::select! {
            biased;
            event = self.events.recv() => event,
            _ = self.stopping.wait_for(|stopping| *stopping) => return Err(ApiError::stopping()),
        };
        if !self.heard && matches!(event, Some((_, Event::Token { .. }))) {
            self.heard = true;
            self.server.metrics.first_token.observe(self.begun.elapsed());
        }
        match event {
            Some((_, Event::Failed(reason))) => Err(ApiError::internal(reason)),
            Some(event) => Ok(event),
            None => Err(ApiError::internal("the engine gave up this request\n  fix: see the server's log")),
        }
    }

    /// Says that everything was answered, which counts the request as finished rather than cancelled.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.server
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.metrics.ended(self.begun.elapsed(), self.finished);
    }
}
