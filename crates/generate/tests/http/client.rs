//! The client against servers that behave and servers that do not.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use camelid_generate::client::{
    CachedGenerator, GenerateError, Generator, LimitField, Price, Prompt, RemoteGenerator, RemoteSettings,
    ResponseCache, ServiceGenerator,
};
use camelid_generate::protocol::{Decoding, Input};
use camelid_generate::server::Settings;
use camelid_generate::{Sampling, Service};
use camelid_records::{Message, Role};
use serde_json::{Map, Value as Json, json};
use tokio::runtime::Runtime;

use crate::support::{ANSWER, Fake, start, text};

/// What a bad server does to one request.
#[derive(Clone)]
enum Act {
    Status(u16, &'static str, &'static [(&'static str, &'static str)]),
    Hang,
    BreakOff,
}

/// A server that works off its acts and then answers well.
struct Bad {
    base: String,
    requests: Arc<Mutex<Vec<(HeaderMap, Json)>>>,
    _runtime: Runtime,
}

const GOOD: &str = r#"{"choices": [{"index": 0, "message": {"content": "fine"}, "finish_reason": "stop"}],
                       "usage": {"prompt_tokens": 1000, "completion_tokens": 500}}"#;

fn bad(acts: Vec<Act>) -> Bad {
    let runtime = Runtime::new().unwrap();
    let acts = Arc::new(Mutex::new(VecDeque::from(acts)));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    let handler = move |headers: HeaderMap, body: Bytes| {
        seen.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
        let act = acts.lock().unwrap().pop_front();
        async move {
            match act {
                None => GOOD.into_response(),
                Some(Act::Status(status, body, headers)) => {
                    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
                    for (name, value) in headers {
                        response = response.header(*name, *value);
                    }
                    response.body(Body::from(body)).unwrap()
                }
                Some(Act::Hang) => {
                    tokio::time::sleep(Duration::from_mins(1)).await;
                    GOOD.into_response()
                }
                Some(Act::BreakOff) => {
                    let parts = [Ok("{\"choices\":"), Err(std::io::Error::other("gone"))];
                    Body::from_stream(futures_util::stream::iter(parts)).into_response()
                }
            }
        }
    };
    let base = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, Router::new().fallback(handler)).await });
        base
    });
    Bad { base, requests, _runtime: runtime }
}

fn hasty(base: &str) -> RemoteSettings {
    RemoteSettings {
        attempts: 3,
        first_wait: Duration::from_millis(5),
        timeout: Duration::from_millis(400),
        ..RemoteSettings::new(base, "m")
    }
}

fn ask(content: &str) -> Prompt {
    let messages = vec![Message::new(Role::User, content)];
    let input = Input::Chat { messages, tools: None, template_arguments: Map::new() };
    Prompt { input, decoding: Decoding::default() }
}

fn one(generator: &impl Generator) -> Result<String, GenerateError> {
    let mut results = generator.generate(&[ask("hi")]);
    assert_eq!(results.len(), 1);
    results.remove(0).map(|generated| generated.answers[0].text.clone())
}

#[test]
fn what_may_pass_is_tried_again() {
    let busy = |status| Act::Status(status, "later", &[]);
    for acts in [vec![busy(408), busy(429)], vec![busy(500), busy(503)], vec![Act::Hang, Act::BreakOff]] {
        let server = bad(acts);
        let generator = RemoteGenerator::new(hasty(&server.base)).unwrap();
        assert_eq!(one(&generator), Ok("fine".into()));
        assert_eq!((generator.totals().retries, generator.totals().answered, generator.totals().failed), (2, 1, 0));
    }
}

#[test]
fn what_will_not_pass_is_not() {
    for status in [400, 401, 404, 422] {
        let server = bad(vec![Act::Status(status, "no such thing", &[])]);
        let generator = RemoteGenerator::new(hasty(&server.base)).unwrap();
        assert_eq!(one(&generator), Err(GenerateError::Refused { status, body: "no such thing".into() }));
        assert_eq!(server.requests.lock().unwrap().len(), 1);
        assert_eq!((generator.totals().retries, generator.totals().failed), (0, 1));
    }
}

#[test]
fn attempts_end() {
    let server = bad(vec![Act::Status(503, "overloaded", &[]); 3]);
    let error = one(&RemoteGenerator::new(hasty(&server.base)).unwrap()).unwrap_err();
    assert_eq!(error, GenerateError::Exhausted { attempts: 3, last: "status 503: overloaded".into() });

    let hanging = bad(vec![Act::Hang; 2]);
    let begun = Instant::now();
    let error =
        one(&RemoteGenerator::new(RemoteSettings { attempts: 2, ..hasty(&hanging.base) }).unwrap()).unwrap_err();
    assert!(error.to_string().contains("timed out"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));

    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = one(&RemoteGenerator::new(hasty(&format!("http://{gone}"))).unwrap()).unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_servers_wish_to_wait_is_honoured() {
    let server = bad(vec![Act::Status(429, "", &[("retry-after", "1")])]);
    let begun = Instant::now();
    assert_eq!(one(&RemoteGenerator::new(hasty(&server.base)).unwrap()), Ok("fine".into()));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[test]
fn what_is_no_answer_is_an_error_that_shows_it() {
    let long: &'static str = Box::leak(format!("<html>{}", "x".repeat(1000)).into_boxed_str());
    let cases = [
        (long, "no reply"),
        ("", "no reply"),
        ("[]", "0 choices"),
        (r#"{"error": {"message": "quota"}}"#, "quota"),
        (r#"{"choices": []}"#, "0 choices instead of 1"),
        (r#"{"choices": [{}, {}]}"#, "2 choices instead of 1"),
        (r#"{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}"#, "a choice without an answer"),
        (r#"{"choices": [{"message": {"content": ""}}]}"#, "a choice without an answer"),
    ];
    for (body, expected) in cases {
        let server = bad(vec![Act::Status(200, body, &[])]);
        let generator = RemoteGenerator::new(hasty(&server.base)).unwrap();
        let error = one(&generator).unwrap_err();
        assert!(matches!(&error, GenerateError::Malformed { body, .. } if body.chars().count() <= 200), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(generator.totals().failed, 1);
    }
}

#[test]
fn answers_keep_the_order_of_their_prompts_and_are_counted() {
    let server = bad(vec![Act::Hang, Act::Status(400, "bad", &[])]);
    let price = Some(Price { prompt: 2.0, completion: 10.0 });
    let generator = RemoteGenerator::new(RemoteSettings { price, concurrency: 4, ..hasty(&server.base) }).unwrap();
    let prompts: Vec<_> = (0..9).map(|number| ask(&number.to_string())).collect();
    let results = generator.generate(&prompts);
    assert_eq!((results.len(), results.iter().filter(|result| result.is_err()).count()), (9, 1));
    let totals = generator.totals();
    assert_eq!((totals.answered, totals.failed, totals.prompt_tokens, totals.completion_tokens), (8, 1, 8000, 4000));
    assert!((totals.cost - 0.056).abs() < 1e-12, "{}", totals.cost);
}

#[test]
fn requests_carry_the_key_and_only_what_was_set() {
    let server = bad(vec![]);
    // The test runner sets it for every test.
    let variable = "CARGO_PKG_NAME";
    let key_variable = Some(variable.to_owned());
    let settings = RemoteSettings { key_variable, limit_field: LimitField::MaxCompletionTokens, ..hasty(&server.base) };
    let generator = RemoteGenerator::new(settings).unwrap();
    let mut prompt = ask("hi");
    prompt.decoding = Decoding {
        temperature: Some(0.7),
        max_tokens: Some(9),
        top_k: Some(0),
        log_probs: Some(2),
        ..Decoding::default()
    };
    generator.generate(&[prompt])[0].as_ref().unwrap();
    let (headers, body) = server.requests.lock().unwrap()[0].clone();
    assert_eq!(headers["authorization"], format!("Bearer {}", std::env::var(variable).unwrap()).as_str());
    let expected = json!({
        "model": "m", "messages": [{ "role": "user", "content": "hi" }], "max_completion_tokens": 9,
        "temperature": 0.7, "top_k": -1, "logprobs": true, "top_logprobs": 2,
    });
    assert_eq!(body, expected);
}

#[test]
fn settings_that_cannot_work_are_named() {
    let wrong = |settings: RemoteSettings| RemoteGenerator::new(settings).err().unwrap().to_string();
    assert!(wrong(RemoteSettings::new("localhost:8000", "m")).starts_with("base_url: `localhost:8000` is no address"));
    assert!(wrong(RemoteSettings::new("", "m")).contains("\n  fix: "));
    let key_variable = Some("CAMELID_NO_SUCH_KEY".to_owned());
    let message = wrong(RemoteSettings { key_variable, ..RemoteSettings::new("http://a/v1", "m") });
    assert!(message.contains("CAMELID_NO_SUCH_KEY is not set"), "{message}");
}

#[test]
fn a_rate_limit_slows_requests() {
    let server = bad(vec![]);
    // A sixth of a minute's 120 may go at once; the other four take half a second each.
    let settings = RemoteSettings { requests_per_minute: Some(120), concurrency: 50, ..hasty(&server.base) };
    let generator = RemoteGenerator::new(settings).unwrap();
    let prompts = vec![ask("hi"); 24];
    let begun = Instant::now();
    assert!(generator.generate(&prompts).iter().all(Result::is_ok));
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
}

#[test]
fn a_cache_asks_once_and_forgets_failures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.jsonl");
    let cached = |server: &Bad, revision: &str| {
        let settings = RemoteSettings { revision: revision.into(), ..hasty(&server.base) };
        CachedGenerator::new(RemoteGenerator::new(settings).unwrap(), ResponseCache::open(&path).unwrap())
    };
    let server = bad(vec![Act::Status(400, "no", &[])]);
    let generator = cached(&server, "a");
    assert!(one(&generator).is_err());
    assert_eq!(one(&generator), Ok("fine".into()));
    let results = generator.generate(&[ask("hi"), ask("other"), ask("other"), ask("hi")]);
    let from_cache: Vec<_> = results.iter().map(|result| result.as_ref().unwrap().cached).collect();
    assert_eq!(from_cache, [true, false, true, true]);
    let totals = generator.totals();
    assert_eq!((totals.answered, totals.cached, totals.failed, totals.prompt_tokens), (5, 3, 1, 2000));
    drop(generator);
    assert_eq!(server.requests.lock().unwrap().len(), 3);

    // A process that died while it wrote leaves a torn line.
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"key\": \"12").unwrap();
    let generator = cached(&server, "a");
    assert_eq!(one(&generator), Ok("fine".into()));
    generator.generate(&[ask("third")])[0].as_ref().unwrap();
    drop(generator);
    assert_eq!(server.requests.lock().unwrap().len(), 4);
    let cache = ResponseCache::open(&path).unwrap();
    assert_eq!((cache.len(), cache.unreadable()), (3, 0));
    assert!(ResponseCache::open(&path).err().unwrap().to_string().contains("another process"));
    drop(cache);

    assert_eq!(one(&cached(&server, "b")), Ok("fine".into()));
    assert_eq!(server.requests.lock().unwrap().len(), 5, "another revision is another model");
}

#[test]
fn keys_tell_apart_whatever_changes_an_answer() {
    let base = ask("hi");
    let mut seeded = base.clone();
    seeded.decoding.seed = Some(1);
    let mut hot = base.clone();
    hot.decoding.temperature = Some(1.5);
    let text = Prompt { input: Input::Text("hi".into()), ..base.clone() };
    let keys: std::collections::HashSet<_> = [
        ResponseCache::key("m", &base),
        ResponseCache::key("n", &base),
        ResponseCache::key("m", &ask("ho")),
        ResponseCache::key("m", &seeded),
        ResponseCache::key("m", &hot),
        ResponseCache::key("m", &text),
    ]
    .into();
    assert_eq!(keys.len(), 6);
    assert_eq!(ResponseCache::key("m", &base), ResponseCache::key("m", &ask("hi")));
}

#[test]
fn broken_lines_of_a_cache_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.jsonl");
    std::fs::write(&path, b"nonsense\n\xff\xfe\n{\"key\": \"k\", \"generated\": {\"model\": \"m\"}}\n").unwrap();
    let cache = ResponseCache::open(&path).unwrap();
    assert_eq!((cache.len(), cache.unreadable()), (1, 2));
    assert_eq!(cache.get("k").unwrap().model, "m");
    assert!(cache.get("other").is_none());
    let missing = ResponseCache::open(&folder.path().join("no/such/folder")).err().unwrap();
    assert!(missing.to_string().contains("\n  fix: "));
}

fn in_process(fake: Fake) -> (Arc<Fake>, ServiceGenerator) {
    let fake = Arc::new(fake);
    let service: Arc<dyn Service> = fake.clone();
    (fake, ServiceGenerator::new(service, text(), "tiny", Sampling::greedy()))
}

#[test]
fn an_engine_in_process_answers_everything_in_order() {
    let (_, generator) = in_process(Fake { room: 2, ..Fake::new() });
    let mut prompts: Vec<_> = (1..9).map(|samples| ask(&"x".repeat(samples))).collect();
    for (samples, prompt) in prompts.iter_mut().enumerate() {
        prompt.decoding.samples = samples + 1;
    }
    prompts[4].decoding.top_p = Some(0.0);
    let results = generator.generate(&prompts);
    for (place, result) in results.iter().enumerate() {
        if place == 4 {
            let error = result.as_ref().unwrap_err().to_string();
            assert!(error.starts_with("top_p = 0 is out of range"), "{error}");
            continue;
        }
        let generated = result.as_ref().unwrap();
        assert_eq!(generated.answers.len(), place + 1);
        assert!(
            generated.answers.iter().all(|answer| answer.text == ANSWER && answer.finish.as_deref() == Some("stop"))
        );
        assert_eq!(generated.answers[0].log_probs.as_ref().unwrap()[..2], [-0.5, -1.0]);
        assert_eq!(generated.answers[0].sampling_log_probs.as_ref().unwrap()[..2], [-0.25, -0.5]);
        assert_eq!(generated.weight_version, Some(7));
    }
    assert_eq!((generator.totals().answered, generator.totals().failed), (7, 1));
}

#[test]
fn an_engine_in_process_that_fails_is_an_error_for_each() {
    for fake in [Fake { fails: true, ..Fake::new() }, Fake { vanishes: true, ..Fake::new() }] {
        let results = in_process(fake).1.generate(&[ask("a"), ask("b")]);
        assert!(results.iter().all(|result| matches!(result, Err(GenerateError::Failed(_)))));
    }
    let (fake, generator) = in_process(Fake::new());
    fake.drain();
    assert!(matches!(&generator.generate(&[ask("a")])[0], Err(GenerateError::Failed(_))));
}

#[test]
fn our_server_tells_our_client_what_the_engine_tells_it() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(start(Fake::new(), Settings::new("tiny")));
    let settings = RemoteSettings { token_ids: true, ..RemoteSettings::new(&server.base, "tiny") };
    let remote = RemoteGenerator::new(settings).unwrap();
    let (_, local) = in_process(Fake::new());
    let mut prompts = vec![ask("hi"), Prompt { input: Input::Text("a".into()), ..ask("") }];
    prompts.push(Prompt { input: Input::Tokens(vec![97, 65]), ..ask("") });
    for prompt in &mut prompts {
        prompt.decoding = Decoding {
            samples: 2,
            max_tokens: Some(50),
            log_probs: Some(1),
            prompt_log_probs: Some(1),
            stop: vec!["!".into()],
            ..Decoding::default()
        };
    }
    // Inside a runtime, where waiting is not allowed.
    let remote_answers = runtime.block_on(async { remote.generate(&prompts) });
    for (ours, theirs) in local.generate(&prompts).into_iter().zip(remote_answers) {
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        for answer in &mut ours.answers {
            answer.sampling_log_probs = None; // Not a part of the interface.
        }
        for place in theirs.answers.iter_mut().flat_map(|answer| answer.alternatives.iter_mut().flatten()) {
            // The completions endpoint adds the token that was drawn to the one that was asked for.
            assert!(place.len() <= 2);
            place.truncate(1);
        }
        assert_eq!(ours, theirs);
    }
    runtime.block_on(async { drop(remote) });
}
