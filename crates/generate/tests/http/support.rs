//! A small tokenizer, a scripted engine, and a server around them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camelid_generate::server::{Server, Settings, serve};
use camelid_generate::{Event, Finish, Load, Refusal, Request, Service, Sink, Ticket, TokenScore};
use camelid_text::Text;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[path = "../support/text.rs"]
mod tiny;
pub(crate) use tiny::text;

/// What the engine says to everything.
pub(crate) const ANSWER: &str = "Hello, wörld!";

/// An engine that answers [`ANSWER`], or the first of the choices, at once or slowly.
pub(crate) struct Fake {
    pub(crate) text: Arc<Text>,
    pub(crate) pause: Duration,
    pub(crate) room: usize,
    pub(crate) fails: bool,
    pub(crate) vanishes: bool,
    pub(crate) requests: Mutex<Vec<Request>>,
    pub(crate) state: Arc<State>,
}

#[derive(Default)]
pub(crate) struct State {
    closed: AtomicBool,
    active: AtomicUsize,
    answered: AtomicUsize,
    cancelled: AtomicUsize,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let (pause, requests, state) = (Duration::ZERO, Mutex::default(), Arc::default());
        Self { text: text(), pause, room: 64, fails: false, vanishes: false, requests, state }
    }

    pub(crate) fn answered(&self) -> usize {
        self.state.answered.load(Ordering::SeqCst)
    }

    pub(crate) fn cancelled(&self) -> usize {
        self.state.cancelled.load(Ordering::SeqCst)
    }

    pub(crate) fn active(&self) -> usize {
        self.state.active.load(Ordering::SeqCst)
    }
}

struct FakeTicket(Arc<AtomicBool>);

impl Ticket for FakeTicket {
    fn weight_version(&self) -> u64 {
        7
    }
}

impl Drop for FakeTicket {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Service for Fake {
    fn submit(&self, request: Request, mut events: Sink) -> Result<Box<dyn Ticket>, Refusal> {
        if self.state.closed.load(Ordering::SeqCst) {
            return Err(Refusal::Closed);
        }
        if self.active() >= self.room {
            return Err(Refusal::Busy { waiting: self.active() });
        }
        self.requests.lock().unwrap().push(request.clone());
        let dropped = Arc::new(AtomicBool::new(false));
        let (script, pause, state, gone) =
            (script(&request, &self.text), self.pause, self.state.clone(), dropped.clone());
        let (fails, vanishes) = (self.fails, self.vanishes);
        state.active.fetch_add(1, Ordering::SeqCst);
        std::thread::spawn(move || {
            let mut answered = true;
            for event in script {
                std::thread::sleep(pause);
                let last = matches!(event, Event::Done);
                if last && vanishes {
                    break;
                }
                let event = if last && fails { Event::Failed("out of memory\n  fix: use less".into()) } else { event };
                if gone.load(Ordering::SeqCst) || !events(event) {
                    answered = false;
                    break;
                }
            }
            let counter = if answered { &state.answered } else { &state.cancelled };
            counter.fetch_add(1, Ordering::SeqCst);
            state.active.fetch_sub(1, Ordering::SeqCst);
        });
        Ok(Box::new(FakeTicket(dropped)))
    }

    fn load(&self) -> Load {
        Load { running: self.active(), cache_size: 1000, ..Load::default() }
    }

    fn context(&self) -> usize {
        200
    }

    fn weight_version(&self) -> u64 {
        7
    }

    fn drain(&self) {
        self.state.closed.store(true, Ordering::SeqCst);
        while self.active() > 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn score(token: u32, place: usize, top: usize) -> TokenScore {
    let log_prob = -0.5 * (place + 1) as f32;
    let alternatives = [(u32::from(b'A'), -0.25), (u32::from(b'B'), -2.0)];
    TokenScore { token, log_prob, sampling_log_prob: log_prob / 2.0, top: alternatives.into_iter().take(top).collect() }
}

/// Every event of a request: samples take turns, and the last character of each is held back to its end.
fn script(request: &Request, text: &Text) -> Vec<Event> {
    let top = request.top_log_probs;
    let mut events = Vec::new();
    if request.prompt_log_probs {
        let scored = request.prompt.iter().enumerate().skip(1);
        events.push(Event::Prompt(scored.map(|(place, &token)| score(token, place - 1, top)).collect()));
    }
    let whole = request.choices.first().cloned().unwrap_or_else(|| text.encode(ANSWER));
    let mut tokens = whole;
    tokens.push(257);
    let mut finish = Finish::Stop;
    if tokens.len() > request.max_tokens {
        tokens.truncate(request.max_tokens);
        finish = Finish::Length;
    }
    let spoken: Vec<u32> = tokens.iter().copied().filter(|&token| token < 256).collect();
    let mut said = text.decode(&spoken).trim_end_matches('\u{fffd}').to_owned();
    if let Some(place) = request.stop.strings.iter().filter_map(|stop| said.find(stop.as_str())).min() {
        said.truncate(place);
        (finish, tokens) = (Finish::Stop, spoken[..=place].to_vec());
    }
    let held = said.chars().next_back().map_or(0, char::len_utf8);
    let (given, held) = said.split_at(said.len() - held);
    let mut given = given.chars();
    for (place, &token) in tokens.iter().enumerate() {
        let text: String = given.next().into_iter().collect();
        for sample in 0..request.samples {
            events.push(Event::Token { sample, score: score(token, place, top), text: text.clone() });
        }
    }
    for sample in 0..request.samples {
        events.push(Event::Finished { sample, finish, text: held.to_owned() });
    }
    events.push(Event::Done);
    events
}

/// A running server.
pub(crate) struct Harness {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    pub(crate) fake: Arc<Fake>,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<std::io::Result<()>>,
}

pub(crate) async fn start(fake: Fake, settings: Settings) -> Harness {
    start_with(fake, settings, |server| server).await
}

pub(crate) async fn start_with(fake: Fake, settings: Settings, change: impl FnOnce(Server) -> Server) -> Harness {
    let fake = Arc::new(fake);
    let server = change(Server::new(fake.clone(), text(), settings));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, server, async {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Harness { base, client, fake, stop: Some(stop), task }
}

pub(crate) async fn plain() -> Harness {
    start(Fake::new(), Settings::new("tiny")).await
}

impl Harness {
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    pub(crate) fn post(&self, path: &str, body: &Json) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).json(body)
    }

    /// Status and body.
    pub(crate) async fn ask(&self, path: &str, body: &Json) -> (u16, Json) {
        let response = self.post(path, body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The pieces of a stream, which must end as streams do.
    pub(crate) async fn stream(&self, path: &str, body: &Json) -> Vec<Json> {
        let response = self.post(path, body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.text().await.unwrap();
        let mut lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(lines.pop(), Some("[DONE]"), "{text}");
        lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn chat(more: Json) -> Json {
    merged(json!({ "model": "tiny", "messages": [{ "role": "user", "content": "Hi" }] }), more)
}

pub(crate) fn completion(more: Json) -> Json {
    merged(json!({ "model": "tiny", "prompt": "Say", "max_tokens": 100 }), more)
}

fn merged(mut base: Json, more: Json) -> Json {
    if let (Some(base), Json::Object(more)) = (base.as_object_mut(), more) {
        base.extend(more);
    }
    base
}

/// Waits for something that happens on another thread.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come true that {what}");
}
