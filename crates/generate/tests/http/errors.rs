//! What requests that cannot be answered get.

use camelid_generate::server::Settings;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::support::{Fake, Harness, chat, completion, plain, start};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

async fn refused(server: &Harness, path: &str, body: Json, field: &str) {
    let (status, reply) = server.ask(path, &body).await;
    assert_eq!((status, &reply["error"]["param"]), (400, &json!(field)), "{body} gave {reply}");
    let message = reply["error"]["message"].as_str().unwrap();
    assert!(message.contains("\n  fix: "), "{message}");
    assert_eq!(reply["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn errors_of_chats_name_the_field() {
    let server = plain().await;
    let cases = [
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": "hi" }), "messages"),
        (json!({ "messages": null }), "messages"),
        (json!({ "messages": [3] }), "messages[0]"),
        (json!({ "messages": [{ "content": "a" }] }), "messages[0].role"),
        (json!({ "messages": [{ "role": "user", "content": 3 }] }), "messages[0].content"),
        (json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }), "messages[0].content[0]"),
        (json!({ "temperature": "hot" }), "temperature"),
        (json!({ "temperature": -1 }), "temperature"),
        (json!({ "temperature": 1e300 }), "temperature"),
        (json!({ "top_p": 0 }), "top_p"),
        (json!({ "min_p": 1.5 }), "min_p"),
        (json!({ "top_k": -2 }), "top_k"),
        (json!({ "repetition_penalty": 0 }), "repetition_penalty"),
        (json!({ "n": 0 }), "n"),
        (json!({ "n": 1_000_000 }), "n"),
        (json!({ "seed": 1.5 }), "seed"),
        (json!({ "max_tokens": -1 }), "max_tokens"),
        (json!({ "max_tokens": 100_000 }), "max_tokens"),
        (json!({ "messages": [{ "role": "user", "content": "long ".repeat(100) }] }), "messages"),
        (json!({ "stop": [""] }), "stop"),
        (json!({ "stop": 3 }), "stop"),
        (json!({ "stop_token_ids": [999_999] }), "stop_token_ids"),
        (json!({ "logprobs": true, "top_logprobs": 21 }), "logprobs"),
        (json!({ "top_logprobs": 2 }), "top_logprobs"),
        (json!({ "stream": "yes" }), "stream"),
        (json!({ "echo": true }), "echo"),
        (json!({ "guided_choice": [] }), "guided_choice"),
        (json!({ "guided_choice": ["a", ""] }), "guided_choice"),
        (json!({ "stream": true, "prompt_logprobs": 1 }), "prompt_logprobs"),
    ];
    for (fields, field) in cases {
        refused(&server, CHAT, chat(fields), field).await;
    }
    assert_eq!(server.fake.requests.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_by_name() {
    let server = plain().await;
    let cases = [
        ("tool_choice", json!("required")),
        ("tool_choice", json!({ "type": "function", "function": { "name": "f" } })),
        ("response_format", json!({ "type": "json_object" })),
        ("logit_bias", json!({ "5": 1 })),
        ("audio", json!({ "voice": "x" })),
        ("modalities", json!(["text", "audio"])),
        ("functions", json!([])),
        ("guided_regex", json!("a*")),
        ("guided_json", json!({})),
        ("structured_outputs", json!({ "regex": "a" })),
        ("best_of", json!(3)),
        ("use_beam_search", json!(true)),
        ("min_tokens", json!(3)),
        ("chat_template", json!("{{ 1 }}")),
        ("continue_final_message", json!(true)),
    ];
    for (field, value) in cases {
        refused(&server, CHAT, chat(json!({ field: value })), field).await;
    }
    refused(&server, COMPLETIONS, completion(json!({ "suffix": "x" })), "suffix").await;
}

#[tokio::test]
async fn errors_of_completions_name_the_field() {
    let server = plain().await;
    let cases = [
        (json!({ "prompt": null }), "prompt"),
        (json!({ "prompt": [] }), "prompt"),
        (json!({ "prompt": "" }), "prompt"),
        (json!({ "prompt": [[]] }), "prompt"),
        (json!({ "prompt": [1, "a"] }), "prompt"),
        (json!({ "prompt": ["a", 1] }), "prompt"),
        (json!({ "prompt": [-1] }), "prompt"),
        (json!({ "prompt": [999_999] }), "prompt"),
        (json!({ "prompt": { "a": 1 } }), "prompt"),
        (json!({ "logprobs": true }), "logprobs"),
        (json!({ "logprobs": 50 }), "logprobs"),
    ];
    for (fields, field) in cases {
        refused(&server, COMPLETIONS, completion(fields), field).await;
    }
}

#[tokio::test]
async fn unknown_models_addresses_and_methods_are_named() {
    let server = plain().await;
    let (status, reply) = server.ask(CHAT, &chat(json!({ "model": "other" }))).await;
    assert_eq!((status, &reply["error"]["code"]), (404, &json!("model_not_found")));
    assert!(reply["error"]["message"].as_str().unwrap().contains("use `tiny`"));
    let (status, body) = server.get("/v1/nothing").await;
    assert!(status == 404 && body.contains("GET /v1/nothing"), "{body}");
    let (status, body) = server.get(CHAT).await;
    assert!(status == 405 && body.contains("use POST"), "{body}");
}

#[tokio::test]
async fn without_the_key_only_health_answers() {
    let server = start(Fake::new(), Settings { api_key: Some("secret".into()), ..Settings::new("tiny") }).await;
    let body = chat(json!({}));
    let with = |key: &'static str| server.post(CHAT, &body).header("authorization", key);
    for wrong in ["Bearer wrong", "secret", "Basic secret", "Bearer", "Bearer ", "Bearer secret2"] {
        let response = with(wrong).send().await.unwrap();
        assert_eq!(response.status(), 401, "{wrong}");
        let reply: Json = response.json().await.unwrap();
        assert_eq!(reply["error"]["code"], "invalid_api_key");
        assert!(!reply.to_string().contains("secret"));
    }
    assert_eq!(server.ask(CHAT, &body).await.0, 401);
    assert_eq!(server.get("/metrics").await.0, 401);
    assert_eq!(server.get("/v1/models").await.0, 401);
    assert_eq!(server.get("/health").await.0, 200);
    for right in ["Bearer secret", "bearer secret "] {
        assert_eq!(with(right).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let server = start(Fake::new(), Settings { body_limit: 1000, ..Settings::new("tiny") }).await;
    let (status, reply) = server.ask(CHAT, &chat(json!({ "user": "x".repeat(2000) }))).await;
    assert_eq!(status, 413);
    assert!(reply["error"]["message"].as_str().unwrap().contains("1000 bytes"));
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let server = start(Fake { room: 0, ..Fake::new() }, Settings { retry_after: 3, ..Settings::new("tiny") }).await;
    for stream in [false, true] {
        let response = server.post(CHAT, &chat(json!({ "stream": stream }))).send().await.unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "3");
        let reply: Json = response.json().await.unwrap();
        assert_eq!(reply["error"]["type"], "rate_limit_error");
    }
}

#[tokio::test]
async fn of_several_prompts_all_are_taken_or_none() {
    let fake = Fake { room: 1, pause: std::time::Duration::from_millis(20), ..Fake::new() };
    let server = start(fake, Settings::new("tiny")).await;
    let (status, _) = server.ask(COMPLETIONS, &completion(json!({ "prompt": ["a", "b"] }))).await;
    assert_eq!(status, 429);
    crate::support::eventually("the accepted half is cancelled", || server.fake.cancelled() == 1).await;
}

#[tokio::test]
async fn an_engine_that_fails_or_vanishes_is_a_server_error() {
    let failing = start(Fake { fails: true, ..Fake::new() }, Settings::new("tiny")).await;
    let (status, reply) = failing.ask(CHAT, &chat(json!({}))).await;
    assert_eq!((status, &reply["error"]["type"]), (500, &json!("server_error")));
    assert!(reply["error"]["message"].as_str().unwrap().starts_with("out of memory"));
    let pieces = failing.stream(CHAT, &chat(json!({ "stream": true }))).await;
    assert_eq!(pieces.last().unwrap()["error"]["type"], "server_error");

    let vanishing = start(Fake { vanishes: true, ..Fake::new() }, Settings::new("tiny")).await;
    assert_eq!(vanishing.ask(CHAT, &chat(json!({}))).await.0, 500);
    let (_, metrics) = vanishing.get("/metrics").await;
    assert!(metrics.contains("camelid_requests_unfinished_total 1\n"), "{metrics}");
}

/// JSON that looks a little like a request.
fn any_json() -> impl Strategy<Value = Json> {
    let names = proptest::sample::select(vec![
        "messages",
        "prompt",
        "role",
        "content",
        "type",
        "text",
        "n",
        "stop",
        "stream",
        "stream_options",
        "max_tokens",
        "logprobs",
        "top_logprobs",
        "tools",
        "tool_calls",
        "function",
        "arguments",
        "temperature",
        "top_k",
        "seed",
        "guided_choice",
        "structured_outputs",
        "choice",
        "echo",
        "chat_template_kwargs",
        "prompt_logprobs",
        "model",
    ]);
    let words =
        proptest::sample::select(vec!["user", "assistant", "tool", "text", "tiny", "<|im_end|>", "{\"a\": 1}", ""]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-3i64..300).prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        words.prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            proptest::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

#[test]
fn nothing_that_is_sent_breaks_the_server() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(plain());
    let noise = proptest::collection::vec(any::<u8>(), 0..200);
    let json = any_json().prop_map(|json| json.to_string().into_bytes());
    let nearly = any_json().prop_map(|json| chat(json).to_string().into_bytes());
    let body = prop_oneof![1 => noise, 3 => json, 4 => nearly];
    let route = proptest::sample::select(vec![CHAT, COMPLETIONS, "/admin/load_adapter"]);
    proptest!(ProptestConfig::with_cases(400), |(body in body, route in route)| {
        let request = server.client.post(format!("{}{route}", server.base)).header("content-type", "application/json");
        let is_object = serde_json::from_slice::<Json>(&body).is_ok_and(|json| json.is_object());
        // The timeout's clock is the runtime's.
        let limit = std::time::Duration::from_secs(20);
        let response = runtime.block_on(async { request.body(body).timeout(limit).send().await }).unwrap();
        let status = response.status().as_u16();
        prop_assert!(status < 500, "{status}");
        if status >= 400 {
            let reply: Json = runtime.block_on(response.json()).unwrap();
            let message = reply["error"]["message"].as_str().unwrap_or_default();
            prop_assert!(message.contains("\n  fix: "), "{reply}");
            // The admin address is not open here, which is nobody's field.
            if status == 400 && is_object {
                let field = reply["error"]["param"].as_str().unwrap_or("?");
                prop_assert!(message.contains(field), "{reply}");
            }
        }
    });
}

/// A field, and values that it cannot have.
fn wrong_field() -> impl Strategy<Value = (&'static str, Json)> {
    let scalars = || prop_oneof![any::<bool>().prop_map(Json::from), "[a-z]{1,9}".prop_map(Json::from)];
    let objects = || proptest::collection::btree_map("[a-z]{1,5}", any::<i32>(), 0..3).prop_map(|map| json!(map));
    let lists = || proptest::collection::vec(any::<bool>(), 1..4).prop_map(|list| json!(list));
    let numbers = || {
        prop_oneof![
            any::<i32>().prop_map(Json::from),
            any::<f64>().prop_filter_map("finite", |x| x.is_finite().then(|| json!(x)))
        ]
    };
    let no_number = || prop_oneof![scalars(), objects(), lists()];
    let counts = ["n", "max_tokens", "max_completion_tokens", "prompt_logprobs"];
    let reals =
        ["temperature", "top_p", "min_p", "typical_p", "repetition_penalty", "presence_penalty", "frequency_penalty"];
    let negative = || (i64::MIN..0).prop_map(Json::from);
    let fraction = || (0_i32..1000).prop_map(|whole| json!(f64::from(whole) + 0.5));
    prop_oneof![
        (proptest::sample::select(reals.to_vec()), no_number()),
        (proptest::sample::select(counts.to_vec()), prop_oneof![no_number(), negative(), fraction()]),
        (proptest::sample::select(vec!["top_k", "seed"]), prop_oneof![no_number(), fraction()]),
        (
            proptest::sample::select(vec!["stream", "ignore_eos", "return_token_ids", "echo"]),
            prop_oneof![numbers(), objects(), lists(), "[a-z]{1,9}".prop_map(Json::from)]
        ),
        (proptest::sample::select(vec!["stop", "stop_token_ids", "guided_choice"]), prop_oneof![objects(), lists()]),
        (Just("model"), prop_oneof![numbers(), objects(), lists()]),
        (Just("stream_options"), prop_oneof![scalars(), numbers()]),
    ]
}

#[test]
fn a_field_of_the_wrong_type_is_named() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(plain());
    proptest!(ProptestConfig::with_cases(400), |((field, value) in wrong_field(), chats in any::<bool>())| {
        let more = json!({ field: value });
        let (route, body) = if chats { (CHAT, chat(more)) } else { (COMPLETIONS, completion(more)) };
        let (status, reply) = runtime.block_on(server.ask(route, &body));
        prop_assert_eq!((status, reply["error"]["param"].as_str()), (400, Some(field)), "{} gave {}", body, reply);
        let message = reply["error"]["message"].as_str().unwrap_or_default();
        prop_assert!(message.contains(field) && message.contains("\n  fix: "), "{}", reply);
    });
}
