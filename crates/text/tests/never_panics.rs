//! Templates and tokenizer files are other people's: whatever they hold, the answer is a result.

mod common;

use camelid_records::Role;
use camelid_text::{ChatTemplate, GgufVocabulary, Text, TextAssets};
use common::{Templates, conversation};
use proptest::prelude::*;
use serde_json::{Map, json};

fn render(source: &str) -> Result<String, camelid_text::TextError> {
    let messages = conversation(&[(Role::User, "Hi"), (Role::Assistant, "Hello"), (Role::User, "More")]).messages;
    ChatTemplate::new(source)?.render(&messages, Some(&json!([{"name": "t"}])), &Map::new(), true)
}

#[test]
fn templates_that_would_not_end_run_out_of_budget() {
    let endless = [
        "{% for i in range(1000000000) %}{% for j in range(1000000000) %}x{% endfor %}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{{ i * j }}{% endfor %}{% endfor %}",
        "{{ 'x' * 100000000000 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
        "{% macro again() %}{{ again() }}{{ again() }}{% endmacro %}{{ again() }}",
        "{% set l = range(1000) | list %}{% for i in range(100000) %}{{ l | tojson(indent=1000) }}{% endfor %}",
        "{{ [1] | tojson(indent=10000000000) }}",
    ];
    for source in endless {
        let error = render(source).unwrap_err();
        assert!(error.place.starts_with("chat template") && !error.fix.is_empty(), "{error}");
    }
}

#[test]
fn errors_name_the_line_and_the_fix() {
    let cases = [
        ("a\n{% if %}", "chat template, line 2: does not compile: syntax error"),
        ("\n\n{{ messages[0].x.y }}", "chat template, line 3: cannot render this conversation: undefined value"),
        ("{{ raise_exception('no tools') }}", "chat template, line 1: refuses this conversation: no tools"),
        ("{% for i in range(10000) %}\n{% for j in range(10000) %}{% endfor %}{% endfor %}", "ran out of fuel"),
        ("{{ 1 | nothing }}", "filter nothing is unknown"),
        ("{{ strftime_now('%Q%') }}", "strftime_now cannot write"),
        ("{{ nothing | tojson }}", "tojson of a value that is not defined"),
    ];
    for (source, expected) in cases {
        let error = render(source).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("\n  fix: "), "{source}: {error}");
    }
}

#[test]
fn broken_tokenizer_files_are_errors() {
    let assets = |tokenizer: &str, config: serde_json::Value| TextAssets {
        tokenizer_json: tokenizer.as_bytes().to_vec(),
        tokenizer_config: config,
        chat_template: None,
        generation_config: json!({"eos_token_id": [99_999_999, -3, "x", null]}),
    };
    for tokenizer in ["", "{}", "[]", "null", "{\"version\":\"1.0\"}", "\u{feff}{}"] {
        let error = Text::new(assets(tokenizer, json!({}))).err().unwrap().to_string();
        assert!(error.contains("tokenizer.json: cannot be read"), "{error}");
    }
    let golden = Templates::read();
    let tokenizer = golden.tokenizer.to_string();
    for config in
        [json!(null), json!([]), json!({"eos_token": 3, "bos_token": {"content": 4}, "added_tokens_decoder": 1})]
    {
        let text = Text::new(assets(&tokenizer, config)).unwrap();
        assert_eq!((text.eos(), text.stop_tokens()), (Some(99_999_999), &[][..]));
    }
    let wrong_id = json!({"added_tokens_decoder": {"5000": {"content": "<|new|>", "special": true}}});
    let error = Text::new(assets(&tokenizer, wrong_id)).err().unwrap().to_string();
    assert!(error.contains("is stated to have id 5000"), "{error}");
}

/// Pieces of templates in any order.
fn template() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{%",
        "%}",
        "{{",
        "}}",
        "{#",
        "#}",
        "-",
        "+",
        " ",
        "\n",
        "for",
        "in",
        "endfor",
        "if",
        "else",
        "endif",
        "set",
        "macro",
        "endmacro",
        "generation",
        "endgeneration",
        "messages",
        "message",
        ".content",
        "['role']",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "::-1",
        "| tojson",
        "| trim",
        ".split('\\n')",
        ".rsplit('', 1)",
        "raise_exception",
        "range(9)",
        "namespace(a=1)",
        "=",
        "==",
        "not",
        "is defined",
        "loop.index0",
        "'",
        "\"",
        "~",
        "%",
        "1e400",
        "\u{fffd}",
        "é",
        "break",
        "continue",
        "with",
        "{% for m in messages %}",
        "{% endfor %}",
        "{% if x %}",
        "{% endif %}",
        "{{ m.content }}",
        "{{ messages[::-1] }}",
    ]);
    prop::collection::vec(pieces, 0..25).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_template_gives_a_result(source in template()) {
        let _ = render(&source);
    }

    #[test]
    fn any_text_as_a_template_gives_a_result(source in "\\PC{0,40}") {
        let _ = render(&source);
    }

    #[test]
    fn any_vocabulary_gives_a_result(
        model in prop::sample::select(vec!["llama", "gpt2"]),
        tokens in prop::collection::vec("[a-c▁<>]{0,3}", 0..12),
        token_types in prop::collection::vec(0i32..7, 0..12),
        scores in prop::collection::vec(prop::num::f32::ANY, 0..12),
        merges in prop::collection::vec("[a-c]{0,2} ?[a-c]{0,2}", 0..3),
        ids in prop::collection::vec(prop::option::of(0u32..14), 4),
        string in "[a-c ▁<>é]{0,12}",
    ) {
        let vocabulary = GgufVocabulary {
            model: model.into(),
            tokens,
            token_types,
            scores,
            merges,
            bos: ids[0],
            eos: ids[1],
            unk: ids[2],
            padding: ids[3],
            ..GgufVocabulary::default()
        };
        if let Ok(text) = TextAssets::from_gguf(&vocabulary).and_then(Text::new) {
            let tokens = text.encode(&string);
            prop_assert!(tokens.iter().all(|&token| (token as usize) < text.vocabulary_size()));
            let _ = text.decode(&tokens);
        }
    }
}
