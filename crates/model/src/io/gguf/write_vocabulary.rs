//! From a `tokenizer.json` to GGUF's vocabulary metadata.

use std::collections::BTreeMap;

use camelid_text::TextAssets;
use serde_json::Value as Json;

use super::super::Malformed;
use super::write::Entry;

const FIX: &str = "write a Hugging Face folder instead";

/// `llama_token_type` of llama.cpp.
#[derive(Clone, Copy)]
#[repr(i32)]
enum TokenType {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// Metadata of the vocabulary, padded to `rows`, the rows of the embedding.
pub(super) fn entries(text: &TextAssets, config: &Json, rows: usize) -> Result<Vec<(String, Entry)>, Malformed> {
    let tokenizer: Json = serde_json::from_slice(&text.tokenizer_json)
        .map_err(|error| Malformed::new(format!("tokenizer.json is broken: {error}"), "fetch the tokenizer again"))?;
    let model = &tokenizer["model"];
    if model["type"].as_str().unwrap_or("BPE") != "BPE" {
        return Err(Malformed::new("only BPE tokenizers can be written as GGUF", FIX));
    }
    let Some(vocabulary) = model["vocab"].as_object() else {
        return Err(Malformed::new("tokenizer.json has no vocabulary", "fetch the tokenizer again"));
    };
    let merges = merges(model)?;
    let byte_fallback = model["byte_fallback"].as_bool().unwrap_or(false);

    let mut tokens: Vec<Option<(String, TokenType)>> = vec![None; rows];
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    let mut place = |content: &str, id: usize, kind: TokenType| {
        let Some(slot) = tokens.get_mut(id) else {
            return Err(Malformed::new(
                format!("token {content:?} has id {id}, but the embedding has {rows} rows"),
                "the tokenizer belongs to another model",
            ));
        };
        *slot = Some((content.to_owned(), kind));
        ids.insert(content.to_owned(), id);
        Ok(())
    };
    for (token, id) in vocabulary {
        let is_byte = byte_fallback && token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        let unknown = model["unk_token"].as_str() == Some(token);
        let kind = if is_byte {
            TokenType::Byte
        } else if unknown {
            TokenType::Unknown
        } else {
            TokenType::Normal
        };
        place(token, id.as_u64().unwrap_or(u64::MAX) as usize, kind)?;
    }
    for added in tokenizer["added_tokens"].as_array().into_iter().flatten() {
        let content = added["content"].as_str().unwrap_or_default();
        let kind = if added["special"].as_bool() == Some(true) { TokenType::Control } else { TokenType::UserDefined };
        let kind =
            if byte_fallback && model["unk_token"].as_str() == Some(content) { TokenType::Unknown } else { kind };
        place(content, added["id"].as_u64().unwrap_or(u64::MAX) as usize, kind)?;
    }

    let mut entries: Vec<(String, Entry)> = Vec::new();
    let mut set = |key: &str, entry: Entry| entries.push((format!("tokenizer.{key}"), entry));
    if byte_fallback {
        set("ggml.model", Entry::Text("llama".to_owned()));
        set("ggml.add_space_prefix", Entry::Bool(prepends_space(&tokenizer)));
        set("ggml.scores", Entry::F32s(scores(&merges, &ids, rows)));
    } else {
        set("ggml.model", Entry::Text("gpt2".to_owned()));
        set("ggml.pre", Entry::Text(pre_tokenizer(&tokenizer)?.to_owned()));
        set("ggml.merges", Entry::Texts(merges.iter().map(|(left, right)| format!("{left} {right}")).collect()));
    }
    let (texts, types) = tokens
        .into_iter()
        .enumerate()
        .map(|(id, token)| token.unwrap_or_else(|| (format!("[PAD{id}]"), TokenType::Unused)))
        .map(|(content, kind)| (content, kind as i32))
        .unzip();
    set("ggml.tokens", Entry::Texts(texts));
    set("ggml.token_type", Entry::I32s(types));

    let special = |name: &str| {
        let stated = &text.tokenizer_config[name];
        let content = stated.as_str().or_else(|| stated["content"].as_str());
        content.and_then(|content| ids.get(content).copied()).or_else(|| {
            let id = &config[format!("{name}_id")];
            id.as_u64().or_else(|| id[0].as_u64()).map(|id| id as usize)
        })
    };
    let bos = special("bos_token");
    for (key, id) in [
        ("ggml.bos_token_id", bos),
        ("ggml.eos_token_id", special("eos_token")),
        ("ggml.unknown_token_id", special("unk_token")),
        ("ggml.padding_token_id", special("pad_token")),
    ] {
        if let Some(id) = id.filter(|id| *id < rows) {
            set(key, Entry::U32(id as u32));
        }
    }
    let template = &tokenizer["post_processor"];
    let stated = |key: &str| text.tokenizer_config[key].as_bool();
    set("ggml.add_bos_token", Entry::Bool(stated("add_bos_token").unwrap_or_else(|| begins_with_special(template))));
    set("ggml.add_eos_token", Entry::Bool(stated("add_eos_token").unwrap_or(false)));
    if let Some(template) = &text.chat_template {
        set("chat_template", Entry::Text(template.clone()));
    }
    Ok(entries)
}

/// Merges in order of rank; `tokenizer.json` writes each as "left right" or as a list of the two.
fn merges(model: &Json) -> Result<Vec<(String, String)>, Malformed> {
    let broken = || Malformed::new("tokenizer.json has a merge that is not a pair", "fetch the tokenizer again");
    let list = model["merges"].as_array().ok_or_else(broken)?;
    list.iter()
        .map(|merge| match merge {
            Json::String(pair) => pair.split_once(' '),
            Json::Array(pair) => pair.first().and_then(Json::as_str).zip(pair.get(1).and_then(Json::as_str)),
            _ => None,
        })
        .map(|pair| pair.map(|(left, right)| (left.to_owned(), right.to_owned())).ok_or_else(broken))
        .collect()
}

/// Scores under which llama.cpp merges in the order of the ranks: it joins the pair whose result scores highest.
fn scores(merges: &[(String, String)], ids: &BTreeMap<String, usize>, rows: usize) -> Vec<f32> {
    let mut scores = vec![0.0; rows];
    for (rank, (left, right)) in merges.iter().enumerate().rev() {
        if let Some(score) = ids.get(&format!("{left}{right}")).and_then(|id| scores.get_mut(*id)) {
            *score = -(rank as f32 + 1.0);
        }
    }
    scores
}

/// All objects of a normaliser, pre-tokeniser or post-processor, sequences flattened.
fn steps(node: &Json) -> Vec<&Json> {
    for key in ["pretokenizers", "normalizers", "processors"] {
        if let Some(list) = node[key].as_array() {
            return list.iter().flat_map(steps).collect();
        }
    }
    if node.is_null() { Vec::new() } else { vec![node] }
}

/// llama.cpp knows how to split text before merging only by name.
fn pre_tokenizer(tokenizer: &Json) -> Result<&'static str, Malformed> {
    let steps = steps(&tokenizer["pre_tokenizer"]);
    let is = |step: &Json, kind: &str| step["type"].as_str() == Some(kind);
    let patterns: Vec<&str> = steps.iter().filter_map(|step| step["pattern"]["Regex"].as_str()).collect();
    let single_digits = steps.iter().any(|step| is(step, "Digits") && step["individual_digits"] == true);
    let words = steps.iter().any(|step| is(step, "ByteLevel") && step["use_regex"] != false);
    match patterns.as_slice() {
        [] if words && single_digits => Ok("smollm"),
        [] if words && steps.len() == 1 => Ok("gpt-2"),
        [pattern] if pattern.contains(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)") && pattern.contains(r"\p{N}{1,3}") => {
            Ok("llama-bpe")
        }
        [pattern] if pattern.contains(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)") && pattern.contains(r"|\p{N}|") => Ok("qwen2"),
        _ => Err(Malformed::new("GGUF has no name for the way this tokenizer splits text", FIX)),
    }
}

/// Whether a space is put before the text (the dummy prefix of `SentencePiece`).
fn prepends_space(tokenizer: &Json) -> bool {
    steps(&tokenizer["normalizer"]).iter().any(|step| step["type"] == "Prepend")
        || steps(&tokenizer["pre_tokenizer"]).iter().any(|step| {
            step["type"] == "Metaspace" && matches!(step["prepend_scheme"].as_str(), Some("always" | "first"))
        })
}

/// Whether the post-processor starts each text with a special token.
fn begins_with_special(post_processor: &Json) -> bool {
    steps(post_processor).iter().any(|step| step["single"][0]["SpecialToken"].is_object())
}
