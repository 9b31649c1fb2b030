//! Tokenizers rebuilt from GGUF vocabularies.

mod common;

use camelid_text::{GgufVocabulary, Text, TextAssets};
use serde::Deserialize;

#[derive(Deserialize)]
struct ByteLevel {
    texts: Vec<String>,
    vocabularies: Vec<Splitting>,
}

#[derive(Deserialize)]
struct Splitting {
    pre: String,
    tokens: Vec<String>,
    token_types: Vec<i32>,
    merges: Vec<String>,
    ids: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct SentencePiece {
    tokens: Vec<String>,
    scores: Vec<f32>,
    token_types: Vec<i32>,
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    ids_without_prefix: Vec<Vec<u32>>,
}

fn byte_level() -> ByteLevel {
    serde_json::from_str(include_str!("golden/byte_level.json")).unwrap()
}

fn sentence_piece() -> (SentencePiece, GgufVocabulary) {
    let golden: SentencePiece = serde_json::from_str(include_str!("golden/sentence_piece.json")).unwrap();
    let vocabulary = GgufVocabulary {
        model: "llama".into(),
        tokens: golden.tokens.clone(),
        scores: golden.scores.clone(),
        token_types: golden.token_types.clone(),
        unk: Some(0),
        bos: Some(1),
        eos: Some(2),
        ..GgufVocabulary::default()
    };
    (golden, vocabulary)
}

fn text(vocabulary: &GgufVocabulary) -> Text {
    Text::new(TextAssets::from_gguf(vocabulary).unwrap()).unwrap()
}

#[track_caller]
fn same_ids(text: &Text, texts: &[String], ids: &[Vec<u32>], name: &str) {
    for (string, expected) in texts.iter().zip(ids) {
        assert_eq!(&text.encode(string), expected, "{name}: {string:?}");
    }
}

#[test]
fn each_splitting_gives_the_ids_of_its_tokenizer() {
    let golden = byte_level();
    for splitting in golden.vocabularies {
        let vocabulary = GgufVocabulary {
            model: "gpt2".into(),
            pre: splitting.pre.clone(),
            tokens: splitting.tokens,
            token_types: splitting.token_types,
            merges: splitting.merges,
            bos: Some(3),
            eos: Some(2),
            ..GgufVocabulary::default()
        };
        let text = text(&vocabulary);
        same_ids(&text, &golden.texts, &splitting.ids, &splitting.pre);
        assert_eq!(text.vocabulary_size(), vocabulary.tokens.len());
        assert_eq!((text.bos(), text.eos(), text.stop_tokens()), (Some(3), Some(2), &[2][..]));
        assert_eq!(text.adds_bos(), splitting.pre == "llama-bpe");
        for (string, ids) in golden.texts.iter().zip(&splitting.ids) {
            let composes = matches!(splitting.pre.as_str(), "qwen2" | "olmo");
            assert!(composes || &text.decode(ids) == string, "{}: {string:?}", splitting.pre);
        }
    }
}

#[test]
fn sentence_piece_joins_the_best_neighbours_first() {
    let (golden, vocabulary) = sentence_piece();
    let with_prefix = text(&vocabulary);
    same_ids(&with_prefix, &golden.texts, &golden.ids, "with prefix");
    assert!(with_prefix.adds_bos());
    let without = text(&GgufVocabulary { add_space_prefix: Some(false), add_bos: Some(false), ..vocabulary });
    same_ids(&without, &golden.texts, &golden.ids_without_prefix, "without prefix");
    assert!(!without.adds_bos());
    for (string, ids) in golden.texts.iter().zip(&golden.ids_without_prefix) {
        assert_eq!(&without.decode(ids), string);
    }
}

#[track_caller]
fn refused(vocabulary: &GgufVocabulary, expected: &str) {
    let error = TextAssets::from_gguf(vocabulary).unwrap_err().to_string();
    assert!(error.contains(expected) && error.contains("\n  fix: "), "{error}");
}

#[test]
fn vocabularies_that_cannot_be_rebuilt_are_refused() {
    let (_, good) = sentence_piece();
    refused(&GgufVocabulary { model: "bert".into(), ..good.clone() }, "tokenizer model \"bert\" is not known");
    refused(&GgufVocabulary { bos: Some(9999), ..good.clone() }, "the bos token has id 9999");
    let byte_level = GgufVocabulary { model: "gpt2".into(), ..good };
    refused(&GgufVocabulary { pre: "own".into(), ..byte_level.clone() }, "pre-tokenizer \"own\" is not known");
    refused(&GgufVocabulary { merges: vec!["ab".into()], ..byte_level.clone() }, "merge \"ab\" is not of two tokens");
    refused(&GgufVocabulary { merges: vec!["a q#".into()], ..byte_level }, "merge \"a q#\" is not of two tokens");
}
