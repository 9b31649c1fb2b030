//! Prompts in every format: what is asked, what is expected, what is refused and why.

use std::path::Path;

use camelid_records::{Asked, Format, PromptRecord, PromptSet, ReadOptions, RecordError, Role, read_prompts_bytes};
use serde_json::{Value, json};

fn try_read(rows: &[Value], options: &ReadOptions) -> Result<PromptSet, RecordError> {
    let text: String = rows.iter().map(|row| row.to_string() + "\n").collect();
    read_prompts_bytes(Path::new("data.jsonl"), text.as_bytes(), options)
}

fn read(rows: &[Value]) -> PromptSet {
    try_read(rows, &ReadOptions::default()).unwrap()
}

#[track_caller]
fn one(row: Value, format: Format) -> PromptRecord {
    let set = read(&[row]);
    assert_eq!(set.format, format);
    assert_eq!(set.records.len(), 1, "{:?}", set.rejects);
    set.records[0].clone()
}

/// Who says what, and the answer that is expected.
#[track_caller]
fn chat(row: Value, format: Format) -> (Vec<(Role, String)>, Option<String>) {
    let PromptRecord { asked, expected, .. } = one(row, format);
    let Asked::Chat { messages, .. } = asked else { panic!("{asked:?}") };
    (messages.into_iter().map(|message| (message.role, message.content)).collect(), expected)
}

#[track_caller]
fn text(row: Value, format: Format) -> (String, Option<String>) {
    let PromptRecord { asked, expected, .. } = one(row, format);
    let Asked::Text(text) = asked else { panic!("{asked:?}") };
    (text, expected)
}

fn user(content: &str) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: &str) -> Value {
    json!({"role": "assistant", "content": content})
}

fn turns(turns: &[(Role, &str)]) -> Vec<(Role, String)> {
    turns.iter().map(|(role, text)| (*role, (*text).to_owned())).collect()
}

use Role::{Assistant, System, User};

#[test]
fn files_of_prompts_alone() {
    assert_eq!(text(json!({"prompt": "Once upon"}), Format::Prompt), ("Once upon".into(), None));
    assert_eq!(
        text(json!({"prompt": "2 + 2 =", "answer": 4}), Format::Prompt),
        ("2 + 2 =".into(), Some("4".to_owned()))
    );
    let asked = turns(&[(User, "Hi")]);
    assert_eq!(
        chat(json!({"prompt": [user("Hi")], "ground_truth": "x"}), Format::Prompt),
        (asked.clone(), Some("x".to_owned()))
    );
    // As CSV holds it.
    assert_eq!(chat(json!({"prompt": json!([user("Hi")]).to_string()}), Format::Prompt), (asked.clone(), None));
    assert_eq!(chat(json!({"messages": [user("Hi")]}), Format::Messages), (asked.clone(), None));
    assert_eq!(
        chat(json!({"conversations": [{"from": "human", "value": "Hi"}]}), Format::ShareGpt),
        (asked.clone(), None)
    );
    assert_eq!(
        chat(json!({"question": "Hi", "answer": "#### 3"}), Format::Question),
        (asked.clone(), Some("#### 3".to_owned()))
    );
    assert_eq!(chat(json!({"instruction": "Hi", "input": ""}), Format::Instruction), (asked, None));
    let asked = turns(&[(System, "Be brief."), (User, "Add.\n\n1 2")]);
    assert_eq!(
        chat(json!({"instruction": "Add.", "input": "1 2", "system": "Be brief."}), Format::Instruction),
        (asked, None)
    );
    let asked = turns(&[(System, "Be brief."), (User, "Hi")]);
    assert_eq!(chat(json!({"prompt": "Hi", "system": "Be brief."}), Format::Prompt), (asked, None));
    let tools = one(json!({"prompt": [user("Hi")], "tools": [{"name": "f"}]}), Format::Prompt).asked;
    assert!(matches!(tools, Asked::Chat { tools: Some(_), .. }));
}

#[test]
fn of_demonstrations_the_last_answer_is_expected() {
    let row = json!({"messages": [user("Hi"), assistant("Hello."), user("Help?"), assistant("Gladly.")]});
    let asked = turns(&[(User, "Hi"), (Assistant, "Hello."), (User, "Help?")]);
    assert_eq!(chat(row, Format::Messages), (asked, Some("Gladly.".to_owned())));
    let row = json!({"prompt": "Say 1: ", "completion": " e"});
    assert_eq!(text(row, Format::PromptCompletion), ("Say 1: ".into(), Some(" e".to_owned())));
    let row = json!({"prompt": [user("Hi")], "completion": [assistant("Hello.")]});
    assert_eq!(chat(row, Format::PromptCompletion), (turns(&[(User, "Hi")]), Some("Hello.".to_owned())));
    let row = json!({"instruction": "Hi", "output": "Hello."});
    assert_eq!(chat(row, Format::Alpaca), (turns(&[(User, "Hi")]), Some("Hello.".to_owned())));
    // Evaluation sets leave the answer empty, where supervised tuning refuses the row.
    let row = json!({"instruction": "Hi", "input": "", "output": ""});
    assert_eq!(chat(row, Format::Alpaca), (turns(&[(User, "Hi")]), None));
    let row = json!({"text": "\n\nHuman: Hi\n\nAssistant:"});
    assert_eq!(chat(row, Format::HhTranscript), (turns(&[(User, "Hi")]), None));
}

#[test]
fn of_feedback_the_prompt_is_what_answers_share() {
    let chosen = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Help?\n\nAssistant: Gladly.";
    let rejected = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Help?\n\nAssistant: No.";
    let asked = turns(&[(User, "Hi"), (Assistant, "Hello."), (User, "Help?")]);
    let row = json!({"chosen": chosen, "rejected": rejected});
    assert_eq!(chat(row, Format::Pair), (asked.clone(), Some("Gladly.".to_owned())));
    // Nothing to prefer, but a prompt all the same.
    assert_eq!(chat(json!({"chosen": chosen, "rejected": chosen}), Format::Pair), (asked, Some("Gladly.".to_owned())));
    // They part at an earlier answer: what follows it answers another conversation.
    let rejected = "\n\nHuman: Hi\n\nAssistant: Go away.\n\nHuman: Help?\n\nAssistant: No.";
    assert_eq!(chat(json!({"chosen": chosen, "rejected": rejected}), Format::Pair), (turns(&[(User, "Hi")]), None));
    // They part at what the user says.
    let rejected = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Bye\n\nAssistant: No.";
    assert_eq!(chat(json!({"chosen": chosen, "rejected": rejected}), Format::Pair), (turns(&[(User, "Hi")]), None));

    let row = json!({"prompt": "Say: ", "chosen": "yes", "rejected": null});
    assert_eq!(text(row, Format::Pair), ("Say: ".into(), Some("yes".to_owned())));
    // UltraFeedback's binarised files repeat the prompt, and have the chosen conversation once more.
    let both = [user("Hi"), assistant("Hello.")];
    let row = json!({"prompt": "Hi", "chosen": both, "rejected": [user("Hi"), assistant("")], "messages": both});
    assert_eq!(chat(row, Format::Pair), (turns(&[(User, "Hi")]), Some("Hello.".to_owned())));

    let row = json!({"instruction": "Hi", "completions": [{"response": "a", "overall_score": 1.0}]});
    assert_eq!(chat(row, Format::Ranked), (turns(&[(User, "Hi")]), None));
    let row = json!({"prompt": "1 + 1", "completions": ["a", "b"], "labels": [true, false]});
    assert_eq!(text(row, Format::Stepwise), ("1 + 1".into(), None));
    let row = json!({"history": "Why?", "human_ref_A": "a", "human_ref_B": "a", "labels": 1});
    assert_eq!(chat(row, Format::Shp), (turns(&[(User, "Why?")]), None));
    let row = json!({"info": {"post": "I fell."}, "summaries": [], "choice": 0});
    assert_eq!(text(row, Format::Tldr), ("POST: I fell.\n\nTL;DR:".into(), None));
    let good = |label: bool| json!({"prompt": "Hi", "completion": "Hello.", "label": label});
    assert_eq!(text(good(true), Format::Unpaired), ("Hi".into(), Some("Hello.".to_owned())));
    assert_eq!(text(good(false), Format::Unpaired), ("Hi".into(), None));
    // A label of something else is no judgement.
    let row = json!({"prompt": "Hi", "completion": "Hello.", "label": "greeting"});
    assert_eq!(text(row, Format::PromptCompletion), ("Hi".into(), Some("Hello.".to_owned())));
}

/// Both the prompt at the root and the one below it, though neither has two replies to compare.
#[test]
fn of_a_tree_every_prompt_is_one() {
    let row = json!({"prompt": {"text": "Hi", "role": "prompter", "replies": [
        {"text": "Hello.", "role": "assistant", "replies": [{"text": "Help?", "role": "prompter", "replies": []}]},
    ]}});
    let set = read(&[row]);
    assert_eq!((set.format, set.records.len()), (Format::Oasst, 2));
    let Asked::Chat { messages, .. } = &set.records[1].asked else { panic!("{:?}", set.records[1]) };
    assert_eq!(messages.len(), 3);
}

#[test]
fn rows_that_ask_nothing_are_refused() {
    let refusal = |row: Value, rest: Value| {
        let set = read(&[row, rest]);
        assert_eq!((set.records.len(), set.rejects.len()), (1, 1), "{:?}", set.rejects);
        assert_eq!(set.rejects[0].provenance.row, 1);
        format!("{}\n  fix: {}", set.rejects[0].reason, set.rejects[0].fix)
    };
    let good = json!({"prompt": "Hi"});
    insta::assert_snapshot!(refusal(json!({"prompt": "  "}), good.clone()), @r"
    prompt: the prompt is empty
      fix: fill it in, or remove the row
    ");
    insta::assert_snapshot!(refusal(json!({"prompt": 7}), good.clone()), @r"
    prompt: this is a number, not a string or a list of messages
      fix: write a string or a list of messages
    ");
    insta::assert_snapshot!(refusal(json!({"prompt": [{"role": "system", "content": "Be brief."}]}), good), @r"
    prompt: there are only system turns
      fix: add what the user and the assistant say
    ");
    let good = json!({"messages": [user("Hi")]});
    insta::assert_snapshot!(refusal(json!({"messages": [user("Hi"), assistant("a"), assistant("b")]}), good.clone()), @r"
    messages: the assistant has the last two turns, so nothing is asked
      fix: end the conversation with the user's turn, or with one answer to it
    ");
    insta::assert_snapshot!(refusal(json!({"messages": [user(" ")]}), good.clone()), @r"
    messages: the user's last turn is empty
      fix: fill it in, or remove the row
    ");
    insta::assert_snapshot!(refusal(json!({"messages": [{"role": "usr", "content": "Hi"}]}), good), @r#"
    messages[0].role: unknown role "usr"
      fix: write "user"
    "#);
    let good = json!({"chosen": [user("Hi"), assistant("a")], "rejected": [user("Hi"), assistant("b")]});
    insta::assert_snapshot!(refusal(json!({"chosen": "a", "rejected": "b"}), good.clone()), @r"
    chosen: nothing says where the prompt ends and the answer begins
      fix: give it in a column `prompt`, or write both as transcripts or lists of messages
    ");
    insta::assert_snapshot!(refusal(json!({"chosen": [user("Hi")], "rejected": [user("Bye")]}), good), @r"
    rejected: has no turn in common with chosen, so there is no prompt
      fix: begin both with the prompt, or give it in `prompt`
    ");
}

#[test]
fn repeated_prompts_are_counted_and_kept() {
    let rows = [json!({"prompt": "a", "answer": "1"}), json!({"prompt": "b"}), json!({"prompt": "a"})];
    let set = read(&rows);
    assert_eq!((set.records.len(), set.repeated()), (3, 1));
    assert_eq!(set.describe(), "format prompt, 3 records (1 repeat the prompt of an earlier one)");
}

#[test]
fn unknown_and_ambiguous_columns_say_what_would_help() {
    let message = |row: Value| try_read(&[row], &ReadOptions::default()).unwrap_err().to_string();
    let unknown = message(json!({"query": "Hi"}));
    assert!(unknown.ends_with("fix: format = \"prompt\", columns = { prompt = \"query\" }"), "{unknown}");
    // A text may be gone on with, if somebody says so.
    let text = message(json!({"text": "Once upon"}));
    assert!(text.ends_with("fix: format = \"prompt\", columns = { prompt = \"text\" }"), "{text}");
    let ambiguous = message(json!({"prompt": "Hi", "question": "Hi"}));
    assert!(ambiguous.ends_with("fix: choose format = \"prompt\" or format = \"question\""), "{ambiguous}");
    let columns = [("prompt".to_owned(), "text".to_owned())].into();
    let options = ReadOptions { format: Some(Format::Prompt), columns, limit: None };
    assert_eq!(try_read(&[json!({"text": "Once upon"})], &options).unwrap().records.len(), 1);
    let options = ReadOptions { format: Some(Format::Text), ..ReadOptions::default() };
    let text = try_read(&[json!({"text": "Once upon"})], &options).unwrap_err().to_string();
    assert!(text.contains("the format `text` holds nothing that this use of the file needs"), "{text}");
}
