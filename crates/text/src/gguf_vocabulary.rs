//! A GGUF file's vocabulary as a `tokenizer.json`.
//!
//! GGUF keeps tokens, merges or scores, and a *name* for the way text is split before merging. The splitting itself is
//! what the `tokenizer.json` of the model family says that the name stands for.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use crate::TextError;

/// The tokenizer metadata of a GGUF file (`tokenizer.ggml.*`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufVocabulary {
    /// `gpt2` (byte-level BPE) or `llama` (`SentencePiece`).
    pub model: String,
    /// Name of the pre-tokenizer, such as `smollm` or `llama-bpe`.
    pub pre: String,
    pub tokens: Vec<String>,
    pub scores: Vec<f32>,
    pub token_types: Vec<i32>,
    /// `left right`, in order of rank.
    pub merges: Vec<String>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub unk: Option<u32>,
    pub padding: Option<u32>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
    /// Whether `SentencePiece` puts a space before each text; unstated means that it does.
    pub add_space_prefix: Option<bool>,
    pub chat_template: Option<String>,
}

/// `tokenizer.ggml.token_type` values.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

const FIX: &str = "convert the model again, or use its Hugging Face folder";

fn error(reason: impl Into<String>) -> TextError {
    TextError::new("GGUF vocabulary", reason, FIX)
}

/// The `tokenizer.json` value.
pub(crate) fn tokenizer_json(vocabulary: &GgufVocabulary) -> Result<Json, TextError> {
    check_ids(vocabulary)?;
    let ids = ids(vocabulary);
    let is_sentence_piece = vocabulary.model == "llama";
    let (model, pre_tokenizer, decoder, normalizer) = match vocabulary.model.as_str() {
        "gpt2" => {
            let splitting = splitting(&vocabulary.pre)?;
            let normalizer = if splitting.nfc { json!({ "type": "NFC" }) } else { Json::Null };
            (byte_level_bpe(vocabulary, &ids)?, splitting.pre_tokenizer, byte_level(true), normalizer)
        }
        "llama" => {
            let prefix = vocabulary.add_space_prefix.unwrap_or(true);
            let model = sentence_piece_bpe(vocabulary, &ids);
            (model, Json::Null, sentence_piece_decoder(prefix), sentence_piece_normalizer(prefix))
        }
        other => return Err(error(format!("tokenizer model {other:?} is not known"))),
    };
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(vocabulary, is_sentence_piece),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor(vocabulary),
        "decoder": decoder,
        "model": model,
    }))
}

fn check_ids(vocabulary: &GgufVocabulary) -> Result<(), TextError> {
    let named = [
        ("bos", vocabulary.bos),
        ("eos", vocabulary.eos),
        ("unknown", vocabulary.unk),
        ("padding", vocabulary.padding),
    ];
    for (name, id) in named {
        if let Some(id) = id.filter(|&id| id as usize >= vocabulary.tokens.len()) {
            return Err(error(format!("the {name} token has id {id}, of {} tokens", vocabulary.tokens.len())));
        }
    }
    Ok(())
}

/// Token to id; of two equal tokens the first counts.
fn ids(vocabulary: &GgufVocabulary) -> HashMap<&str, u32> {
    let mut ids = HashMap::with_capacity(vocabulary.tokens.len());
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        ids.entry(token.as_str()).or_insert(id as u32);
    }
    ids
}

fn vocabulary_json(vocabulary: &GgufVocabulary) -> Json {
    let mut map = serde_json::Map::with_capacity(vocabulary.tokens.len());
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        map.entry(token.clone()).or_insert_with(|| json!(id));
    }
    Json::Object(map)
}

/// Tokens that are matched before text is split.
fn added_tokens(vocabulary: &GgufVocabulary, unknown_is_special: bool) -> Vec<Json> {
    // Old files state no types; then at least the named tokens are special.
    let named = [vocabulary.bos, vocabulary.eos, vocabulary.padding];
    let mut tokens = Vec::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        let kind = vocabulary.token_types.get(id).copied().unwrap_or(NORMAL);
        let untyped = vocabulary.token_types.is_empty() && named.contains(&Some(id as u32));
        let special = kind == CONTROL || untyped || (kind == UNKNOWN && unknown_is_special);
        if (special || kind == USER_DEFINED) && !token.is_empty() {
            tokens.push(json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special,
            }));
        }
    }
    tokens
}

fn byte_level_bpe(vocabulary: &GgufVocabulary, ids: &HashMap<&str, u32>) -> Result<Json, TextError> {
    let mut merges = Vec::with_capacity(vocabulary.merges.len());
    for merge in &vocabulary.merges {
        let pair = merge.split_once(' ').filter(|(left, right)| {
            ids.contains_key(left) && ids.contains_key(right) && ids.contains_key(format!("{left}{right}").as_str())
        });
        let (left, right) = pair.ok_or_else(|| error(format!("merge {merge:?} is not of two tokens to a third")))?;
        merges.push(json!([left, right]));
    }
    Ok(json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        // Llama 3 looks whole words up before it merges.
        "ignore_merges": is_llama3(&vocabulary.pre),
        "vocab": vocabulary_json(vocabulary),
        "merges": merges,
    }))
}

fn byte_level(use_regex: bool) -> Json {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
}

fn is_llama3(pre: &str) -> bool {
    matches!(pre, "llama-bpe" | "llama3" | "llama-v3")
}

/// How text is split into words before merging.
struct Splitting {
    pre_tokenizer: Json,
    /// Unicode is composed first.
    nfc: bool,
}

/// The splitting that llama.cpp gives this name.
fn splitting(name: &str) -> Result<Splitting, TextError> {
    let split = |pattern: &str| {
        json!({
            "type": "Sequence",
            "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false },
                byte_level(false),
            ],
        })
    };
    let (pre_tokenizer, nfc) = match name {
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => {
            let digits = json!({ "type": "Digits", "individual_digits": true });
            (json!({ "type": "Sequence", "pretokenizers": [digits, byte_level(true)] }), name == "command-r")
        }
        "gpt-2" | "gpt2" | "default" | "" | "phi-2" => (byte_level(true), false),
        // These took the tokenizer of GPT-NeoX.
        "olmo" | "mpt" => (byte_level(true), true),
        "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe" => {
            let pattern = concat!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
                r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            );
            (split(pattern), false)
        }
        "qwen2" | "deepseek-r1-qwen" => {
            let pattern = concat!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|",
                r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            );
            (split(pattern), true)
        }
        "tekken" => {
            let pattern = concat!(
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|",
                r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            );
            (split(pattern), false)
        }
        other => return Err(error(format!("pre-tokenizer {other:?} is not known"))),
    };
    Ok(Splitting { pre_tokenizer, nfc })
}

/// `SentencePiece` BPE: any two neighbours that make a token merge, the better score first.
fn sentence_piece_bpe(vocabulary: &GgufVocabulary, ids: &HashMap<&str, u32>) -> Json {
    struct Merge<'a> {
        score: f32,
        left: &'a str,
        right: &'a str,
    }
    let mut merges: Vec<Merge> = Vec::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        if !matches!(vocabulary.token_types.get(id), None | Some(&NORMAL | &USER_DEFINED)) {
            continue;
        }
        let score = vocabulary.scores.get(id).copied().unwrap_or(0.0);
        let pairs = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let known = pairs.filter(|(left, right)| ids.contains_key(left) && ids.contains_key(right));
        let from = merges.len();
        merges.extend(known.map(|(left, right)| Merge { score, left, right }));
        merges[from..].sort_by_key(|merge| (ids[merge.left], ids[merge.right]));
    }
    // Stable: merges to one token stay in the order of their parts.
    merges.sort_by(|a, b| b.score.total_cmp(&a.score));
    let unknown = vocabulary.unk.and_then(|id| vocabulary.tokens.get(id as usize));
    json!({
        "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
        "vocab": vocabulary_json(vocabulary),
        "merges": merges.into_iter().map(|merge| json!([merge.left, merge.right])).collect::<Vec<_>>(),
    })
}

fn sentence_piece_normalizer(prefix: bool) -> Json {
    let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" });
    if prefix {
        let prepend = json!({ "type": "Prepend", "prepend": "\u{2581}" });
        json!({ "type": "Sequence", "normalizers": [prepend, replace] })
    } else {
        replace
    }
}

fn sentence_piece_decoder(prefix: bool) -> Json {
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": decoders })
}

/// Adds BOS where the file asks for it.
fn post_processor(vocabulary: &GgufVocabulary) -> Json {
    let wanted = vocabulary.add_bos.unwrap_or(vocabulary.model == "llama" || is_llama3(&vocabulary.pre));
    let bos = vocabulary.bos.and_then(|id| Some((id, vocabulary.tokens.get(id as usize)?))).filter(|_| wanted);
    match bos {
        Some((id, token)) => {
            let special = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
            let text = |name: &str, kind: u32| json!({ "Sequence": { "id": name, "type_id": kind } });
            json!({
                "type": "TemplateProcessing",
                "single": [special, text("A", 0)],
                "pair": [special, text("A", 0), text("B", 1)],
                "special_tokens": { token.as_str(): { "id": token, "ids": [id], "tokens": [token] } },
            })
        }
        None if vocabulary.model == "gpt2" => byte_level(true),
        None => Json::Null,
    }
}
