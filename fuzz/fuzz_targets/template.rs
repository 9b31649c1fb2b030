//! Chat templates: arbitrary Jinja, rendered with a conversation that has every kind of turn.

#![no_main]

use std::sync::LazyLock;

use camelid_records::{Message, Role};
use camelid_text::ChatTemplate;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

static MESSAGES: LazyLock<Vec<Message>> = LazyLock::new(|| {
    let mut call = Message::new(Role::Assistant, "");
    call.tool_calls =
        Some(json!([{"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [2.5, null]}}}]));
    let mut answer = Message::new(Role::Tool, "3");
    answer.name = Some("add".into());
    vec![
        Message::new(Role::System, "Be brief."),
        Message::new(Role::User, " What is 1 + 2?\n"),
        call,
        answer,
        Message::new(Role::Assistant, "<b>It's \"3\".</b> \u{1f40e}"),
    ]
});

static TOOLS: LazyLock<Value> =
    LazyLock::new(|| json!([{"type": "function", "function": {"name": "add", "parameters": {}}}]));

fuzz_target!(|source: &str| {
    let special: Map<String, Value> =
        [("bos_token".to_owned(), json!("<s>")), ("eos_token".to_owned(), json!("</s>"))].into_iter().collect();
    let Ok(template) = ChatTemplate::new(source, special) else { return };
    let arguments: Map<String, Value> = [("enable_thinking".to_owned(), json!(false))].into_iter().collect();
    let whole = template.render(&MESSAGES, Some(&TOOLS), &arguments, false);
    let again = template.render(&MESSAGES, Some(&TOOLS), &arguments, false);
    if let (Ok(whole), Ok(again)) = (whole, again) {
        assert!(template.uses_clock() || whole == again, "two renderings differ");
    }
    let _ = template.render(&MESSAGES[..2], None, &Map::new(), true);
});
