//! One request and what comes of it.

use std::time::{Duration, Instant};

use camelid_generate::client::read_reply;
use camelid_generate::protocol::Reply;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response};
use serde_json::Value as Json;

use super::target::Target;
use super::workload::Ask;

/// What the server said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Answered(Answer),
    /// 429; the seconds that it asked for.
    Busy(Option<u64>),
    Failed(Failure),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A few words, the same for all of a kind.
    pub(crate) kind: String,
    pub(crate) detail: String,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) said: Said,
    /// From sending to the last byte.
    pub(crate) latency: Duration,
    /// From sending to the first text, of a streamed answer.
    pub(crate) first: Option<Duration>,
}

/// What must be the same whenever the same is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) text: String,
    /// Where the server was asked for them and told.
    pub(crate) token_ids: Option<Vec<u32>>,
    pub(crate) finish: Option<String>,
    /// Tokens of the answer, as the server counts them.
    pub(crate) tokens: u64,
}

/// How long one request may take: what takes longer hangs.
pub(crate) const LONGEST: Duration = Duration::from_mins(5);

pub(crate) fn failed<T>(kind: &str, detail: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { kind: kind.to_owned(), detail: detail.into() })
}

/// A client that keeps connections and knows the key.
pub(crate) fn http_client(api_key: Option<&str>) -> anyhow::Result<Client> {
    let mut headers = reqwest::header::HeaderMap::new();
    if let Some(key) = api_key {
        let mut value = reqwest::header::HeaderValue::try_from(format!("Bearer {}", key.trim())).map_err(|_| {
            anyhow::anyhow!("the key has characters that no header can hold\n  fix: give it without line breaks")
        })?;
        value.set_sensitive(true);
        headers.insert(reqwest::header::AUTHORIZATION, value);
    }
    Ok(Client::builder().default_headers(headers).timeout(LONGEST).build()?)
}

/// Asks and waits for the whole answer.
pub(crate) async fn ask(target: &Target, ask: &Ask) -> Outcome {
    let begun = Instant::now();
    match attempt(target, ask, begun).await {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn attempt(target: &Target, ask: &Ask, begun: Instant) -> Result<Outcome, Failure> {
    let url = format!("{}{}", target.base, ask.path());
    let response = match target.client.post(url).json(&ask.body).send().await {
        Ok(response) => response,
        Err(error) => return failed(kind_of(&error), causes(&error)),
    };
    let status = response.status().as_u16();
    if status == 429 {
        let wish = response.headers().get(RETRY_AFTER).and_then(|wish| wish.to_str().ok()?.parse().ok());
        return Ok(Outcome::Busy(wish));
    }
    if status != 200 {
        let body = response.text().await.unwrap_or_default();
        return failed(&format!("status {status}"), body.chars().take(300).collect::<String>());
    }
    let (said, first) = if ask.streamed { streamed(response, begun).await? } else { (whole(response).await?, None) };
    Ok(Outcome::Answered(Answer { said, latency: begun.elapsed(), first }))
}

async fn whole(response: Response) -> Result<Said, Failure> {
    let body = match response.bytes().await {
        Ok(body) => body,
        Err(error) => return failed("reply broke off", causes(&error)),
    };
    let generated = match read_reply(&body, 1) {
        Ok(generated) => generated,
        Err(error) => return failed("reply cannot be read", error.to_string()),
    };
    let tokens = generated.usage.completion_tokens;
    let Some(sampled) = generated.answers.into_iter().next() else { return failed("reply has no answer", "") };
    Ok(Said { text: sampled.text, token_ids: sampled.tokens, finish: sampled.finish, tokens })
}

async fn streamed(mut response: Response, begun: Instant) -> Result<(Said, Option<Duration>), Failure> {
    let (mut events, mut gathered, mut first) = (Events::default(), Gathered::default(), None);
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => return failed("stream broke off", causes(&error)),
        };
        for event in events.push(&chunk) {
            gathered.add(&event)?;
        }
        if first.is_none() && !gathered.said.text.is_empty() {
            first = Some(begun.elapsed());
        }
    }
    Ok((gathered.finish()?, first))
}

/// Server-sent events, cut out of bytes however those arrive.
#[derive(Default)]
pub(crate) struct Events {
    rest: Vec<u8>,
}

impl Events {
    /// The data of each event that is complete now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.rest.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&event);
            events
                .extend(text.lines().filter_map(|line| line.strip_prefix("data:")).map(|data| data.trim().to_owned()));
        }
        events
    }
}

/// A streamed answer, put together.
#[derive(Default)]
pub(crate) struct Gathered {
    said: Said,
    counted: bool,
    done: bool,
}

impl Gathered {
    pub(crate) fn add(&mut self, data: &str) -> Result<(), Failure> {
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let piece: Json = match serde_json::from_str(data) {
            Ok(piece) => piece,
            Err(error) => return failed("piece cannot be read", format!("{error}: {data}")),
        };
        if let Some(error) = piece.get("error").filter(|error| !error.is_null()) {
            return failed("error in a stream", error.to_string());
        }
        let reply: Reply = match serde_json::from_value(piece) {
            Ok(reply) => reply,
            Err(error) => return failed("piece cannot be read", format!("{error}: {data}")),
        };
        if let Some(usage) = reply.usage {
            (self.said.tokens, self.counted) = (usage.completion_tokens, true);
        }
        for choice in reply.choices {
            let content = choice.delta.and_then(|delta| delta.content).or(choice.text);
            self.said.text.push_str(&content.unwrap_or_default());
            if let Some(tokens) = choice.token_ids {
                self.said.token_ids.get_or_insert_default().extend(tokens);
            }
            self.said.finish = choice.finish_reason.or(self.said.finish.take());
        }
        Ok(())
    }

    /// The answer, if nothing of it is missing.
    pub(crate) fn finish(self) -> Result<Said, Failure> {
        if !self.done || self.said.finish.is_none() {
            return failed("stream ended early", format!("after {:?}", self.said.text));
        }
        if !self.counted {
            return failed("stream without counts", "`stream_options.include_usage` was not followed");
        }
        Ok(self.said)
    }
}

fn kind_of(error: &reqwest::Error) -> &'static str {
    match error {
        error if error.is_timeout() => "no reply in time",
        error if error.is_connect() => "cannot connect",
        _ => "connection broke off",
    }
}

/// An error and what lies under it, on one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hé\"},\"token_ids\":[1]}]}\n\n\
        : keep-alive\n\n\
        data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"},\"token_ids\":[2],\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

    fn read(stream: &str, cut: usize) -> Result<Said, Failure> {
        let (mut events, mut gathered) = (Events::default(), Gathered::default());
        for chunk in stream.as_bytes().chunks(cut) {
            for event in events.push(chunk) {
                gathered.add(&event)?;
            }
        }
        gathered.finish()
    }

    #[test]
    fn a_stream_is_read_wherever_it_is_cut() {
        let expected =
            Said { text: "Héllo".into(), token_ids: Some(vec![1, 2]), finish: Some("stop".into()), tokens: 2 };
        for cut in [1, 2, 3, 7, 50, 1000] {
            assert_eq!(read(STREAM, cut), Ok(expected.clone()));
        }
    }

    #[test]
    fn half_a_stream_is_no_answer() {
        let kind = |stream: &str| read(stream, 9).unwrap_err().kind;
        assert_eq!(kind(STREAM.trim_end_matches("data: [DONE]\n\n")), "stream ended early");
        assert_eq!(kind(&STREAM.replace("\"stop\"", "null")), "stream ended early");
        assert_eq!(kind(&STREAM.replace("usage", "other")), "stream without counts");
        assert_eq!(kind("data: {\"error\":{\"message\":\"out of memory\"}}\n\n"), "error in a stream");
        assert_eq!(kind("data: {\n\n"), "piece cannot be read");
    }
}
