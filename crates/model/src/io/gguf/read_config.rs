//! From a GGUF file's metadata to the `config.json` of the same model.

use serde_json::{Map, Value as Json, json};

use super::super::Malformed;
use super::family::Family;
use super::header::Header;
use super::rope_factors::Llama3Scaling;
use super::value::Value;

/// The family of a file, from its metadata.
pub(super) fn family(header: &Header) -> Result<Family, Malformed> {
    let name = header.metadata.get("general.architecture").and_then(Value::as_text).ok_or_else(|| {
        Malformed::new("metadata key \"general.architecture\" is missing", "convert the model again with llama.cpp")
    })?;
    Family::from_gguf(name).ok_or_else(|| {
        Malformed::new(
            format!("architecture {name:?} cannot be read from GGUF"),
            "use a llama, qwen2, qwen3, gemma2, gemma3 or gptneox model, or a Hugging Face folder",
        )
    })
}

/// Metadata under the architecture's prefix.
struct Fields<'a> {
    header: &'a Header,
    prefix: &'static str,
}

impl Fields<'_> {
    fn find(&self, key: &str) -> Option<&Value> {
        self.header.metadata.get(&format!("{}.{key}", self.prefix))
    }

    fn missing(&self, key: &str) -> Malformed {
        Malformed::new(
            format!("metadata key \"{}.{key}\" is missing or not a number", self.prefix),
            "convert the model again with a current llama.cpp",
        )
    }

    fn count(&self, key: &str) -> Result<u64, Malformed> {
        self.find(key).and_then(Value::as_u64).ok_or_else(|| self.missing(key))
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.find(key).and_then(Value::as_f64)
    }
}

/// The model's configuration as `transformers` writes it. `rope_divisors` are the values of `rope_freqs.weight`.
pub(super) fn config(header: &Header, rope_divisors: Option<&[f32]>) -> Result<Json, Malformed> {
    let family = family(header)?;
    let fields = Fields { header, prefix: family.gguf_name() };
    let hidden = fields.count("embedding_length")?;
    let heads = fields.count("attention.head_count")?;
    let layers = fields.count("block_count")?;
    if heads == 0 {
        return Err(fields.missing("attention.head_count"));
    }
    let embedding = header.tensor("token_embd.weight").ok_or_else(|| {
        Malformed::new(
            "tensor \"token_embd.weight\" is missing",
            "use the first part of a split model, or merge its parts",
        )
    })?;
    let vocabulary = embedding.shape.first().copied().unwrap_or_default();
    let tied = header.tensor("output.weight").is_none();

    let mut config = Map::new();
    let mut set = |key: &str, value: Json| config.insert(key.to_owned(), value);
    set("architectures", json!([family.class()]));
    set("model_type", json!(family.model_type()));
    set("hidden_size", json!(hidden));
    set("intermediate_size", json!(fields.count("feed_forward_length")?));
    set("num_hidden_layers", json!(layers));
    set("num_attention_heads", json!(heads));
    set("vocab_size", json!(vocabulary));
    set("max_position_embeddings", json!(fields.count("context_length")?));
    set("tie_word_embeddings", json!(tied));
    set("dtype", json!("float32"));
    for (key, source) in [
        ("bos_token_id", "tokenizer.ggml.bos_token_id"),
        ("eos_token_id", "tokenizer.ggml.eos_token_id"),
        ("pad_token_id", "tokenizer.ggml.padding_token_id"),
    ] {
        if let Some(id) = header.metadata.get(source).and_then(Value::as_u64) {
            set(key, json!(id));
        }
    }

    let theta = fields.number("rope.freq_base").unwrap_or(10_000.0);
    if family == Family::GptNeox {
        let rotary = fields.number("rope.dimension_count").unwrap_or(hidden as f64 / heads as f64);
        set("rotary_pct", json!(rotary * heads as f64 / hidden as f64));
        set("rotary_emb_base", json!(theta));
        set("layer_norm_eps", json!(fields.number("attention.layer_norm_epsilon").unwrap_or(1e-5)));
        set("hidden_act", json!("gelu"));
        set("attention_bias", json!(true));
        let parallel = fields.find("use_parallel_residual").and_then(Value::as_bool).unwrap_or(true);
        set("use_parallel_residual", json!(parallel));
        return Ok(Json::Object(config));
    }

    let kv_heads = fields.find("attention.head_count_kv").map_or(Some(heads), Value::as_u64);
    set("num_key_value_heads", json!(kv_heads.ok_or_else(|| fields.missing("attention.head_count_kv"))?));
    let head_dim = match fields.number("attention.key_length").or_else(|| fields.number("rope.dimension_count")) {
        Some(stated) => stated as u64,
        None => hidden / heads,
    };
    set("head_dim", json!(head_dim));
    let epsilon = fields.number("attention.layer_norm_rms_epsilon");
    set("rms_norm_eps", json!(epsilon.ok_or_else(|| fields.missing("attention.layer_norm_rms_epsilon"))?));
    set("rope_theta", json!(theta));
    if let Some(scaling) = rope_scaling(&fields, rope_divisors, theta)? {
        set("rope_scaling", scaling);
    }
    match family {
        Family::Llama => {
            set("hidden_act", json!("silu"));
            set("attention_bias", json!(header.tensor("blk.0.attn_q.bias").is_some()));
            set("mlp_bias", json!(header.tensor("blk.0.ffn_up.bias").is_some()));
            if let Some(window) = fields.number("attention.sliding_window") {
                // Only Mistral among the models llama.cpp calls llama has a window.
                set("architectures", json!(["MistralForCausalLM"]));
                set("model_type", json!("mistral"));
                set("sliding_window", json!(window as u64));
            }
        }
        Family::Qwen2 => {
            set("hidden_act", json!("silu"));
            set("use_sliding_window", json!(false));
        }
        Family::Qwen3 => {
            set("hidden_act", json!("silu"));
            set("attention_bias", json!(header.tensor("blk.0.attn_q.bias").is_some()));
            set("use_sliding_window", json!(false));
        }
        Family::Gemma2 | Family::Gemma3 => {
            let (period, window, largest) = if family == Family::Gemma2 { (2, 4096, 46) } else { (6, 1024, 62) };
            set("hidden_act", json!("gelu_pytorch_tanh"));
            set("hidden_activation", json!("gelu_pytorch_tanh"));
            set("attention_bias", json!(false));
            // Only the 27B models, known by their depth, scale queries by hidden / heads instead of the head's width.
            let scalar = if layers == largest { hidden / heads } else { head_dim };
            set("query_pre_attn_scalar", json!(scalar));
            set("sliding_window", json!(fields.number("attention.sliding_window").map_or(window, |w| w as u64)));
            let kinds: Vec<&str> = (1..=layers)
                .map(|layer| if layer % period == 0 { "full_attention" } else { "sliding_attention" })
                .collect();
            set("layer_types", json!(kinds));
            set("attn_logit_softcapping", json!(fields.number("attn_logit_softcapping")));
            set("final_logit_softcapping", json!(fields.number("final_logit_softcapping")));
            if family == Family::Gemma3 {
                let local = fields.number("rope.freq_base_swa").unwrap_or(10_000.0);
                set("rope_local_base_freq", json!(local));
                set("sliding_window_pattern", json!(period));
            }
        }
        Family::GptNeox => {}
    }
    Ok(Json::Object(config))
}

fn rope_scaling(fields: &Fields<'_>, divisors: Option<&[f32]>, theta: f64) -> Result<Option<Json>, Malformed> {
    if let Some(divisors) = divisors {
        let scaling = Llama3Scaling::from_divisors(divisors, theta).ok_or_else(|| {
            Malformed::new(
                "tensor \"rope_freqs.weight\" is not one of Llama 3's rotary scalings",
                "use the Hugging Face folder of this model, whose config.json states the scaling",
            )
        })?;
        return Ok(Some(json!({
            "rope_type": "llama3",
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_positions as u64,
        })));
    }
    let kind = fields.find("rope.scaling.type").and_then(Value::as_text).unwrap_or("none");
    // An older key for the linear kind.
    let factor = fields.number("rope.scaling.factor").or_else(|| fields.number("rope.scale_linear"));
    match (kind, factor) {
        ("none", None) => Ok(None),
        ("linear" | "none", Some(factor)) => {
            Ok((factor > 1.0).then(|| json!({ "rope_type": "linear", "factor": factor })))
        }
        ("yarn", Some(factor)) => {
            let mut scaling = json!({ "rope_type": "yarn", "factor": factor });
            if let Some(original) = fields.number("rope.scaling.original_context_length") {
                scaling["original_max_position_embeddings"] = json!(original as u64);
            }
            Ok(Some(scaling))
        }
        (other, _) => Err(Malformed::new(
            format!("rotary scaling of type {other:?} cannot be read from GGUF"),
            "use the Hugging Face folder of this model",
        )),
    }
}
