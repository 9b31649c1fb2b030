//! From a `config.json` to GGUF metadata.

use serde_json::Value as Json;

use super::super::Malformed;
use super::family::Family;
use super::rope_factors::Llama3Scaling;
use super::write::Entry;

/// What the configuration becomes in a GGUF file.
pub(super) struct Description {
    pub(super) family: Family,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) entries: Vec<(String, Entry)>,
    /// Values of `rope_freqs.weight`, for models with Llama 3's rotary scaling.
    pub(super) rope_divisors: Option<Vec<f32>>,
}

const FIX: &str = "write a Hugging Face folder instead";

/// Rotary settings: `rope_theta` and `rope_scaling`, or `rope_parameters` of newer configurations (by kind of layer
/// where a model mixes two).
fn rotary(config: &Json) -> (f64, Option<f64>, Json) {
    let parameters = &config["rope_parameters"];
    let main = if parameters["full_attention"].is_object() { &parameters["full_attention"] } else { parameters };
    let theta = main["rope_theta"].as_f64().or_else(|| config["rope_theta"].as_f64());
    let theta = theta.or_else(|| config["rotary_emb_base"].as_f64()).unwrap_or(10_000.0);
    let local = &parameters["sliding_attention"]["rope_theta"];
    let local = local.as_f64().or_else(|| config["rope_local_base_freq"].as_f64());
    let scaling = if main.is_object() { main.clone() } else { config["rope_scaling"].clone() };
    (theta, local, scaling)
}

pub(super) fn describe(config: &Json, vocabulary: usize) -> Result<Description, Malformed> {
    let model_type = config["model_type"].as_str().unwrap_or("(none)");
    let family = Family::from_model_type(model_type)
        .ok_or_else(|| Malformed::new(format!("models of type {model_type:?} cannot be written as GGUF"), FIX))?;
    let count = |key: &str| {
        config[key].as_u64().and_then(|count| u32::try_from(count).ok()).ok_or_else(|| {
            Malformed::new(
                format!("config field {key:?} is missing or not a count"),
                "complete the model's config.json",
            )
        })
    };
    let prefix = family.gguf_name();
    let mut entries: Vec<(String, Entry)> = Vec::new();
    let mut set = |key: &str, entry: Entry| entries.push((format!("{prefix}.{key}"), entry));

    let (hidden, heads) = (count("hidden_size")?, count("num_attention_heads")?);
    if heads == 0 {
        return Err(Malformed::new("config field \"num_attention_heads\" is 0", "correct the model's config.json"));
    }
    let kv_heads = if config["num_key_value_heads"].is_null() { heads } else { count("num_key_value_heads")? };
    let head_dim = if config["head_dim"].is_null() { hidden / heads } else { count("head_dim")? };
    set("block_count", Entry::U32(count("num_hidden_layers")?));
    set("context_length", Entry::U32(count("max_position_embeddings")?));
    set("embedding_length", Entry::U32(hidden));
    set("feed_forward_length", Entry::U32(count("intermediate_size")?));
    set("attention.head_count", Entry::U32(heads));
    set("vocab_size", Entry::U32(vocabulary as u32));

    let (theta, local_theta, scaling) = rotary(config);
    set("rope.freq_base", Entry::F32(theta as f32));
    let mut rope_divisors = None;
    if family == Family::GptNeox {
        let share =
            config["rotary_pct"].as_f64().or_else(|| config["rope_parameters"]["partial_rotary_factor"].as_f64());
        set("rope.dimension_count", Entry::U32((share.unwrap_or(0.25) * f64::from(head_dim)) as u32));
        let epsilon = config["layer_norm_eps"].as_f64().unwrap_or(1e-5);
        set("attention.layer_norm_epsilon", Entry::F32(epsilon as f32));
        set("use_parallel_residual", Entry::Bool(config["use_parallel_residual"].as_bool().unwrap_or(true)));
    } else {
        set("attention.head_count_kv", Entry::U32(kv_heads));
        set("rope.dimension_count", Entry::U32(head_dim));
        set("attention.key_length", Entry::U32(head_dim));
        set("attention.value_length", Entry::U32(head_dim));
        let epsilon = config["rms_norm_eps"].as_f64().unwrap_or(1e-6);
        set("attention.layer_norm_rms_epsilon", Entry::F32(epsilon as f32));
        rope_divisors = rotary_scaling(&scaling, theta, head_dim as usize, &mut set)?;
    }
    let windowed = family.is_gemma() || model_type == "mistral";
    if let Some(window) = config["sliding_window"].as_u64().filter(|_| windowed) {
        set("attention.sliding_window", Entry::U32(window as u32));
    }
    for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if let Some(cap) = config[key].as_f64() {
            set(key, Entry::F32(cap as f32));
        }
    }
    if let Some(local) = local_theta.filter(|_| family == Family::Gemma3) {
        set("rope.freq_base_swa", Entry::F32(local as f32));
    }
    Ok(Description { family, heads: heads as usize, kv_heads: kv_heads as usize, entries, rope_divisors })
}

/// Writes the rotary scaling as metadata, or returns it as the divisors of a tensor.
fn rotary_scaling(
    scaling: &Json,
    theta: f64,
    head_dim: usize,
    set: &mut impl FnMut(&str, Entry),
) -> Result<Option<Vec<f32>>, Malformed> {
    let kind = scaling["rope_type"].as_str().or_else(|| scaling["type"].as_str()).unwrap_or("default");
    let number = |key: &str| {
        scaling[key].as_f64().ok_or_else(|| {
            Malformed::new(format!("rotary scaling of type {kind:?} lacks {key:?}"), "complete the model's config.json")
        })
    };
    match kind {
        "default" => Ok(None),
        "linear" | "yarn" => {
            set("rope.scaling.type", Entry::Text(kind.to_owned()));
            set("rope.scaling.factor", Entry::F32(number("factor")? as f32));
            if kind == "yarn" {
                let original = number("original_max_position_embeddings")?;
                set("rope.scaling.original_context_length", Entry::U32(original as u32));
            }
            Ok(None)
        }
        "llama3" => {
            let scaling = Llama3Scaling {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_positions: number("original_max_position_embeddings")?,
            };
            Ok(Some(scaling.divisors(theta, head_dim)))
        }
        other => Err(Malformed::new(format!("rotary scaling of type {other:?} cannot be written as GGUF"), FIX)),
    }
}
