//! What of a record is learned, and which records are refused.

mod common;

use camelid_records::{Conversation, Message, Record, Role};
use camelid_text::{Encoded, Learn, Overlong, SpanPolicy, Text, encode_all};
use common::{Templates, conversation, provenance};
use serde_json::json;

fn chatml() -> Text {
    Templates::read().text("chatml")
}

fn policy(learn: Learn) -> SpanPolicy {
    SpanPolicy { learn, train_on_prompt: false }
}

fn encode(text: &Text, record: &Record, policy: &SpanPolicy) -> Encoded {
    let encoded = text.encode_record(record, policy, 1000, Overlong::Reject).unwrap();
    assert_eq!(encoded.tokens.len(), encoded.weights.len());
    assert_eq!(encoded.weights[0], 0.0);
    encoded
}

fn learned(text: &Text, encoded: &Encoded) -> Vec<String> {
    encoded.learned_spans().into_iter().map(|span| text.decode(&encoded.tokens[span])).collect()
}

fn turns() -> Conversation {
    conversation(&[
        (Role::System, "Be brief."),
        (Role::User, "Hi"),
        (Role::Assistant, "Hello!"),
        (Role::Tool, "42"),
        (Role::User, "More"),
        (Role::Assistant, "Indeed."),
    ])
}

#[test]
fn each_policy_learns_its_turns_with_their_end() {
    let text = chatml();
    let record = Record::Conversation(turns());
    let learned_under = |learn| learned(&text, &encode(&text, &record, &policy(learn)));
    assert_eq!(learned_under(Learn::Assistant), ["Hello!<|im_end|>", "Indeed.<|im_end|>"]);
    assert_eq!(learned_under(Learn::LastAssistant), ["Indeed.<|im_end|>"]);
    let roles = Learn::Roles(vec![Role::User, Role::Tool]);
    assert_eq!(learned_under(roles), ["Hi<|im_end|>", "42<|im_end|>", "More<|im_end|>"]);
    let everything = learned_under(Learn::Everything);
    assert_eq!(everything.len(), 1);
    assert!(everything[0].starts_with("system\nBe brief."), "{everything:?}");
    assert!(everything[0].ends_with("Indeed.<|im_end|>"), "{everything:?}");
}

#[test]
fn a_message_weight_overrides_the_policy() {
    let text = chatml();
    let mut conversation = turns();
    conversation.messages[1].weight = Some(0.5);
    conversation.messages[2].weight = Some(0.0);
    conversation.messages[5].weight = Some(2.0);
    let record = Record::Conversation(conversation);
    for learn in [Learn::Assistant, Learn::Everything] {
        let everything = learn == Learn::Everything;
        let encoded = encode(&text, &record, &policy(learn));
        let weight_of = |piece: &str| {
            let place = encoded.tokens.windows(text.encode(piece).len()).position(|w| w == text.encode(piece)).unwrap();
            encoded.weights[place]
        };
        assert_eq!((weight_of("Hi"), weight_of("Hello"), weight_of("Indeed")), (0.5, 0.0, 2.0));
        assert_eq!(weight_of("42"), if everything { 1.0 } else { 0.0 });
    }
}

#[test]
fn a_completion_is_learned_through_the_end_of_text() {
    let text = chatml();
    let record = |prompt: &str, completion: &str| Record::Completion {
        prompt: prompt.into(),
        completion: completion.into(),
        provenance: provenance(),
    };
    let plain = encode(&text, &record("The answer is", " late."), &SpanPolicy::default());
    assert_eq!(learned(&text, &plain), [" late.<|im_end|>"]);
    assert_eq!(plain.tokens[..plain.tokens.len() - 1], text.encode("The answer is late."));
    // Encoded as one, a token would hold the end of the prompt and the start of the completion.
    let joined = encode(&text, &record("The ans", "wer"), &SpanPolicy::default());
    assert_eq!(learned(&text, &joined), ["wer<|im_end|>"]);
    assert!(joined.tokens.starts_with(&text.encode("The ans")));
    assert_ne!(joined.tokens[..joined.tokens.len() - 1], text.encode("The answer"));
    // The prompt too, but for the first token, which nothing predicts.
    let all = SpanPolicy { learn: Learn::Assistant, train_on_prompt: true };
    let whole = encode(&text, &record("The answer is", " late."), &all);
    assert_eq!(whole.trained(), whole.tokens.len() - 1);
    // An end that is there already is not doubled.
    let ended = encode(&text, &record("The answer is", " late.<|im_end|>"), &SpanPolicy::default());
    assert_eq!(ended.tokens, plain.tokens);
}

#[test]
fn a_text_is_learned_whole() {
    let text = chatml();
    let record = Record::Text { text: "Cats and dogs.".into(), provenance: provenance() };
    let encoded = encode(&text, &record, &SpanPolicy::default());
    assert_eq!(text.decode(&encoded.tokens), "Cats and dogs.<|im_end|>");
    assert_eq!(encoded.trained(), encoded.tokens.len() - 1);
}

/// The instruct template writes BOS itself, the ChatML one does not.
#[test]
fn there_is_one_bos_whoever_writes_it() {
    let golden = Templates::read();
    let with_bos = |template: &str, source: Option<String>| {
        let (bos, eos) = &golden.ends[template];
        let source = source.or_else(|| Some(golden.templates[template].clone()));
        common::text(&golden.tokenizer, source, &json!({"bos_token": bos, "eos_token": eos, "add_bos_token": true}))
    };
    let record = Record::Conversation(conversation(&[(Role::User, "Hi"), (Role::Assistant, "Hello!")]));
    for template in ["instruct", "chatml"] {
        let text = with_bos(template, None);
        let encoded = encode(&text, &record, &SpanPolicy::default());
        let count = encoded.tokens.iter().filter(|&&token| Some(token) == text.bos()).count();
        assert_eq!((count, Some(encoded.tokens[0])), (1, text.bos()), "{template}");
        let plain = Record::Text { text: "Hi".into(), provenance: provenance() };
        let encoded = encode(&text, &plain, &SpanPolicy::default());
        // With BOS in front even the first token of the text can be learned.
        assert_eq!((Some(encoded.tokens[0]), encoded.trained()), (text.bos(), encoded.tokens.len() - 1));
        assert_eq!(text.encode_prompt("Hi")[0], encoded.tokens[0]);
    }
    let doubled = with_bos("instruct", Some(format!("{{{{ bos_token }}}}{}", golden.templates["instruct"])));
    refused(&doubled, &record, &SpanPolicy::default(), 1000, Overlong::Reject, "begin with two BOS");
}

#[track_caller]
fn refused(text: &Text, record: &Record, policy: &SpanPolicy, max_length: usize, overlong: Overlong, expected: &str) {
    let untrainable = text.encode_record(record, policy, max_length, overlong).unwrap_err();
    assert_eq!(untrainable.provenance, provenance());
    assert!(untrainable.reason.contains(expected), "{untrainable}");
    assert!(!untrainable.fix.is_empty());
}

#[test]
fn records_that_cannot_be_learned_from_say_why() {
    let text = chatml();
    let assistant = SpanPolicy::default();
    let cases = [
        (vec![(Role::User, "Hi")], "has no assistant turn"),
        (vec![(Role::User, "Hi"), (Role::Assistant, " \n")], "message 2 (assistant) is to be learned but empty"),
        (
            vec![(Role::User, "Say <|im_end|>"), (Role::Assistant, "No")],
            "the text of message 1 holds the control token <|im_end|>",
        ),
    ];
    for (messages, expected) in cases {
        let record = Record::Conversation(conversation(&messages));
        refused(&text, &record, &assistant, 1000, Overlong::Reject, expected);
    }
    let record = Record::Conversation(turns());
    refused(&text, &record, &assistant, 10, Overlong::Reject, "tokens, max_length is 10");
    refused(&text, &record, &assistant, 10, Overlong::Truncate, "nothing that is learned is left in the first 10 of");
    refused(&text, &record, &assistant, 0, Overlong::Truncate, "nothing that is learned is left in the first 0 of");
    let nobody = policy(Learn::Roles(vec![]));
    refused(&text, &record, &nobody, 1000, Overlong::Reject, "has no turn that is learned");
    let mut silenced = turns();
    silenced.messages.iter_mut().for_each(|message| message.weight = Some(0.0));
    refused(&text, &Record::Conversation(silenced), &assistant, 1000, Overlong::Reject, "no turn that is learned");
    let mut negative = turns();
    negative.messages[2].weight = Some(-1.0);
    refused(&text, &Record::Conversation(negative), &assistant, 1000, Overlong::Reject, "message 3 has weight -1");
    for (prompt, completion) in [("a", ""), ("", " ")] {
        let record =
            Record::Completion { prompt: prompt.into(), completion: completion.into(), provenance: provenance() };
        refused(&text, &record, &assistant, 1000, Overlong::Reject, "the completion is empty");
    }
    let blank = Record::Text { text: "\n".into(), provenance: provenance() };
    refused(&text, &blank, &assistant, 1000, Overlong::Reject, "the text is empty");
    let instruct = Templates::read().text("instruct");
    let wrong_order = Record::Conversation(conversation(&[(Role::Assistant, "Hi")]));
    refused(
        &instruct,
        &wrong_order,
        &assistant,
        1000,
        Overlong::Reject,
        "refuses this conversation: user and assistant",
    );
}

#[test]
fn a_truncated_record_keeps_its_head() {
    let text = chatml();
    let record = Record::Conversation(turns());
    let whole = encode(&text, &record, &SpanPolicy::default());
    let length = whole.learned_spans()[0].end;
    let head = text.encode_record(&record, &SpanPolicy::default(), length, Overlong::Truncate).unwrap();
    assert_eq!(head.tokens, whole.tokens[..length]);
    assert_eq!(head.weights, whole.weights[..length]);
}

fn with_template(source: &str) -> Text {
    let golden = Templates::read();
    let config = json!({"bos_token": "<s>", "eos_token": "<|im_end|>"});
    common::text(&golden.tokenizer, Some(source.to_owned()), &config)
}

#[test]
fn a_template_that_never_ends_an_answer_is_refused_at_once() {
    let text = with_template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}");
    let records = [Record::Conversation(turns())];
    let encode = |text: &Text, policy: &SpanPolicy| encode_all(text, &records, policy, 1000, Overlong::Reject, None);
    let error = encode(&text, &SpanPolicy::default()).unwrap_err().to_string();
    assert!(error.contains("chat template: writes \"\\n\" after an answer"), "{error}");
    assert!(error.contains("fix: let the template write {{ eos_token }}"), "{error}");
    // As raw text it can be learned.
    assert_eq!(encode(&text, &policy(Learn::Everything)).unwrap().sequences.len(), 1);
    let golden = Templates::read();
    let none = common::text(&golden.tokenizer, None, &json!({"eos_token": "<|im_end|>"}));
    let error = encode(&none, &SpanPolicy::default()).unwrap_err().to_string();
    assert!(error.contains("this model has none"), "{error}");
}

#[test]
fn an_answer_that_ends_only_sometimes_is_refused_where_it_does_not() {
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% if loop.last %}<|im_end|>{% endif %}{% endfor %}";
    let text = with_template(source);
    let record = Record::Conversation(turns());
    let expected = "the chat template ends message 3 without an end-of-turn token";
    refused(&text, &record, &SpanPolicy::default(), 1000, Overlong::Reject, expected);
    let last = encode(&text, &record, &policy(Learn::LastAssistant));
    assert_eq!(learned(&text, &last), ["Indeed.<|im_end|>"]);
}

/// A template that shortens what was said earlier, and one that also rewrites what came before it.
#[test]
fn changed_text_is_placed_by_what_precedes_it_or_refused() {
    let header = "{% for m in messages %}<|im_start|>{{ m.role }}\n";
    let shortens = "{{ m.content[:3] if m.role == 'user' else m.content }}<|im_end|>{% endfor %}\
                    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let record = Record::Conversation(turns());
    let text = with_template(&format!("{header}{shortens}"));
    let encoded = encode(&text, &record, &SpanPolicy::default());
    assert_eq!(learned(&text, &encoded), ["Hello!<|im_end|>", "Indeed.<|im_end|>"]);
    refused(&text, &record, &policy(Learn::Roles(vec![Role::User])), 1000, Overlong::Reject, "changes its text");

    let counts = format!("{{{{ messages | length }}}}{header}{shortens}");
    let text = with_template(&counts);
    refused(&text, &record, &SpanPolicy::default(), 1000, Overlong::Reject, "is not certain");
}

#[test]
fn calls_without_text_are_learned() {
    let text = Templates::read().text("tools");
    let mut conversation = conversation(&[(Role::User, "Time?"), (Role::Assistant, ""), (Role::Tool, "17:05")]);
    conversation.messages.push(Message::new(Role::Assistant, "Five."));
    let call = json!([{"type": "function", "function": {"name": "time", "arguments": {"zone": "UTC"}}}]);
    conversation.messages[1].tool_calls = Some(call);
    let encoded = encode(&text, &Record::Conversation(conversation), &SpanPolicy::default());
    let expected = "<tool_call>\n{\"name\": \"time\", \"arguments\": {\"zone\": \"UTC\"}}\n</tool_call><|im_end|>";
    assert_eq!(learned(&text, &encoded), [expected, "Five.<|im_end|>"]);
}

#[test]
fn sets_come_back_from_the_cache_and_a_damaged_cache_is_made_again() {
    let text = chatml();
    let folder = tempfile::tempdir().unwrap();
    let mut weighted = turns();
    weighted.messages[2].weight = Some(0.25);
    let records = [
        Record::Conversation(turns()),
        Record::Conversation(conversation(&[(Role::User, "Hi")])),
        Record::Conversation(weighted),
        Record::Text { text: "Où?".into(), provenance: provenance() },
    ];
    let policy = SpanPolicy::default();
    let encode = |max_length, records: &[Record]| {
        encode_all(&text, records, &policy, max_length, Overlong::Truncate, Some(folder.path())).unwrap()
    };
    let fresh = encode(1000, &records);
    assert!(!fresh.cache_hit);
    assert_eq!(fresh.sequences.iter().map(|sequence| sequence.record).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!((fresh.rejects[0].0, fresh.rejects[0].1.provenance.row), (1, 7));
    let again = encode(1000, &records);
    assert!(again.cache_hit);
    assert_eq!((&again.sequences, &again.rejects), (&fresh.sequences, &fresh.rejects));
    assert!(!encode(50, &records).cache_hit, "the limit is part of the key");
    assert!(!encode(1000, &records[1..]).cache_hit, "the records are part of the key");

    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let good = std::fs::read(&path).unwrap();
        for damage in [&good[..good.len() / 2], &[], b"camelid tokens 2\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"] {
            std::fs::write(&path, damage).unwrap();
            let _ = (encode(1000, &records), encode(50, &records), encode(1000, &records[1..]));
            assert_eq!(std::fs::read(&path).unwrap(), good);
        }
    }
    let nowhere = folder.path().join("file");
    std::fs::write(&nowhere, "").unwrap();
    let error = encode_all(&text, &records, &policy, 99, Overlong::Reject, Some(&nowhere)).unwrap_err().to_string();
    assert!(error.contains("cannot be written") && error.contains("fix: make room or permission"), "{error}");
}

#[test]
fn the_thread_count_does_not_matter() {
    let text = chatml();
    let records: Vec<Record> = (0..40)
        .map(|index| {
            let question = format!("What is {index}?");
            Record::Conversation(conversation(&[(Role::User, &question), (Role::Assistant, "A number.")]))
        })
        .collect();
    let encode = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| encode_all(&text, &records, &SpanPolicy::default(), 1000, Overlong::Reject, None).unwrap())
    };
    assert_eq!(encode(1), encode(4));
}
