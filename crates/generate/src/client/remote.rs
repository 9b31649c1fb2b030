//! Answers from an OpenAI-compatible server.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use tokio::runtime::Runtime;

use super::pace::Pace;
use super::retry::{may_pass, retry_after, wait};
use super::{Done, GenerateError, Generated, Generator, Prompt, Totals, read_reply, shown};
use crate::protocol::{Body, Endpoint, Input, Output, body_json};
use crate::random::fresh_share;

/// A server and how to treat it.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteSettings {
    /// Address up to and with `/v1`; without any path, `/v1` is added.
    pub base_url: String,
    /// Empty: whatever the server has.
    pub model: String,
    /// What else tells this model apart in a cache, such as its revision and the hash of its chat template.
    pub revision: String,
    /// Environment variable that holds the key.
    pub key_variable: Option<String>,
    /// Requests under way at a time.
    pub concurrency: usize,
    /// Attempts for each prompt.
    pub attempts: u32,
    /// The wait after the first failed attempt, about doubled after each further one up to the longest.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// For one attempt, from connecting to the end of the reply.
    pub timeout: Duration,
    pub requests_per_minute: Option<u32>,
    /// Prompt and answer together.
    pub tokens_per_minute: Option<u32>,
    pub price: Option<Price>,
    pub limit_field: LimitField,
    /// Ask for the numbers of tokens, which vLLM and this crate's server know how to report.
    pub token_ids: bool,
}

/// What tokens cost, in some currency for a million.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    pub prompt: f64,
    pub completion: f64,
}

/// What a server calls the limit of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitField {
    /// What all servers know except OpenAI's for its reasoning models.
    MaxTokens,
    /// OpenAI's newer name.
    MaxCompletionTokens,
}

impl RemoteSettings {
    /// No key, eight requests at a time, six attempts, ten minutes for each, no limits, no price.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            revision: String::new(),
            key_variable: None,
            concurrency: 8,
            attempts: 6,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_mins(1),
            timeout: Duration::from_mins(10),
            requests_per_minute: None,
            tokens_per_minute: None,
            price: None,
            limit_field: LimitField::MaxTokens,
            token_ids: false,
        }
    }
}

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {reason}\n  fix: {fix}")]
pub struct InvalidRemote {
    pub setting: &'static str,
    pub reason: String,
    pub fix: String,
}

/// Asks a server, several requests at a time, and tries again what may pass.
pub struct RemoteGenerator {
    settings: RemoteSettings,
    base: String,
    client: Client,
    pace: Mutex<Pace>,
    totals: Mutex<Totals>,
    /// Only taken when dropped.
    runtime: Option<Runtime>,
}

/// Bytes of a reply at most: a server that never stops must not fill the memory.
const LARGEST_REPLY: usize = 256 << 20;

/// Why an attempt brought no reply.
enum Failure {
    /// It would fail again.
    Final(GenerateError),
    /// It may pass, after the time that the server asked for.
    Passing { reason: String, wish: Option<Duration> },
}

impl RemoteGenerator {
    /// Reads the key and prepares to ask; connects to nothing yet.
    pub fn new(settings: RemoteSettings) -> Result<Self, InvalidRemote> {
        let invalid = |setting, reason: String, fix: &str| InvalidRemote { setting, reason, fix: fix.to_owned() };
        let url = Url::parse(&settings.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                let reason = format!("`{}` is no address", settings.base_url);
                invalid("base_url", reason, "use one like http://localhost:8000/v1")
            })?;
        let path = if url.path() == "/" { "/v1" } else { url.path().trim_end_matches('/') };
        let base = format!("{}{path}", url.origin().ascii_serialization());
        let mut headers = HeaderMap::new();
        if let Some(variable) = &settings.key_variable {
            let key = std::env::var(variable).ok().filter(|key| !key.trim().is_empty()).ok_or_else(|| {
                let reason = format!("the environment variable {variable} is not set");
                invalid("key_variable", reason, "export it with the server's key")
            })?;
            // The reason is not shown: it could hold the key.
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.trim())).map_err(|_| {
                let reason = format!("the key in {variable} has characters that no header can hold");
                invalid("key_variable", reason, "export the key without line breaks")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let failed = |error: &dyn Error| invalid("client", causes(error), "report it");
        let client = Client::builder().default_headers(headers).timeout(settings.timeout).build();
        let client = client.map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| failed(&error))?;
        let now = Instant::now();
        let pace = Pace::new(settings.requests_per_minute, settings.tokens_per_minute, now);
        let (pace, totals) = (Mutex::new(pace), Mutex::default());
        Ok(Self { settings, base, client, pace, totals, runtime: Some(runtime) })
    }

    /// Posts to a path beside `/v1`, with the retries of any request, and returns the reply's body.
    pub(super) fn post(&self, path: &str, body: &serde_json::Value) -> Result<Vec<u8>, GenerateError> {
        let Some(runtime) = &self.runtime else {
            return Err(GenerateError::Failed("the client has ended\n  fix: report it".into()));
        };
        let url = format!("{}/{path}", self.base.trim_end_matches("/v1"));
        wait_for(runtime, self.insist(&url, &body.to_string(), 0.0))
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer_at(&self, prompts: &[Prompt], place: usize) -> (usize, Result<Generated, GenerateError>) {
        (place, self.answer(&prompts[place]).await)
    }

    /// Answers one prompt and counts what came of it.
    async fn answer(&self, prompt: &Prompt) -> Result<Generated, GenerateError> {
        let result = self.attempts(prompt).await;
        let mut totals = self.totals();
        match &result {
            Ok(generated) => {
                let usage = generated.usage;
                totals.answered += 1;
                totals.unmetered += u64::from(usage.prompt_tokens == 0);
                totals.prompt_tokens += usage.prompt_tokens;
                totals.completion_tokens += usage.completion_tokens;
                totals.cost += self.settings.price.map_or(0.0, |price| {
                    let millionths =
                        usage.prompt_tokens as f64 * price.prompt + usage.completion_tokens as f64 * price.completion;
                    millionths / 1e6
                });
            }
            Err(_) => totals.failed += 1,
        }
        result
    }

    async fn attempts(&self, prompt: &Prompt) -> Result<Generated, GenerateError> {
        let endpoint = match prompt.input {
            Input::Chat { .. } => Endpoint::Chat,
            Input::Text(_) | Input::Tokens(_) => Endpoint::Completions,
        };
        let body = Body {
            endpoint,
            model: Some(self.settings.model.clone()).filter(|model| !model.is_empty()),
            inputs: vec![prompt.input.clone()],
            decoding: prompt.decoding.clone(),
            output: Output { token_ids: self.settings.token_ids, ..Output::default() },
        };
        let limit = match self.settings.limit_field {
            LimitField::MaxTokens => "max_tokens",
            LimitField::MaxCompletionTokens => "max_completion_tokens",
        };
        let body = body_json(&body, limit).to_string();
        let path = if endpoint == Endpoint::Chat { "chat/completions" } else { "completions" };
        let planned = planned_tokens(prompt, body.len());
        let reply = self.insist(&format!("{}/{path}", self.base), &body, planned).await?;
        let generated = read_reply(&reply, prompt.decoding.samples)?;
        let taken = generated.usage.prompt_tokens + generated.usage.completion_tokens;
        if taken > 0 {
            self.pace().settle(planned, taken as f64);
        }
        Ok(generated)
    }

    /// Posts a body until there is a reply, or no hope of one. `planned` is what it may take of the tokens a minute.
    async fn insist(&self, url: &str, body: &str, planned: f64) -> Result<Vec<u8>, GenerateError> {
        let mut attempt = 1;
        loop {
            let pause = self.pace().plan(planned, Instant::now());
            tokio::time::sleep(pause).await;
            let failure = match self.send(url, body).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let (reason, wish) = match failure {
                Failure::Final(error) => return Err(error),
                Failure::Passing { reason, wish } => (reason, wish),
            };
            if attempt >= self.settings.attempts {
                return Err(GenerateError::Exhausted { attempts: attempt, last: reason });
            }
            let RemoteSettings { first_wait, longest_wait, .. } = self.settings;
            tokio::time::sleep(wait(attempt, first_wait, longest_wait, fresh_share(), wish)).await;
            self.totals().retries += 1;
            attempt += 1;
        }
    }

    /// One attempt: the reply's body, if its status says that it is an answer.
    async fn send(&self, url: &str, body: &str) -> Result<Vec<u8>, Failure> {
        let request = self.client.post(url).header("content-type", "application/json").body(body.to_owned());
        let response = request.send().await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let wish = response.headers().get(RETRY_AFTER).and_then(|header| header.to_str().ok());
        let wish = wish.and_then(|header| retry_after(header, Timestamp::now()));
        let body = receive(response).await;
        if may_pass(status) {
            // The status says enough even where the body broke off.
            let body = body.unwrap_or_default();
            return Err(Failure::Passing { reason: format!("status {status}: {}", shown(&body)), wish });
        }
        let body = body?;
        if !(200..300).contains(&status) {
            return Err(Failure::Final(GenerateError::Refused { status, body: shown(&body) }));
        }
        Ok(body)
    }
}

/// On a thread of its own, since a caller may be inside another runtime, where waiting is not allowed.
fn wait_for<T: Send>(runtime: &Runtime, work: impl Future<Output = T> + Send) -> T {
    let ended = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn receive(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST_REPLY {
            let reason = format!("the reply is longer than {LARGEST_REPLY} bytes");
            return Err(Failure::Final(GenerateError::Malformed { reason, body: shown(&body) }));
        }
    }
    Ok(body)
}

/// A connection that failed or took too long may do better; a request that could not even be built will not.
fn broken(error: &reqwest::Error) -> Failure {
    let reason = causes(error);
    if error.is_builder() || error.is_redirect() {
        Failure::Final(GenerateError::Invalid(format!("{reason}\n  fix: check the server's address")))
    } else {
        Failure::Passing { reason, wish: None }
    }
}

/// An error and what lies under it, on one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}

/// Tokens that a request takes at most, roughly: four bytes of a prompt make a token.
fn planned_tokens(prompt: &Prompt, bytes: usize) -> f64 {
    let prompt_tokens = match &prompt.input {
        Input::Tokens(tokens) => tokens.len(),
        _ => bytes / 4,
    };
    (prompt_tokens + prompt.decoding.max_tokens.unwrap_or(0) * prompt.decoding.samples) as f64
}

impl Generator for RemoteGenerator {
    fn identity(&self) -> String {
        format!("{}\n{}\n{}", self.base, self.settings.model, self.settings.revision)
    }

    fn generate_each(&self, prompts: &[Prompt], done: Done) {
        let Some(runtime) = &self.runtime else { return };
        let answers = async {
            let each = stream::iter(0..prompts.len()).map(|place| self.answer_at(prompts, place));
            let mut each = each.buffer_unordered(self.settings.concurrency.max(1));
            while let Some((place, answer)) = each.next().await {
                done(place, answer);
            }
        };
        wait_for(runtime, answers);
    }

    fn totals(&self) -> Totals {
        *RemoteGenerator::totals(self)
    }
}

impl Drop for RemoteGenerator {
    fn drop(&mut self) {
        // Waiting for its threads is not allowed inside another runtime either.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
