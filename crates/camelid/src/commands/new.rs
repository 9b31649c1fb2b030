//! `camelid new`: a model that has learned nothing, with a vocabulary of its own.

use std::path::Path;

use anyhow::{Context, bail};
use camelid_model::io::{ElementType, write_hf_model, write_text};
use camelid_model::{ArchConfig, InitialWeights};
use camelid_records::{Record, read};
use camelid_text::{Text, TextAssets};
use serde_json::{Value as Json, json};

use crate::cli::NewArgs;

/// A shape by name: hidden, layers, heads, heads of keys and values, width of the gated layer.
struct Preset {
    name: &'static str,
    hidden: usize,
    layers: usize,
    heads: usize,
    key_value_heads: usize,
    intermediate: usize,
}

const fn preset(
    name: &'static str,
    hidden: usize,
    layers: usize,
    heads: usize,
    key_value_heads: usize,
    intermediate: usize,
) -> Preset {
    Preset { name, hidden, layers, heads, key_value_heads, intermediate }
}

/// Named for their parameters with a vocabulary of 2048.
const PRESETS: [Preset; 5] = [
    preset("tiny-100k", 32, 2, 2, 2, 96),
    preset("tiny-300k", 64, 3, 4, 4, 176),
    preset("tiny-1m", 128, 4, 4, 4, 352),
    preset("tiny-3m", 192, 6, 6, 3, 512),
    preset("tiny-10m", 320, 8, 5, 5, 864),
];

pub(crate) fn run(args: &NewArgs) -> anyhow::Result<()> {
    let folder = &args.out;
    if folder.join("config.json").exists() && !args.overwrite {
        bail!("{} holds a model\n  fix: name another folder, or add --overwrite", folder.display());
    }
    let shape = shape(&args.shape)?;
    let assets = vocabulary(&args.tokenizer_from, args.vocabulary)?;
    let text = Text::new(assets.clone())?;
    let config = config(shape, &text, &assets);
    if config["model_type"] != "llama" {
        bail!("{}: only Llama's architecture can start from nothing\n  fix: set \"model_type\": \"llama\"", args.shape);
    }
    let arch = ArchConfig::from_hf(&config).with_context(|| args.shape.clone())?;
    let weights = InitialWeights::new(&arch, args.seed);
    write_text(folder, &assets)?;
    write_hf_model(folder, &arch, &config, ElementType::F32, &mut |name| weights.load(name))?;
    let parameters: usize = arch.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    println!("{}", folder.display());
    eprintln!("{parameters} parameters, a vocabulary of {} tokens", text.vocabulary_size());
    Ok(())
}

/// The configuration that a preset or a `config.json` stands for, vocabulary aside.
fn shape(name: &str) -> anyhow::Result<Json> {
    if let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) {
        return Ok(json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "hidden_size": preset.hidden, "num_hidden_layers": preset.layers, "num_attention_heads": preset.heads,
            "num_key_value_heads": preset.key_value_heads, "head_dim": preset.hidden / preset.heads,
            "intermediate_size": preset.intermediate, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0, "tie_word_embeddings": true, "initializer_range": 0.02, "attention_bias": false,
            "mlp_bias": false,
        }));
    }
    if !Path::new(name).is_file() {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        bail!("{name} is neither a file nor a known shape\n  fix: name a config.json, or one of {}", names.join(", "));
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("{name} cannot be read"))?;
    match serde_json::from_str(&text) {
        Ok(config @ Json::Object(_)) => Ok(config),
        Ok(_) => bail!("{name} is not a JSON object\n  fix: name a model's config.json"),
        Err(error) => bail!("{name} is not JSON: {error}\n  fix: correct it there"),
    }
}

/// A folder's tokenizer as it is, or one learned from a data file.
fn vocabulary(from: &Path, size: usize) -> anyhow::Result<TextAssets> {
    if from.is_dir() {
        return Ok(TextAssets::from_folder(from)?);
    }
    let records = read(from, &camelid_records::ReadOptions::default())?.records;
    let texts: Vec<String> = records.iter().flat_map(texts_of).collect();
    if texts.is_empty() {
        bail!("{} holds no text to learn a vocabulary from\n  fix: see camelid inspect data", from.display());
    }
    Ok(TextAssets::learn(&texts, size)?)
}

fn texts_of(record: &Record) -> Vec<String> {
    match record {
        Record::Conversation(conversation) => {
            conversation.messages.iter().map(|message| message.content.clone()).collect()
        }
        Record::Completion { prompt, completion, .. } => vec![format!("{prompt}{completion}")],
        Record::Text { text, .. } => vec![text.clone()],
    }
}

/// With the vocabulary's size and special tokens, as the tokenizer has them.
fn config(mut shape: Json, text: &Text, assets: &TextAssets) -> Json {
    shape["vocab_size"] = json!(text.vocabulary_size());
    for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        shape[key] = assets.generation_config.get(key).cloned().unwrap_or(Json::Null);
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_about_as_many_parameters_as_their_names_say() {
        for (name, expected) in
            [("tiny-100k", 1e5), ("tiny-300k", 3e5), ("tiny-1m", 1e6), ("tiny-3m", 3e6), ("tiny-10m", 1e7)]
        {
            let mut config = shape(name).unwrap();
            config["vocab_size"] = json!(2048);
            let arch = ArchConfig::from_hf(&config).unwrap();
            let parameters: usize = arch.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert!((parameters as f64 / expected - 1.0).abs() < 0.1, "{name}: {parameters}");
        }
    }
}
