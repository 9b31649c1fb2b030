//! Clients that misbehave, and what a server owes them all the same: a status, a reason, and no more than its share.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::client::{Failure, Outcome, ask, failed};
use super::raw::{Address, Answered, PATIENCE, status_of};
use super::target::Target;
use super::workload::{Ask, Workload};

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    LeaveInMidStream,
    LeaveBeforeTheReply,
    ReadSlowly,
    NeverRead,
    NotJson,
    DeeplyNested,
    BadUtf8,
    WrongTypes,
    UnknownFields,
    LargeBody,
    TooLargeBody,
    ManyValues,
    HalfABody,
    WrongMethod,
    UnknownPath,
    Noise,
    /// More requests at a time than the queue holds.
    Burst,
}

impl Manner {
    pub(crate) const ALL: [Self; 17] = [
        Self::LeaveInMidStream,
        Self::LeaveBeforeTheReply,
        Self::ReadSlowly,
        Self::NeverRead,
        Self::NotJson,
        Self::DeeplyNested,
        Self::BadUtf8,
        Self::WrongTypes,
        Self::UnknownFields,
        Self::LargeBody,
        Self::TooLargeBody,
        Self::ManyValues,
        Self::HalfABody,
        Self::WrongMethod,
        Self::UnknownPath,
        Self::Noise,
        Self::Burst,
    ];
}

/// Bytes of a body that is large and still taken, and of one that is not.
const LARGE: usize = 8 << 20;
const TOO_LARGE: usize = 64 << 20;
/// A slow reader takes so many bytes at a time, and waits so long between.
const SIP: usize = 64;
const PAUSE: Duration = Duration::from_millis(20);
/// How long a client that never reads keeps its connection.
const SILENCE: Duration = Duration::from_secs(5);

/// What an unruly client needs.
pub(crate) struct Unruly {
    pub(crate) target: Arc<Target>,
    pub(crate) address: Address,
    /// Its requests are all streamed.
    pub(crate) workload: Workload,
    /// Requests of a burst.
    pub(crate) burst: usize,
}

/// Whether a misdeed was turned away with 429 rather than seen through.
pub(crate) type TurnedAway = u64;

impl Unruly {
    /// Misbehaves once; an error is what the server did wrong.
    pub(crate) async fn act(&self, manner: Manner, number: usize) -> Result<TurnedAway, Failure> {
        let ask = self.workload.ask(number);
        let body = ask.body.to_string();
        let (address, path) = (&self.address, ask.path());
        match manner {
            Manner::LeaveInMidStream => {
                let mut stream = address.begin(path, body.as_bytes()).await?;
                let mut some = [0; 600];
                let _ = timeout(PATIENCE, stream.read(&mut some)).await;
            }
            Manner::LeaveBeforeTheReply => drop(address.begin(path, body.as_bytes()).await?),
            Manner::NeverRead => {
                let stream = address.begin(path, body.as_bytes()).await?;
                sleep(SILENCE).await;
                drop(stream);
            }
            Manner::ReadSlowly => return self.read_slowly(&ask).await,
            Manner::UnknownFields => {
                let more = json!({ "invented": { "deep": [1, null, "x"] }, "user": 7, "metadata": [] });
                return whole(&address.exchange("POST", path, with(&ask.body, more).as_bytes()).await?);
            }
            Manner::LargeBody => {
                let more = json!({ "invented": "x".repeat(LARGE) });
                return whole(&address.exchange("POST", path, with(&ask.body, more).as_bytes()).await?);
            }
            Manner::Burst => return self.burst(number).await,
            Manner::HalfABody => {
                use tokio::io::AsyncWriteExt;
                let mut stream = address.connect().await?;
                let _ = stream.write_all(&address.head("POST", path, body.len())).await;
                let _ = stream.write_all(&body.as_bytes()[..body.len() / 2]).await;
                sleep(PAUSE).await;
            }
            Manner::NotJson => self.refused(path, &body.as_bytes()[..body.len() - 1], None).await?,
            Manner::DeeplyNested => self.refused(path, "[".repeat(100_000).as_bytes(), None).await?,
            Manner::BadUtf8 => self.refused(path, &[body.as_bytes(), b"\xff\xfe\"}"].concat(), None).await?,
            Manner::ManyValues => {
                let body = format!("{{\"prompt\": [{}0]}}", "0,".repeat(3 << 20));
                self.refused("/completions", body.as_bytes(), None).await?;
            }
            Manner::WrongTypes => {
                let (field, value) = wrong_type(number);
                self.refused(path, with(&ask.body, json!({ field: value })).as_bytes(), Some(field)).await?;
            }
            Manner::TooLargeBody => {
                let mut request = address.head("POST", path, TOO_LARGE);
                request.extend_from_slice(&body.as_bytes()[..body.len() / 2]);
                expect(&address.send(&request).await?, &[413])?;
            }
            Manner::WrongMethod => expect(&address.exchange("DELETE", path, b"").await?, &[405])?,
            Manner::UnknownPath => expect(&address.exchange("POST", "/nothing", body.as_bytes()).await?, &[404])?,
            Manner::Noise => {
                let noise: Vec<u8> = (0..2000_usize).map(|place| (place * (number + 7) % 251) as u8).collect();
                let answered = address.send(&[&noise[..], b"\r\n\r\n"].concat()).await?;
                // A closed connection is an answer to what is no HTTP.
                expect(&answered, &[0, 400, 431])?;
            }
        }
        Ok(0)
    }

    /// A body that must be refused, by the field's name where it has one.
    async fn refused(&self, path: &str, body: &[u8], field: Option<&str>) -> Result<(), Failure> {
        let answered = self.address.exchange("POST", path, body).await?;
        expect(&answered, &[400])?;
        let json = answered.text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str::<Json>(body).ok());
        let error = json.map(|json| json["error"].clone()).unwrap_or_default();
        let names = field.is_none_or(|field| error["message"].as_str().is_some_and(|text| text.contains(field)));
        if !error["message"].is_string() || !names {
            return failed("refusal without a reason", answered.text.chars().take(300).collect::<String>());
        }
        Ok(())
    }

    async fn read_slowly(&self, ask: &Ask) -> Result<TurnedAway, Failure> {
        let mut stream = self.address.begin(ask.path(), ask.body.to_string().as_bytes()).await?;
        let (mut bytes, mut sip) = (Vec::new(), [0; SIP]);
        loop {
            match timeout(PATIENCE, stream.read(&mut sip)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(count)) => bytes.extend_from_slice(&sip[..count]),
                Err(_) => return failed("connection hangs", "a slow reader was forgotten"),
            }
            sleep(PAUSE).await;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        whole(&Answered { status: status_of(&text), text })
    }

    /// Every one is answered or told when to come back.
    async fn burst(&self, number: usize) -> Result<TurnedAway, Failure> {
        let short = Workload { tokens: 1, words: 8, ..self.workload.clone() };
        let mut asked = JoinSet::new();
        for place in 0..self.burst {
            let (target, request) = (Arc::clone(&self.target), short.ask(number + place));
            asked.spawn(async move { ask(&target, &request).await });
        }
        let mut turned_away = 0;
        while let Some(outcome) = asked.join_next().await {
            match outcome {
                Ok(Outcome::Answered(_)) => {}
                Ok(Outcome::Busy(Some(_))) => turned_away += 1,
                Ok(Outcome::Busy(None)) => return failed("429 without Retry-After", ""),
                Ok(Outcome::Failed(failure)) => return Err(failure),
                Err(error) => return failed("a client broke", error.to_string()),
            }
        }
        Ok(turned_away)
    }
}

/// A streamed reply that is complete, or none because there was no room.
fn whole(answered: &Answered) -> Result<TurnedAway, Failure> {
    expect(answered, &[200, 429])?;
    if answered.status == 429 {
        let told = answered.text.to_ascii_lowercase().contains("retry-after:");
        return if told { Ok(1) } else { failed("429 without Retry-After", answered.text.clone()) };
    }
    // An event that is an error; an answer may well say the word.
    if answered.text.contains("data: [DONE]") && !answered.text.contains("data: {\"error\"") {
        return Ok(0);
    }
    failed(
        "stream ended early",
        answered.text.chars().rev().take(200).collect::<Vec<_>>().iter().rev().collect::<String>(),
    )
}

fn expect(answered: &Answered, statuses: &[u16]) -> Result<(), Failure> {
    if statuses.contains(&answered.status) {
        return Ok(());
    }
    let text: String = answered.text.chars().take(300).collect();
    failed(&format!("status {} where {statuses:?} is right", answered.status), text)
}

/// A body with further fields.
fn with(body: &Json, more: Json) -> String {
    let mut body = body.clone();
    if let (Some(fields), Json::Object(more)) = (body.as_object_mut(), more) {
        fields.extend(more);
    }
    body.to_string()
}

/// A field and a value of the wrong type for it.
fn wrong_type(number: usize) -> (&'static str, Json) {
    let cases = [
        ("temperature", json!("hot")),
        ("max_tokens", json!(-1)),
        ("max_tokens", json!({ "a": 1 })),
        ("n", json!(1.5)),
        ("stop", json!(7)),
        ("stream", json!("yes")),
        ("stream_options", json!([1])),
        ("seed", json!("seven")),
        ("top_p", json!([1, 2, 3])),
        ("model", json!(3)),
        ("stop_token_ids", json!(["a"])),
    ];
    cases[number % cases.len()].clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_whole_whatever_it_says() {
        let stream = |events: &str| Answered { status: 200, text: format!("HTTP/1.1 200 OK\r\n\r\n{events}") };
        assert_eq!(whole(&stream("data: {\"content\":\"error\"}\n\ndata: [DONE]\n\n")).ok(), Some(0));
        assert!(whole(&stream("data: {\"content\":\"so\"}\n\n")).is_err());
        assert!(whole(&stream("data: {\"error\":{\"message\":\"no\"}}\n\ndata: [DONE]\n\n")).is_err());
    }
}
