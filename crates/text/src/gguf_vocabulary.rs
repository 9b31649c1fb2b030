//! A GGUF file's vocabulary as a `tokenizer.json`.

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
    pub chat_template: Option<String>,
}

/// `tokenizer.ggml.token_type` values.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// The `tokenizer.json` value.
pub(crate) fn tokenizer_json(vocabulary: &GgufVocabulary) -> Result<Json, TextError> {
    let error = |reason: String| TextError::new("GGUF vocabulary", reason, "use the model's Hugging Face folder");
    let (model, pre_tokenizer, decoder, normalizer) = match vocabulary.model.as_str() {
        "gpt2" => {
            let pre = pre_tokenizer(&vocabulary.pre)
                .ok_or_else(|| error(format!("pre-tokenizer {:?} is not known", vocabulary.pre)))?;
            (byte_level_bpe(vocabulary), pre, byte_level_decoder(), Json::Null)
        }
        "llama" => (sentence_piece_bpe(vocabulary), Json::Null, sentence_piece_decoder(), sentence_piece_normalizer()),
        other => return Err(error(format!("tokenizer model {other:?} is not known"))),
    };
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(vocabulary),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor(vocabulary),
        "decoder": decoder,
        "model": model,
    }))
}

fn added_tokens(vocabulary: &GgufVocabulary) -> Vec<Json> {
    let kinds = vocabulary.tokens.iter().zip(&vocabulary.token_types).enumerate();
    let special = kinds.filter(|(_, (_, kind))| matches!(**kind, CONTROL | USER_DEFINED));
    special
        .map(|(id, (token, &kind))| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": kind == CONTROL,
            })
        })
        .collect()
}

/// Token to id; of two equal tokens the first counts.
fn ids(vocabulary: &GgufVocabulary) -> serde_json::Map<String, Json> {
    let mut map = serde_json::Map::with_capacity(vocabulary.tokens.len());
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        map.entry(token.clone()).or_insert_with(|| json!(id));
    }
    map
}

fn byte_level_bpe(vocabulary: &GgufVocabulary) -> Json {
    json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        // Llama 3 looks whole words up before it merges.
        "ignore_merges": matches!(vocabulary.pre.as_str(), "llama-bpe" | "llama3" | "llama-v3"),
        "vocab": ids(vocabulary),
        "merges": vocabulary.merges,
    })
}

fn byte_level_decoder() -> Json {
    json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true })
}

/// Splits text into words before merging, by the name that llama.cpp gives the rule.
fn pre_tokenizer(name: &str) -> Option<Json> {
    let byte_level = |use_regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex });
    let split = |pattern: &str| {
        json!({
            "type": "Sequence",
            "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false },
                byte_level(false),
            ],
        })
    };
    Some(match name {
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => json!({
            "type": "Sequence",
            "pretokenizers": [{ "type": "Digits", "individual_digits": true }, byte_level(true)],
        }),
        "gpt-2" | "gpt2" | "default" | "" | "olmo" | "phi-2" | "mpt" => byte_level(true),
        "llama-bpe" | "llama3" | "llama-v3" => split(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        "qwen2" | "deepseek-r1-qwen" => split(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        _ => return None,
    })
}

/// `SentencePiece` BPE: any two neighbours that make a token merge, the better score first.
fn sentence_piece_bpe(vocabulary: &GgufVocabulary) -> Json {
    let known = ids(vocabulary);
    let score = |token: &str| {
        let id = known.get(token).and_then(Json::as_u64).unwrap_or(0) as usize;
        vocabulary.scores.get(id).copied().unwrap_or(0.0)
    };
    let mut merges: Vec<(f32, usize, String)> = Vec::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        if vocabulary.token_types.get(id).is_some_and(|&kind| kind != 1) {
            continue;
        }
        let mut pairs: Vec<(u64, u64, String)> = token
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| {
                let (left, right) = token.split_at(at);
                let ids = (known.get(left)?.as_u64()?, known.get(right)?.as_u64()?);
                Some((ids.0, ids.1, format!("{left} {right}")))
            })
            .collect();
        pairs.sort();
        merges.extend(pairs.into_iter().map(|(_, _, pair)| (score(token), id, pair)));
    }
    // Stable: merges of one token stay in the order of their parts.
    merges.sort_by(|a, b| b.0.total_cmp(&a.0));
    let unknown = vocabulary.unk.and_then(|id| vocabulary.tokens.get(id as usize));
    json!({
        "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
        "vocab": known,
        "merges": merges.into_iter().map(|(_, _, pair)| pair).collect::<Vec<_>>(),
    })
}

fn sentence_piece_normalizer() -> Json {
    json!({
        "type": "Sequence",
        "normalizers": [
            { "type": "Prepend", "prepend": "\u{2581}" },
            { "type": "Replace", "pattern": { "String": " " }, "content": "\u{2581}" },
        ],
    })
}

fn sentence_piece_decoder() -> Json {
    json!({
        "type": "Sequence",
        "decoders": [
            { "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " },
            { "type": "ByteFallback" },
            { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ],
    })
}

/// Adds BOS where the file asks for it.
fn post_processor(vocabulary: &GgufVocabulary) -> Json {
    let default = vocabulary.model == "llama" || matches!(vocabulary.pre.as_str(), "llama-bpe" | "llama3" | "llama-v3");
    let wanted = vocabulary.add_bos.unwrap_or(default);
    let bos = vocabulary.bos.and_then(|id| Some((id, vocabulary.tokens.get(id as usize)?))).filter(|_| wanted);
    match bos {
        Some((id, token)) => json!({
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": token, "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [
                { "SpecialToken": { "id": token, "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } },
                { "Sequence": { "id": "B", "type_id": 1 } },
            ],
            "special_tokens": { token.as_str(): { "id": token, "ids": [id], "tokens": [token] } },
        }),
        None if vocabulary.model == "gpt2" => byte_level_decoder(),
        None => Json::Null,
    }
}
