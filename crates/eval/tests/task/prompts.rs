//! What each task asks, written out.

use std::fmt::Write;

use camelid_eval::task::{Request, builtin_names};

use super::Written;

/// What is asked, with line breaks where they are and marks where texts begin and end.
fn shown(request: &Request) -> String {
    let mut text = String::new();
    match request {
        Request::Choices { contexts, continuations } => {
            for context in contexts {
                writeln!(text, "«{}»", context.shown()).unwrap();
            }
            for continuation in continuations {
                writeln!(text, "→ «{continuation}»").unwrap();
            }
        }
        Request::Generate { context, stop, max_tokens, .. } => {
            writeln!(text, "«{}»\nup to {max_tokens} tokens, {stop:?}", context.shown()).unwrap();
        }
        Request::Text { text: whole } => writeln!(text, "«{whole}»").unwrap(),
    }
    text
}

#[test]
fn every_task_asks_what_it_is_known_to_ask() {
    for name in builtin_names() {
        let written = Written::of(name);
        let mut text = String::new();
        for chat in [false, true] {
            let requests = written.asked(chat).requests().unwrap();
            writeln!(text, "{}:\n{}", if chat { "chat" } else { "plain" }, shown(&requests[0])).unwrap();
        }
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn exemplars_are_never_the_item_itself() {
    let mut written = Written::of("gsm8k");
    written.pool = written.items.clone();
    let Request::Generate { context, .. } = &written.asked(false).requests().unwrap()[0] else { panic!() };
    assert_eq!(context.shown(), "Question: Ann has 2 pears and buys 3. How many has she?\nAnswer:");
}

#[test]
fn only_exemplars_of_the_subject_are_shown() {
    let Request::Choices { contexts, .. } = &Written::of("mmlu").asked(false).requests().unwrap()[0] else { panic!() };
    assert!(contexts[0].shown().contains("Which has roots?") && !contexts[0].shown().contains("Not asked here"));
}
