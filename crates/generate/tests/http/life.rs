//! Clients that leave and servers that stop.

use std::time::{Duration, Instant};

use camelid_generate::server::Settings;
use serde_json::json;

use crate::support::{ANSWER, Fake, chat, completion, eventually, start};

const CHAT: &str = "/v1/chat/completions";

fn slow() -> Fake {
    Fake { pause: Duration::from_millis(20), ..Fake::new() }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let server = start(slow(), Settings::new("tiny")).await;
    let waiting = server.post(CHAT, &chat(json!({}))).timeout(Duration::from_millis(60)).send().await;
    assert!(waiting.unwrap_err().is_timeout());
    eventually("the engine is told", || server.fake.cancelled() == 1).await;

    let mut streaming = server.post(CHAT, &chat(json!({ "stream": true }))).send().await.unwrap();
    assert!(streaming.chunk().await.unwrap().is_some());
    drop(streaming);
    eventually("the engine is told", || server.fake.cancelled() == 2).await;

    let body = completion(json!({ "prompt": ["a", "b"], "n": 2 }));
    let waiting = server.post("/v1/completions", &body).timeout(Duration::from_millis(60)).send().await;
    assert!(waiting.is_err());
    eventually("each prompt is cancelled", || server.fake.cancelled() == 4).await;
    assert_eq!(server.fake.answered(), 0);
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.contains("camelid_requests_unfinished_total 3\n"), "{metrics}");
}

#[tokio::test]
async fn a_shutdown_finishes_what_was_accepted() {
    let mut server = start(slow(), Settings::new("tiny")).await;
    let whole = tokio::spawn(server.post(CHAT, &chat(json!({}))).send());
    let streamed = tokio::spawn(server.post(CHAT, &chat(json!({ "stream": true }))).send());
    eventually("both are accepted", || server.fake.active() == 2).await;
    server.stop();
    let reply: serde_json::Value = whole.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(reply["choices"][0]["message"]["content"], ANSWER);
    let text = streamed.await.unwrap().unwrap().text().await.unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    server.task.await.unwrap().unwrap();
    assert_eq!((server.fake.answered(), server.fake.cancelled(), server.fake.active()), (2, 0, 0));
    assert!(server.client.get(format!("{}/health", server.base)).send().await.is_err(), "it accepts no more");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_a_shutdown() {
    let mut server = start(Fake::new(), Settings::new("tiny")).await;
    assert_eq!(server.get("/health").await.0, 200);
    let begun = Instant::now();
    server.stop();
    server.task.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn requests_that_outlast_the_drain_limit_are_cancelled() {
    let fake = Fake { pause: Duration::from_millis(500), ..Fake::new() };
    let mut server = start(fake, Settings { drain_limit: Duration::from_millis(50), ..Settings::new("tiny") }).await;
    let waiting = tokio::spawn(server.post(CHAT, &chat(json!({}))).send());
    eventually("it is accepted", || server.fake.active() == 1).await;
    let begun = Instant::now();
    server.stop();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 503);
    server.task.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(server.fake.cancelled(), 1);
}
