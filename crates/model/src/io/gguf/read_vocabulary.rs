//! From a GGUF file's metadata to the vocabulary from which the tokenizer is rebuilt.

use camelid_text::GgufVocabulary;

use super::super::Malformed;
use super::header::Header;
use super::value::Value;

/// The vocabulary and chat template stored in the file.
pub(super) fn vocabulary(header: &Header) -> Result<GgufVocabulary, Malformed> {
    let find = |key: &str| header.metadata.get(key);
    let missing = |key: &str| {
        Malformed::new(
            format!("metadata key {key:?} is missing"),
            "the file carries no tokenizer: convert the model again, or use its Hugging Face folder",
        )
    };
    let text = |key: &str| find(key).and_then(Value::as_text).map(str::to_owned);
    let id = |key: &str| find(key).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let truth = |key: &str| find(key).and_then(Value::as_bool);

    let tokens = find("tokenizer.ggml.tokens")
        .and_then(Value::as_texts)
        .ok_or_else(|| missing("tokenizer.ggml.tokens"))?
        .to_vec();
    let scores: Vec<f32> = find("tokenizer.ggml.scores")
        .and_then(Value::as_floats)
        .map(|scores| scores.iter().map(|&score| score as f32).collect())
        .unwrap_or_default();
    let token_types: Vec<i32> = find("tokenizer.ggml.token_type")
        .and_then(Value::as_integers)
        .map(|types| types.iter().map(|&kind| i32::try_from(kind).unwrap_or_default()).collect())
        .unwrap_or_default();
    for (key, length) in [("scores", scores.len()), ("token_type", token_types.len())] {
        if length != 0 && length != tokens.len() {
            return Err(Malformed::new(
                format!("tokenizer.ggml.{key} has {length} entries for {} tokens", tokens.len()),
                "convert the model again",
            ));
        }
    }
    Ok(GgufVocabulary {
        model: text("tokenizer.ggml.model").ok_or_else(|| missing("tokenizer.ggml.model"))?,
        pre: text("tokenizer.ggml.pre").unwrap_or_default(),
        tokens,
        scores,
        token_types,
        merges: find("tokenizer.ggml.merges").and_then(Value::as_texts).unwrap_or_default().to_vec(),
        bos: id("tokenizer.ggml.bos_token_id"),
        eos: id("tokenizer.ggml.eos_token_id"),
        unk: id("tokenizer.ggml.unknown_token_id"),
        padding: id("tokenizer.ggml.padding_token_id"),
        add_bos: truth("tokenizer.ggml.add_bos_token"),
        add_eos: truth("tokenizer.ggml.add_eos_token"),
        add_space_prefix: truth("tokenizer.ggml.add_space_prefix"),
        chat_template: text("tokenizer.chat_template"),
    })
}
