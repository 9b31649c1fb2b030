//! Replies as servers of others write them.

use camelid_generate::client::{Generated, read_reply};
use camelid_generate::protocol::{Reply, Usage};

fn read(reply: &str, samples: usize) -> Generated {
    read_reply(reply.as_bytes(), samples).unwrap()
}

fn usage(prompt_tokens: u64, completion_tokens: u64) -> Usage {
    Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

#[test]
fn openai_chat() {
    let generated = read(include_str!("../fixtures/openai_chat.json"), 1);
    let answer = &generated.answers[0];
    assert_eq!((answer.text.as_str(), answer.finish.as_deref()), ("Paris.", Some("stop")));
    assert_eq!(answer.log_probs, Some(vec![-0.0031, -0.125]));
    assert_eq!((answer.reasoning.clone(), answer.tokens.clone()), (None, None));
    assert_eq!(generated.usage, usage(19, 3));
}

#[test]
fn openai_refusal_and_call() {
    let generated = read(include_str!("../fixtures/openai_tools.json"), 2);
    assert_eq!(generated.answers[0].tool_calls.as_ref().unwrap()[0]["function"]["name"], "weather");
    assert_eq!((generated.answers[0].text.as_str(), generated.answers[0].finish.as_deref()), ("", Some("tool_calls")));
    assert_eq!(generated.answers[1].text, "I cannot help with that.");
}

#[test]
fn vllm_chat() {
    let generated = read(include_str!("../fixtures/vllm_chat.json"), 1);
    let answer = &generated.answers[0];
    assert_eq!((answer.text.as_str(), answer.reasoning.as_deref()), ("42", Some("Six times seven.")));
    assert_eq!(answer.tokens, Some(vec![17, 25]));
    assert_eq!(generated.prompt_tokens, Some(vec![1, 5, 9]));
    assert_eq!(generated.prompt_log_probs, Some(vec![-2.5, -0.75]));
}

#[test]
fn vllm_completion() {
    let generated = read(include_str!("../fixtures/vllm_completion.json"), 2);
    assert_eq!(generated.answers[0].text, " first");
    assert_eq!(generated.answers[1].text, " second", "choices are put in order");
    assert_eq!(generated.answers[0].tokens, Some(vec![311, 9]));
    assert_eq!(generated.answers[0].log_probs, Some(vec![-0.5, -1.25]));
    assert_eq!(generated.answers[1].finish.as_deref(), Some("length"));
}

#[test]
fn sglang_chat() {
    let generated = read(include_str!("../fixtures/sglang_chat.json"), 1);
    let answer = &generated.answers[0];
    assert_eq!((answer.text.as_str(), answer.finish.as_deref()), ("Hello there", Some("stop")));
    assert_eq!((answer.reasoning.clone(), answer.tool_calls.clone(), answer.log_probs.clone()), (None, None, None));
    assert_eq!(generated.usage, usage(11, 4));
}

#[test]
fn sglang_with_the_reason_as_an_object() {
    let generated = read(include_str!("../fixtures/sglang_completion.json"), 1);
    assert_eq!((generated.answers[0].text.as_str(), generated.answers[0].finish.as_deref()), ("four", Some("length")));
    assert_eq!(generated.answers[0].log_probs, Some(vec![-0.375]));
}

#[test]
fn a_router_without_usage() {
    let generated = read(include_str!("../fixtures/router_chat.json"), 1);
    assert_eq!((generated.answers[0].text.as_str(), generated.usage), ("ok", Usage::default()));
}

#[test]
fn our_own() {
    let generated = read(include_str!("../fixtures/camelid_chat.json"), 1);
    assert_eq!((generated.weight_version, generated.answers[0].tokens.clone()), (Some(12), Some(vec![72, 105, 257])));
    assert_eq!(generated.prompt_tokens, Some(vec![1, 2, 3]));
}

#[test]
fn pieces_of_streams() {
    let text = include_str!("../fixtures/streams.jsonl");
    let pieces: Vec<Reply> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let content = |piece: &Reply| piece.choices.first()?.delta.as_ref()?.content.clone();
    let said: Vec<_> = pieces.iter().map(content).collect();
    let expected = [Some(""), Some("Hi"), None, None, Some("Hi"), None, Some("Hi")].map(|text| text.map(str::to_owned));
    assert_eq!(said, expected);
    assert_eq!(pieces[3].usage, Some(usage(8, 2)));
    assert_eq!(pieces[5].choices[0].delta.as_ref().unwrap().reasoning.as_deref(), Some("Hm"));
}
