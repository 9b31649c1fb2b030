//! Reward models as `transformers` calls them: `AutoModelForSequenceClassification` with one label.

use camelid_text::TextAssets;
use serde_json::{Value as Json, json};

use super::element_type::ElementType;
use super::hf_writer::{LARGEST_SHARD, write_hf_tensors};
use super::write_safetensors::NamedShape;
use crate::value_head::SCORE;
use crate::{ArchConfig, ModelError};

/// As [`super::write_hf_model`], with the scalar head's weight, which `fetch` is asked for under `score.weight`.
pub fn write_hf_reward_model(
    folder: &std::path::Path,
    arch: &ArchConfig,
    config: &Json,
    kind: ElementType,
    fetch: &mut dyn FnMut(&str) -> Result<Vec<f32>, ModelError>,
) -> Result<(), ModelError> {
    let mut tensors = NamedShape::list(arch);
    tensors.push(NamedShape { name: SCORE.to_owned(), shape: vec![1, arch.hidden] });
    write_hf_tensors(folder, &reward_config(config), kind, &tensors, LARGEST_SHARD, fetch)
}

/// The configuration of a language model as that of a classifier with one label.
///
/// `transformers` reads the score at the last token that is not padding. Many tokenizers pad with the token that ends an
/// answer; the score would then be read before it. So padding becomes BOS, which ends no sequence.
fn reward_config(config: &Json) -> Json {
    let mut config = config.clone();
    let Some(fields) = config.as_object_mut() else { return config };
    let family = match fields.get("model_type").and_then(Json::as_str) {
        Some("llama") => "Llama",
        Some("mistral") => "Mistral",
        Some("qwen2") => "Qwen2",
        Some("qwen3") => "Qwen3",
        Some("gemma2") => "Gemma2",
        Some("gemma3_text") => "Gemma3Text",
        _ => "GPTNeoX",
    };
    fields.insert("architectures".into(), json!([format!("{family}ForSequenceClassification")]));
    fields.insert("num_labels".into(), json!(1));
    fields.insert("id2label".into(), json!({"0": "reward"}));
    fields.insert("label2id".into(), json!({"reward": 0}));
    if let Some(bos) = padding(fields.get("bos_token_id"), fields.get("eos_token_id")) {
        fields.insert("pad_token_id".into(), json!(bos));
    }
    config
}

fn padding(bos: Option<&Json>, eos: Option<&Json>) -> Option<u64> {
    let bos = bos?.as_u64()?;
    let ends = |eos: &Json| eos.as_u64() == Some(bos) || eos.as_array().is_some_and(|list| list.contains(&json!(bos)));
    (!eos.is_some_and(ends)).then_some(bos)
}

/// The tokenizer's files with the same padding as the configuration: `transformers` compares the two.
#[must_use]
pub fn reward_text(text: &TextAssets) -> TextAssets {
    let mut text = text.clone();
    let config = &text.tokenizer_config;
    let (bos, eos) = (config["bos_token"].clone(), config["eos_token"].clone());
    if !bos.is_null() && bos != eos && text.tokenizer_config.is_object() {
        text.tokenizer_config["pad_token"] = bos;
    }
    text
}
