//! From a Hugging Face `config.json` to an [`ArchConfig`].
//!
//! Reads both spellings of the rotary embedding: `rope_theta` with `rope_scaling`, and `rope_parameters` (transformers
//! 5). Every key that changes the result is read; a value that the engine cannot honour is an error, never ignored.

use camelid_kernels::Activation;
use serde_json::Value as Json;

use crate::ModelError;
use crate::arch::{ArchConfig, Biases, LayerKind, Mlp, Naming, Norm};
use crate::rope_config::{layer_ropes, partial_rotary_factor};

/// `config.json`, with errors that name the key.
#[derive(Clone, Copy)]
pub(crate) struct Config<'a> {
    pub(crate) json: &'a Json,
}

pub(crate) fn invalid(reason: impl Into<String>, fix: impl Into<String>) -> ModelError {
    ModelError::Invalid { reason: reason.into(), fix: fix.into() }
}

impl<'a> Config<'a> {
    /// The value of a key that is there and not null.
    pub(crate) fn find(self, key: &str) -> Option<&'a Json> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    fn wrong(key: &str, found: &Json, wanted: &str) -> ModelError {
        invalid(
            format!("config.json: `{key}` is {found}, not {wanted}"),
            "take config.json from the model's source again",
        )
    }

    pub(crate) fn optional_count(self, key: &str) -> Result<Option<usize>, ModelError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        match found.as_u64() {
            // Larger than any model, smaller than what overflows a product of two sizes.
            Some(count) if (1..1 << 30).contains(&count) => Ok(Some(count as usize)),
            _ => Err(Self::wrong(key, found, "a count")),
        }
    }

    pub(crate) fn count(self, key: &str) -> Result<usize, ModelError> {
        self.optional_count(key)?.ok_or_else(|| {
            invalid(format!("config.json has no `{key}`"), "take config.json from the model's source again")
        })
    }

    pub(crate) fn number(self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(found) = self.find(key) else { return Ok(None) };
        match found.as_f64().filter(|number| number.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(Self::wrong(key, found, "a number")),
        }
    }

    pub(crate) fn flag(self, key: &str, default: bool) -> Result<bool, ModelError> {
        let Some(found) = self.find(key) else { return Ok(default) };
        found.as_bool().ok_or_else(|| Self::wrong(key, found, "true or false"))
    }

    pub(crate) fn text(self, key: &str) -> Option<&'a str> {
        self.find(key).and_then(Json::as_str)
    }
}

const FAMILIES: &str = "llama, mistral, qwen2, qwen3, gemma2, gemma3_text, gpt_neox";

impl ArchConfig {
    /// Reads a `config.json`. Errors name the key and the fix.
    pub fn from_hf(json: &Json) -> Result<Self, ModelError> {
        let outer = Config { json };
        let model_type = outer
            .text("model_type")
            .ok_or_else(|| invalid("config.json has no `model_type`", format!("add it; supported are {FAMILIES}")))?;
        match model_type {
            "llama" | "mistral" | "qwen2" | "qwen3" | "gemma2" | "gemma3_text" => llama_like(outer, model_type),
            "gpt_neox" => neox(outer),
            other => Err(invalid(
                format!("config.json: model_type {other:?} is not supported"),
                format!("use a model of one of these types: {FAMILIES}"),
            )),
        }
    }

    /// Positions the model was made for.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}

fn activation(config: Config<'_>, keys: &[&str], default: &str) -> Result<Activation, ModelError> {
    let name = keys.iter().find_map(|key| config.text(key)).unwrap_or(default);
    match name {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Ok(Activation::GeluTanh),
        other => Err(invalid(
            format!("config.json: activation {other:?} is not supported"),
            "supported are silu, gelu and gelu_pytorch_tanh",
        )),
    }
}

fn llama_like(config: Config<'_>, model_type: &str) -> Result<ArchConfig, ModelError> {
    let gemma = model_type.starts_with("gemma");
    let (hidden, heads) = (config.count("hidden_size")?, config.count("num_attention_heads")?);
    let kv_heads = config.optional_count("num_key_value_heads")?.unwrap_or(heads);
    if !heads.is_multiple_of(kv_heads) {
        return Err(invalid(
            format!("config.json: {heads} attention heads cannot share {kv_heads} key/value heads"),
            "num_attention_heads must be a multiple of num_key_value_heads",
        ));
    }
    let head_dim = match config.optional_count("head_dim")? {
        Some(stated) => stated,
        None if gemma => 256,
        None => hidden / heads,
    };
    let layers = config.count("num_hidden_layers")?;
    let windows = windows(config, model_type, layers)?;
    let (ropes, rope_of) = layer_ropes(config, &windows)?;
    let layer_kinds = windows.iter().zip(rope_of).map(|(&window, rope)| LayerKind { window, rope }).collect();
    let rotary_dim = (head_dim as f64 * partial_rotary_factor(config, 1.0)?) as usize;
    check_rotary(rotary_dim)?;
    let attention_bias = config.flag("attention_bias", false)?;
    let biases = match model_type {
        // Qwen2 has biases on q, k and v, and says so nowhere.
        "qwen2" => Biases { query_key_value: true, ..Biases::default() },
        _ => Biases {
            query_key_value: attention_bias,
            attention_output: attention_bias,
            mlp: config.flag("mlp_bias", false)?,
        },
    };
    let query_scale = match config.number("query_pre_attn_scalar")? {
        Some(scalar) if gemma => scalar,
        None if gemma => 256.0,
        _ => head_dim as f64,
    };
    if config.flag("use_bidirectional_attention", false)? {
        return Err(invalid("config.json: use_bidirectional_attention is true", "use a causal model"));
    }
    let act_default = if gemma { "gelu_pytorch_tanh" } else { "silu" };
    let act = activation(config, &["hidden_activation", "hidden_act"], act_default)?;
    let softcap = |key| -> Result<Option<f32>, ModelError> {
        let default = match (model_type, key) {
            ("gemma2", "attn_logit_softcapping") if !config.json.as_object().is_some_and(|c| c.contains_key(key)) => {
                Some(50.0)
            }
            ("gemma2", "final_logit_softcapping") if !config.json.as_object().is_some_and(|c| c.contains_key(key)) => {
                Some(30.0)
            }
            _ => None,
        };
        Ok(if gemma { config.number(key)?.or(default).map(|cap| cap as f32) } else { None })
    };
    Ok(ArchConfig {
        model_type: model_type.to_owned(),
        naming: Naming::Llama,
        vocabulary: config.count("vocab_size")?,
        hidden,
        layers: layer_kinds,
        heads,
        kv_heads,
        head_dim,
        intermediate: config.count("intermediate_size")?,
        max_positions: config.optional_count("max_position_embeddings")?.unwrap_or(2048),
        norm: Norm::Rms { offset: if gemma { 1.0 } else { 0.0 } },
        epsilon: config.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        norms_after: gemma,
        query_key_norm: matches!(model_type, "qwen3" | "gemma3_text"),
        biases,
        mlp: Mlp::Gated(act),
        parallel_residual: false,
        rotary_dim,
        ropes,
        attention_scale: query_scale.powf(-0.5) as f32,
        attention_softcap: softcap("attn_logit_softcapping")?,
        logit_softcap: softcap("final_logit_softcapping")?,
        embedding_factor: if gemma { (hidden as f64).sqrt() as f32 } else { 1.0 },
        tied: config.flag("tie_word_embeddings", gemma)?,
    })
}

fn neox(config: Config<'_>) -> Result<ArchConfig, ModelError> {
    let (hidden, heads) = (config.count("hidden_size")?, config.count("num_attention_heads")?);
    let head_dim = hidden / heads;
    let layers = config.count("num_hidden_layers")?;
    let (ropes, rope_of) = layer_ropes(config, &vec![None; layers])?;
    let rotary_dim = (head_dim as f64 * partial_rotary_factor(config, 0.25)?) as usize;
    check_rotary(rotary_dim)?;
    let attention_bias = config.flag("attention_bias", true)?;
    Ok(ArchConfig {
        model_type: "gpt_neox".into(),
        naming: Naming::NeoX,
        vocabulary: config.count("vocab_size")?,
        hidden,
        layers: rope_of.into_iter().map(|rope| LayerKind { window: None, rope }).collect(),
        heads,
        kv_heads: heads,
        head_dim,
        intermediate: config.count("intermediate_size")?,
        max_positions: config.optional_count("max_position_embeddings")?.unwrap_or(2048),
        norm: Norm::Layer,
        epsilon: config.number("layer_norm_eps")?.unwrap_or(1e-5) as f32,
        norms_after: false,
        query_key_norm: false,
        biases: Biases { query_key_value: attention_bias, attention_output: attention_bias, mlp: true },
        mlp: Mlp::Plain(activation(config, &["hidden_act"], "gelu")?),
        parallel_residual: config.flag("use_parallel_residual", true)?,
        rotary_dim,
        ropes,
        attention_scale: (head_dim as f64).powf(-0.5) as f32,
        attention_softcap: None,
        logit_softcap: None,
        embedding_factor: 1.0,
        tied: config.flag("tie_word_embeddings", false)?,
    })
}

fn check_rotary(rotary_dim: usize) -> Result<(), ModelError> {
    if rotary_dim.is_multiple_of(2) && rotary_dim > 0 {
        return Ok(());
    }
    Err(invalid(
        format!("config.json: {rotary_dim} rotary dimensions a head; they turn in pairs"),
        "check head_dim and partial_rotary_factor",
    ))
}

/// The sliding window of each layer.
fn windows(config: Config<'_>, model_type: &str, layers: usize) -> Result<Vec<Option<u32>>, ModelError> {
    let window = config.optional_count("sliding_window")?.map(|window| window as u32);
    if let Some(kinds) = config.find("layer_types").and_then(Json::as_array) {
        if kinds.len() != layers {
            return Err(invalid(
                format!("config.json: layer_types has {} entries for {layers} layers", kinds.len()),
                "give one for each layer",
            ));
        }
        return kinds
            .iter()
            .map(|kind| match kind.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => window.map(Some).ok_or_else(|| {
                    invalid("config.json: layer_types has sliding_attention but sliding_window is not set", "set it")
                }),
                _ => Err(invalid(
                    format!("config.json: layer type {kind} is not supported"),
                    "supported are full_attention and sliding_attention",
                )),
            })
            .collect();
    }
    let sliding = |layer: usize| -> Result<bool, ModelError> {
        Ok(match model_type {
            "mistral" => true,
            "qwen2" | "qwen3" => {
                config.flag("use_sliding_window", false)?
                    && layer >= config.optional_count("max_window_layers")?.unwrap_or(28)
            }
            "gemma2" => layer.is_multiple_of(2),
            "gemma3_text" => !(layer + 1).is_multiple_of(config.optional_count("sliding_window_pattern")?.unwrap_or(6)),
            _ => false,
        })
    };
    (0..layers).map(|layer| Ok(if sliding(layer)? { window } else { None })).collect()
}
