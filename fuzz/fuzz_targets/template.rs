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
    let Ok(template) = ChatTemplate::new(source) else { return };
    let special = [("bos_token", "<s>"), ("eos_token", "</s>")];
    let template = template
        .with_special_tokens(special.map(|(name, token)| (name.to_owned(), json!(token))).into_iter().collect());
    let arguments: Map<String, Value> = [("enable_thinking".to_owned(), json!(false))].into_iter().collect();
    let whole = template.render(&MESSAGES, Some(&TOOLS), &arguments, false);
    let again = template.render(&MESSAGES, Some(&TOOLS), &arguments, false);
    if let (Ok(whole), Ok(again)) = (whole, again) {
        assert_eq!(whole, again, "the clock stands still, and so must the text");
    }
    let _ = template.render(&MESSAGES[..2], None, &Map::new(), true);
});
