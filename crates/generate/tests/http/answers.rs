//! What requests that are fine get.

use std::sync::Arc;

use camelid_generate::server::Settings;
use serde_json::{Value as Json, json};

use crate::support::{ANSWER, Fake, chat, completion, plain, start_with, text};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

#[tokio::test]
async fn a_chat_gets_a_message_and_its_counts() {
    let server = plain().await;
    let (status, reply) = server.ask(CHAT, &chat(json!({ "temperature": 0.5, "seed": -1, "top_k": -1 }))).await;
    assert_eq!(status, 200, "{reply}");
    assert_eq!(reply["object"], "chat.completion");
    assert_eq!(reply["model"], "tiny");
    assert_eq!(reply["weight_version"], 7);
    assert_eq!(reply["choices"][0]["message"], json!({ "role": "assistant", "content": ANSWER }));
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply["choices"][0]["logprobs"], Json::Null);
    let prompt = text().encode("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    let sampled = ANSWER.len() + 1;
    let usage =
        json!({ "prompt_tokens": prompt.len(), "completion_tokens": sampled, "total_tokens": prompt.len() + sampled });
    assert_eq!(reply["usage"], usage);
    let request = server.fake.requests.lock().unwrap()[0].clone();
    assert_eq!((request.prompt, request.sampling.temperature, request.sampling.seed), (prompt, 0.5, u64::MAX));
}

#[tokio::test]
async fn a_chat_streams_the_same_text_in_pieces() {
    let server = plain().await;
    let options = json!({ "stream": true, "n": 2, "stream_options": { "include_usage": true } });
    let mut pieces = server.stream(CHAT, &chat(options)).await;
    let usage = pieces.pop().unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]["completion_tokens"]), (&json!([]), &json!(2 * (ANSWER.len() + 1))));
    for index in 0..2 {
        let own: Vec<_> = pieces.iter().map(|piece| &piece["choices"][0]).filter(|one| one["index"] == index).collect();
        let said: String = own.iter().map(|one| one["delta"]["content"].as_str().unwrap()).collect();
        assert_eq!(said, ANSWER);
        assert_eq!(own[0]["delta"]["role"], "assistant");
        assert!(own[1..].iter().all(|one| one["delta"].get("role").is_none()));
        let ends: Vec<_> = own.iter().map(|one| &one["finish_reason"]).filter(|end| !end.is_null()).collect();
        assert_eq!(ends, [&json!("stop")]);
    }
    assert!(pieces.iter().all(|piece| piece["object"] == "chat.completion.chunk" && piece["id"] == pieces[0]["id"]));
}

#[tokio::test]
async fn completions_number_their_choices_over_prompts_and_samples() {
    let server = plain().await;
    for prompt in [json!(["a", "bc"]), json!([[97], [98, 99]])] {
        let (status, reply) = server.ask(COMPLETIONS, &completion(json!({ "prompt": prompt, "n": 2 }))).await;
        assert_eq!(status, 200, "{reply}");
        let choices = reply["choices"].as_array().unwrap();
        assert_eq!(choices.iter().map(|one| one["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(choices.iter().all(|one| one["text"] == ANSWER));
        assert_eq!(reply["usage"]["prompt_tokens"], 3);
    }
    let (_, reply) = server.ask(COMPLETIONS, &json!({ "prompt": [97, 98] })).await;
    assert_eq!((&reply["object"], &reply["model"]), (&json!("text_completion"), &json!("tiny")));
}

#[tokio::test]
async fn stops_and_limits_end_an_answer() {
    let server = plain().await;
    for stop in [json!(", "), json!(["zzz", ", "])] {
        let (_, reply) =
            server.ask(CHAT, &chat(json!({ "stop": stop, "stop_token_ids": [5], "ignore_eos": true }))).await;
        assert_eq!(reply["choices"][0]["message"]["content"], "Hello");
        assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    }
    let stop = server.fake.requests.lock().unwrap()[0].stop.clone();
    assert_eq!((stop.tokens, stop.ignore_end), (vec![5], true));
    for name in ["max_tokens", "max_completion_tokens"] {
        let (_, reply) = server.ask(CHAT, &chat(json!({ name: 4 }))).await;
        assert_eq!(reply["choices"][0]["message"]["content"], "Hell");
        assert_eq!(reply["choices"][0]["finish_reason"], "length");
    }
}

#[tokio::test]
async fn chats_report_log_probabilities_token_by_token() {
    let server = plain().await;
    let options = json!({ "logprobs": true, "top_logprobs": 1, "max_tokens": 2 });
    let (_, reply) = server.ask(CHAT, &chat(options)).await;
    let alternative = json!([{ "token": "A", "logprob": -0.25, "bytes": [65] }]);
    let expected = json!({ "content": [
        { "token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": alternative },
        { "token": "e", "logprob": -1.0, "bytes": [101], "top_logprobs": alternative },
    ]});
    assert_eq!(reply["choices"][0]["logprobs"], expected);

    let options =
        json!({ "logprobs": true, "return_tokens_as_token_ids": true, "return_token_ids": true, "stream": true });
    let pieces = server.stream(CHAT, &chat(options)).await;
    let entries = pieces.iter().flat_map(|piece| piece["choices"][0]["logprobs"]["content"].as_array().unwrap());
    let tokens: Vec<String> = entries.map(|entry| entry["token"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<u32> = ANSWER.bytes().map(u32::from).chain([257]).collect();
    assert_eq!(tokens, expected.iter().map(|token| format!("token_id:{token}")).collect::<Vec<_>>());
    let ids = pieces.iter().flat_map(|piece| piece["choices"][0]["token_ids"].as_array().unwrap());
    assert_eq!(ids.cloned().collect::<Vec<_>>(), expected.into_iter().map(Json::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn parts_of_characters_have_no_bytes() {
    let server = plain().await;
    let (_, reply) = server.ask(CHAT, &chat(json!({ "logprobs": true }))).await;
    let content = reply["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(content[8]["bytes"], Json::Null, "{content:?}");
    assert_eq!(content[8]["token"], "\u{fffd}");
}

#[tokio::test]
async fn an_echo_of_no_tokens_scores_a_prompt() {
    let server = plain().await;
    let options = json!({ "prompt": "abc", "echo": true, "max_tokens": 0, "logprobs": 1 });
    let (status, reply) = server.ask(COMPLETIONS, &completion(options.clone())).await;
    assert_eq!(status, 200, "{reply}");
    let choice = &reply["choices"][0];
    assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!("abc"), &json!("length")));
    let scores = json!({
        "tokens": ["a", "b", "c"],
        "token_logprobs": [null, -0.5, -1.0],
        "top_logprobs": [null, { "A": -0.25, "b": -0.5 }, { "A": -0.25, "c": -1.0 }],
        "text_offset": [0, 1, 2],
    });
    assert_eq!(choice["logprobs"], scores);

    let mut streamed = options;
    streamed["stream"] = json!(true);
    let pieces = server.stream(COMPLETIONS, &completion(streamed)).await;
    assert_eq!(pieces.len(), 1);
    assert_eq!(pieces[0]["choices"][0], *choice);
}

#[tokio::test]
async fn an_echo_stands_before_its_answer() {
    let server = plain().await;
    let options = json!({ "echo": true, "logprobs": 0, "max_tokens": 3 });
    let (_, reply) = server.ask(COMPLETIONS, &completion(options.clone())).await;
    let choice = &reply["choices"][0];
    assert_eq!(choice["text"], "SayHel");
    assert_eq!(choice["logprobs"]["text_offset"], json!([0, 1, 2, 3, 4, 5]));
    assert_eq!(choice["logprobs"]["token_logprobs"], json!([null, -0.5, -1.0, -0.5, -1.0, -1.5]));

    let mut streamed = options;
    streamed["stream"] = json!(true);
    let pieces = server.stream(COMPLETIONS, &completion(streamed)).await;
    let said: String = pieces.iter().map(|piece| piece["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(said, "SayHel");
    let offsets = pieces.iter().flat_map(|piece| piece["choices"][0]["logprobs"]["text_offset"].as_array().unwrap());
    assert_eq!(offsets.cloned().collect::<Vec<_>>(), (0..6).map(Json::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn prompt_log_probabilities_come_as_vllm_writes_them() {
    let server = plain().await;
    let options = json!({ "prompt": "aA", "prompt_logprobs": 2, "return_token_ids": true, "max_tokens": 1 });
    let (_, reply) = server.ask(COMPLETIONS, &completion(options)).await;
    let choice = &reply["choices"][0];
    assert_eq!(choice["prompt_token_ids"], json!([97, 65]));
    let scores = json!([null, {
        "65": { "logprob": -0.5, "rank": 1, "decoded_token": "A" },
        "66": { "logprob": -2.0, "rank": 2, "decoded_token": "B" },
    }]);
    assert_eq!(choice["prompt_logprobs"], scores);
    let (_, reply) = server.ask(CHAT, &chat(json!({ "prompt_logprobs": 0, "max_tokens": 1 }))).await;
    assert_eq!(reply["prompt_logprobs"][0], Json::Null);
    assert_eq!(reply["prompt_logprobs"].as_array().unwrap().len(), reply["usage"]["prompt_tokens"]);
}

#[tokio::test]
async fn guided_choices_become_the_engines_choices() {
    let server = plain().await;
    for field in
        [json!({ "guided_choice": ["yes", "no"] }), json!({ "structured_outputs": { "choice": ["yes", "no"] } })]
    {
        let (status, reply) = server.ask(CHAT, &chat(field)).await;
        assert_eq!(status, 200, "{reply}");
        assert_eq!(reply["choices"][0]["message"]["content"], "yes");
    }
    assert_eq!(server.fake.requests.lock().unwrap()[0].choices, [text().encode("yes"), text().encode("no")]);
}

#[tokio::test]
async fn content_comes_in_parts_and_roles_by_new_names() {
    let server = plain().await;
    let messages = json!([
        { "role": "developer", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
        { "role": "assistant", "content": null },
        { "role": "user", "content": "c", "name": "x", "unknown": 1 },
    ]);
    let (status, reply) = server.ask(CHAT, &chat(json!({ "messages": messages }))).await;
    assert_eq!(status, 200, "{reply}");
    let prompt = text().decode(&server.fake.requests.lock().unwrap()[0].prompt);
    let expected = "<|im_start|>system\na\nb<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n<|im_start|>user\nc<|im_end|>\n\
                    <|im_start|>assistant\n";
    assert_eq!(prompt, expected);
}

#[tokio::test]
async fn what_asks_for_nothing_is_no_error() {
    let server = plain().await;
    let harmless = json!({
        "tools": [], "tool_choice": "auto", "response_format": { "type": "text" }, "logit_bias": {}, "best_of": 1,
        "modalities": ["text"], "presence_penalty": 0, "frequency_penalty": 0.0, "user": "me", "invented": [1],
        "audio": null, "stop": null, "temperature": null, "top_logprobs": 0, "logprobs": false, "min_tokens": 0,
    });
    let (status, reply) = server.ask(CHAT, &chat(harmless)).await;
    assert_eq!(status, 200, "{reply}");
}

#[tokio::test]
async fn requests_without_a_seed_get_different_ones() {
    let server = plain().await;
    for _ in 0..2 {
        server.ask(CHAT, &chat(json!({}))).await;
    }
    let requests = server.fake.requests.lock().unwrap();
    assert_ne!(requests[0].sampling.seed, requests[1].sampling.seed);
}

#[tokio::test]
async fn models_health_and_metrics_answer() {
    let server = plain().await;
    server.ask(CHAT, &chat(json!({}))).await;
    let (status, models) = server.get("/v1/models").await;
    assert_eq!(status, 200);
    let models: Json = serde_json::from_str(&models).unwrap();
    assert_eq!((&models["data"][0]["id"], &models["data"][0]["max_model_len"]), (&json!("tiny"), &json!(200)));
    assert_eq!(server.get("/health").await.0, 200);
    let (_, metrics) = server.get("/metrics").await;
    let expected = [
        "camelid_requests_total{path=\"/v1/chat/completions\",status=\"200\"} 1\n",
        "camelid_request_seconds_count 1\n",
        "camelid_first_token_seconds_count 1\n",
        "camelid_cache_tokens_size 1000\n",
        "camelid_weight_version 7\n",
        "camelid_requests_unfinished_total 0\n",
    ];
    for line in expected {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn new_weights_are_loaded_where_the_caller_allows_it() {
    let load = |path: &std::path::Path| {
        if path.ends_with("good") { Ok(8) } else { Err(format!("{}: no adapter\n  fix: name one", path.display())) }
    };
    let server =
        start_with(Fake::new(), Settings::new("tiny"), |server| server.with_load_adapter(Arc::new(load))).await;
    let route = "/admin/load_adapter";
    assert_eq!(server.ask(route, &json!({ "path": "/x/good" })).await, (200, json!({ "weight_version": 8 })));
    let (status, reply) = server.ask(route, &json!({ "path": "/x/bad" })).await;
    assert_eq!((status, &reply["error"]["param"]), (400, &json!("path")));
    assert_eq!(server.ask(route, &json!({ "folder": "/x" })).await.0, 400);
    let form = server.client.post(format!("{}{route}", server.base)).body(r#"{"path": "/x/good"}"#);
    assert_eq!(form.send().await.unwrap().status(), 415);
    assert_eq!(plain().await.ask(route, &json!({ "path": "/x/good" })).await.0, 404);
}
