//! The server with the real engine under it: too many clients, clients that leave, that do not read, that do not finish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use camelid_generate::engine::{Answered, EngineService, Limits, answer_all};
use camelid_generate::server::{Server, Settings, serve};
use camelid_generate::{Request, Sampling, Service, StopRules};
use camelid_model::{Generate, Logits, ModelError, Piece};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::recalling::Recalling;
use crate::support::{eventually, text};

const COMPLETIONS: &str = "/v1/completions";
const LIMITS: Limits = Limits { context: 600, cache_tokens: 2560, samples: 4, prompt_tokens: 256 };

/// A server over the real scheduler, on a model that recalls its sequences.
struct Real {
    base: String,
    address: std::net::SocketAddr,
    client: reqwest::Client,
    service: Arc<EngineService>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn start(engine: impl Generate + Send + 'static, queue: usize, settings: Settings) -> Real {
    let service = Arc::new(EngineService::start(Box::new(engine), text(), LIMITS, queue).unwrap());
    let server = Server::new(service.clone(), text(), settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, server, async {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Real { base: format!("http://{address}"), address, client, service, stop: Some(stop), task }
}

fn slow(milliseconds: u64) -> Recalling {
    Recalling { pause: Duration::from_millis(milliseconds), ..Recalling::default() }
}

fn settings() -> Settings {
    Settings::new("tiny")
}

impl Real {
    fn post(&self, body: &Json) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{COMPLETIONS}", self.base)).json(body)
    }

    fn is_empty(&self) -> bool {
        let load = self.service.load();
        (load.waiting, load.running, load.cache_used) == (0, 0, 0)
    }

    /// A connection on which a request was sent and nothing read, with little room for what comes.
    async fn unread(&self, body: &Json) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        let body = body.to_string();
        stream.write_all(head(body.len()).as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream
    }
}

fn head(length: usize) -> String {
    format!(
        "POST {COMPLETIONS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// A request and what it must get, whatever else runs.
fn numbered(seed: u64, max_tokens: usize) -> (Json, Answered) {
    let prompt: Vec<u32> = (0..5 + seed % 90).map(|place| (place * (seed % 7 + 1) % 250) as u32).collect();
    let body = json!({ "prompt": prompt, "seed": seed, "max_tokens": max_tokens, "ignore_eos": true, "return_token_ids": true });
    let request = Request {
        prompt,
        samples: 1,
        max_tokens,
        sampling: Sampling::plain(seed),
        stop: StopRules { ignore_end: true, ..StopRules::default() },
        choices: Vec::new(),
        top_log_probs: 0,
        prompt_log_probs: false,
    };
    let answers = answer_all(&mut Recalling::default(), &text(), LIMITS, vec![request], &mut |_| {}).unwrap();
    (body, answers.into_iter().flatten().next().unwrap())
}

fn streamed(mut body: Json) -> Json {
    body["stream"] = json!(true);
    body
}

/// Checks a whole reply, streamed or not.
fn check(reply: &str, expected: &Answered) {
    let pieces: Vec<Json> = if let Ok(whole) = serde_json::from_str(reply) {
        vec![whole]
    } else {
        assert!(reply.ends_with("data: [DONE]\n\n"), "a stream has its end: {reply}");
        let data = reply.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    };
    let choices: Vec<&Json> = pieces.iter().map(|piece| &piece["choices"][0]).collect();
    let said: String = choices.iter().filter_map(|choice| choice["text"].as_str()).collect();
    let ids = choices.iter().flat_map(|choice| choice["token_ids"].as_array().into_iter().flatten());
    let ids: Vec<u32> = ids.map(|id| id.as_u64().unwrap() as u32).collect();
    assert_eq!(ids, expected.tokens.iter().map(|score| score.token).collect::<Vec<_>>());
    assert_eq!(said, expected.text);
    assert_eq!(choices.iter().filter(|choice| choice["finish_reason"] == "length").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_overload_each_request_is_answered_rightly_or_told_to_come_back() {
    let server = start(slow(2), 3, Settings { retry_after: 1, ..settings() }).await;
    let mut clients = JoinSet::new();
    for seed in 0..30_u64 {
        let (body, expected) = numbered(seed, 12);
        let body = if seed % 2 == 0 { streamed(body) } else { body };
        let request = server.post(&body);
        clients.spawn(async move {
            let mut refused = 0;
            loop {
                let response = request.try_clone().unwrap().send().await.unwrap();
                match response.status().as_u16() {
                    200 => {
                        check(&response.text().await.unwrap(), &expected);
                        return refused;
                    }
                    429 => {
                        assert_eq!(response.headers()["retry-after"], "1");
                        let reply: Json = response.json().await.unwrap();
                        assert_eq!(reply["error"]["code"], "queue_full");
                        refused += 1;
                        tokio::time::sleep(Duration::from_millis(30)).await;
                    }
                    other => panic!("{other}"),
                }
            }
        });
    }
    let (mut answered, mut refused) = (0, 0);
    while let Some(client) = clients.join_next().await {
        (answered, refused) = (answered + 1, refused + client.unwrap());
    }
    assert!(answered == 30 && refused > 0, "{answered} answered, {refused} refused");
    eventually("the engine is empty", || server.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_give_their_rows_back() {
    let server = start(slow(3), 64, settings()).await;
    for round in 0..3 {
        let mut leaving = JoinSet::new();
        for seed in 0..12 {
            let (mut body, _) = numbered(seed, 1);
            body["max_tokens"] = json!(400);
            let request = server.post(&if seed % 3 == 0 { body } else { streamed(body) });
            leaving.spawn(async move {
                // Those in the batch get a first piece; those that wait, and those that want it whole, leave for want of time.
                let Ok(mut response) = request.timeout(Duration::from_millis(80)).send().await else { return };
                let _ = response.chunk().await;
            });
        }
        while leaving.join_next().await.is_some() {}
        eventually("the rows are free", || server.is_empty()).await;
        let (body, expected) = numbered(100 + round, 20);
        check(&server.post(&body).send().await.unwrap().text().await.unwrap(), &expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_answers_what_runs_and_what_waits() {
    let mut server = start(slow(3), 64, settings()).await;
    let mut clients = JoinSet::new();
    for seed in 0..16 {
        let (body, expected) = numbered(seed, 20);
        let request = server.post(&if seed % 2 == 0 { body } else { streamed(body) });
        clients.spawn(async move { check(&request.send().await.unwrap().text().await.unwrap(), &expected) });
    }
    eventually("all are accepted", || {
        let load = server.service.load();
        load.waiting + load.running == 16
    })
    .await;
    server.stop.take().unwrap().send(()).unwrap();
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    server.task.await.unwrap().unwrap();
    assert!(server.client.get(format!("{}/health", server.base)).send().await.is_err(), "it accepts no more");
}

/// Much to read: several samples, each token with its alternatives.
fn long(seed: u64, prompts: usize) -> Json {
    json!({ "prompt": vec![[seed, 2, 3]; prompts], "seed": seed, "n": 4, "max_tokens": 500, "ignore_eos": true, "logprobs": 20, "stream": true })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_hold_up_nobody_and_are_given_up() {
    let server =
        start(Recalling::default(), 64, Settings { stall_limit: Duration::from_millis(300), ..settings() }).await;
    let mut unread = Vec::new();
    // Each answer is longer than what the kernel keeps for a connection.
    for seed in 0..3 {
        unread.push(server.unread(&long(seed, 8)).await);
    }
    let begun = Instant::now();
    for seed in 0..10 {
        let (body, expected) = numbered(seed, 10);
        check(&server.post(&streamed(body)).send().await.unwrap().text().await.unwrap(), &expected);
    }
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    eventually("the rows are free", || server.is_empty()).await;
    let metrics = format!("{}/metrics", server.base);
    let mut given_up = String::new();
    for _ in 0..500 {
        given_up = server.client.get(&metrics).send().await.unwrap().text().await.unwrap();
        if given_up.contains("camelid_requests_unfinished_total 3\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(given_up.contains("camelid_requests_unfinished_total 3\n"), "{given_up}");
    // Whoever reads on after all sees that the answer is not whole.
    let mut rest = Vec::new();
    let _ = unread[0].read_to_end(&mut rest).await;
    assert!(!rest.is_empty() && !String::from_utf8_lossy(&rest).contains("[DONE]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_all_of_its_answer() {
    let server = start(Recalling::default(), 64, Settings { stall_limit: Duration::from_secs(20), ..settings() }).await;
    let mut stream = server.unread(&long(1, 1)).await;
    let (mut bytes, mut sip) = (Vec::new(), vec![0; 8192]);
    while !bytes.ends_with(b"\r\n0\r\n\r\n") {
        let count = stream.read(&mut sip).await.unwrap();
        assert!(count > 0, "the connection broke off after {} bytes", bytes.len());
        bytes.extend_from_slice(&sip[..count]);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("data: [DONE]") && text.matches("\"finish_reason\":\"length\"").count() == 4);
}

#[tokio::test]
async fn bodies_that_do_not_come_are_not_waited_for() {
    let limits = Settings { receive_limit: Duration::from_millis(100), body_limit: 1000, ..settings() };
    let mut server = start(Recalling::default(), 8, limits).await;
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(head(500).as_bytes()).await.unwrap();
    half.write_all(b"{\"prompt\": ").await.unwrap();
    let mut reply = String::new();
    let _ = half.read_to_string(&mut reply).await;
    assert!(reply.starts_with("HTTP/1.1 408 ") && reply.contains("fix: "), "{reply}");
    // Announced too large: refused although nothing was sent.
    let mut large = TcpStream::connect(server.address).await.unwrap();
    large.write_all(head(1001).as_bytes()).await.unwrap();
    let mut reply = String::new();
    let _ = large.read_to_string(&mut reply).await;
    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let begun = Instant::now();
    server.stop.take().unwrap().send(()).unwrap();
    server.task.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// What can never be served says so, rather than "try again later" for ever.
#[tokio::test]
async fn what_is_too_much_for_the_engine_names_its_field() {
    let server = start(Recalling::default(), 8, settings()).await;
    let cases = [
        (json!({ "prompt": vec!["a"; 9] }), "prompt"),
        (json!({ "prompt": "a", "n": 5 }), "n"),
        (json!({ "prompt": "a", "n": 4, "max_tokens": 590 }), "n"),
    ];
    let small = [
        (json!({ "prompt": "a", "stop": vec!["x"; 2000] }), "stop"),
        (json!({ "prompt": "a", "stop_token_ids": vec![1; 2000] }), "stop_token_ids"),
        (json!({ "prompt": "a", "guided_choice": vec!["x"; 2000] }), "guided_choice"),
        (json!({ "prompt": "a", "stream_options": 3 }), "stream_options"),
        (json!({ "prompt": "a", "stream_options": { "include_usage": "yes" } }), "stream_options"),
    ];
    for (body, field) in cases.into_iter().chain(small) {
        let response = server.post(&body).send().await.unwrap();
        let status = response.status().as_u16();
        let reply: Json = response.json().await.unwrap();
        assert_eq!((status, &reply["error"]["param"]), (400, &json!(field)), "{reply}");
        let message = reply["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("`{field}`")) && message.contains("\n  fix: "), "{message}");
    }
}

/// A model with a fault that takes its thread along.
struct Fatal(Recalling);

impl Generate for Fatal {
    fn open_cache(&mut self, rows: usize, longest: usize) {
        self.0.open_cache(rows, longest);
    }

    fn close_cache(&mut self) {
        self.0.close_cache();
    }

    fn cache_row_bytes(&self) -> usize {
        self.0.cache_row_bytes()
    }

    fn max_positions(&self) -> usize {
        self.0.max_positions()
    }

    fn vocabulary(&self) -> usize {
        self.0.vocabulary()
    }

    fn extend(&mut self, pieces: &[Piece<'_>]) -> Result<Logits, ModelError> {
        assert!(self.0.steps < 5, "a fault that the test wants");
        self.0.extend(pieces)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_breaks_leaves_nobody_waiting() {
    let server = start(Fatal(slow(5)), 64, settings()).await;
    let mut clients = JoinSet::new();
    // Some run, some wait in the scheduler.
    for seed in 0..10 {
        let request = server.post(&numbered(seed, 50).0).timeout(Duration::from_secs(20));
        clients.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    while let Some(status) = clients.join_next().await {
        assert!([500, 503].contains(&status.unwrap()));
    }
    let late = server.post(&numbered(1, 5).0).timeout(Duration::from_secs(20)).send().await.unwrap();
    assert_eq!(late.status(), 503);
    let health = server.client.get(format!("{}/health", server.base)).send().await.unwrap();
    assert_eq!(health.status(), 503);
    assert!(server.is_empty());
}
