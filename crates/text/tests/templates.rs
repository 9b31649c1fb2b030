//! Chat templates against what `transformers` makes of them.

mod common;

use camelid_records::Role;
use camelid_text::{Overlong, SpanPolicy};
use common::{Rendered, Templates};

#[test]
fn every_template_renders_as_in_transformers() {
    let golden = Templates::read();
    for case in &golden.cases {
        let text = golden.text(&case.template);
        let messages = &golden.conversations[&case.conversation];
        for (expected, prompt) in [(&case.rendered, false), (&case.prompt, true)] {
            let rendered = text.render_chat(messages, case.tools.as_ref(), &case.arguments, prompt);
            let place = format!("{} / {} / prompt {prompt}", case.template, case.conversation);
            match (expected, rendered) {
                (Rendered::Text(expected), Ok(rendered)) => {
                    for (line, (ours, theirs)) in rendered.lines().zip(expected.lines()).enumerate() {
                        assert_eq!(ours, theirs, "{place}, line {}", line + 1);
                    }
                    assert_eq!(&rendered, expected, "{place}");
                }
                (Rendered::Error(expected), Err(error)) if case.template == "instruct" => {
                    assert!(error.to_string().contains(expected), "{error}");
                }
                (Rendered::Error(_), Err(_)) => {}
                (_, rendered) => panic!("{place}: {rendered:?}"),
            }
        }
    }
}

#[test]
fn tokens_and_learned_spans_are_those_of_transformers() {
    let golden = Templates::read();
    let mut compared = 0;
    for case in &golden.cases {
        let Some(expected) = &case.learned else { continue };
        let text = golden.text(&case.template);
        let encoded = text.encode_record(&golden.record(case), &SpanPolicy::default(), 10_000, Overlong::Reject);
        let place = format!("{} / {}", case.template, case.conversation);
        if expected.iter().all(|&learned| learned == 0) {
            assert!(encoded.unwrap_err().reason.contains("has no assistant turn"), "{place}");
            continue;
        }
        let off_prompt = case.arguments.contains_key("enable_thinking");
        if let (true, Err(error)) = (off_prompt, &encoded) {
            // The prompt would hold an empty thought where an earlier answer has none: no model starts an answer there.
            let several = golden.conversations[&case.conversation].iter().filter(|m| m.role == Role::Assistant).count();
            assert!(several > 1 && error.reason.contains("is not certain"), "{place}: {error}");
            continue;
        }
        let encoded = encoded.unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!(Some(&encoded.tokens), case.ids.as_ref(), "{place}");
        if off_prompt {
            // Here the generation prompt holds the empty thought, which the model therefore never writes itself.
            continue;
        }
        let learned: Vec<u32> = encoded.weights.iter().map(|&weight| u32::from(weight != 0.0)).collect();
        assert_eq!(&learned, expected, "{place}");
        compared += 1;
    }
    assert!(compared > 40, "{compared}");
}

#[test]
fn what_the_generation_prompt_holds_is_not_learned() {
    let golden = Templates::read();
    let case = golden.cases.iter().find(|case| case.arguments.contains_key("enable_thinking")).unwrap();
    let text = golden.text("thinking");
    let encoded = text.encode_record(&golden.record(case), &SpanPolicy::default(), 1000, Overlong::Reject).unwrap();
    let learned: Vec<String> =
        encoded.learned_spans().into_iter().map(|span| text.decode(&encoded.tokens[span])).collect();
    assert_eq!(learned, ["Because of scattering.<|im_end|>"]);
}

#[test]
fn a_prompt_is_what_training_saw_before_the_answer() {
    let golden = Templates::read();
    for case in golden.cases.iter().filter(|case| case.conversation == "plain" && case.template != "python") {
        let text = golden.text(&case.template);
        let encoded = text.encode_record(&golden.record(case), &SpanPolicy::default(), 1000, Overlong::Reject).unwrap();
        let asked = &golden.conversations["plain"][..1];
        let prompt = text.encode_chat(asked, None, &case.arguments).unwrap();
        assert_eq!(encoded.tokens[..encoded.learned_spans()[0].start], prompt, "{}", case.template);
    }
}
