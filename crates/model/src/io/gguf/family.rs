//! What llama.cpp calls an architecture and its tensors, and how its tensors differ from the Hugging Face checkpoint's.

/// Architectures that can be read from and written to GGUF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Llama, `SmolLM2` and Mistral.
    Llama,
    Qwen2,
    Qwen3,
    Gemma2,
    Gemma3,
    GptNeox,
}

/// How the rows or values of a tensor in a GGUF file differ from those in the Hugging Face checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrangement {
    Same,
    /// Rows of each head are interleaved: rotary pairs are neighbours in GGUF, half a head apart in the checkpoint.
    RotaryPairs {
        heads: usize,
    },
    /// GGUF stores all queries, then all keys, then all values; the checkpoint stores the three head by head.
    FusedByKind {
        heads: usize,
    },
    /// GGUF stores 1 + weight.
    OnePlus,
}

const ALL: [Family; 6] = [Family::Llama, Family::Qwen2, Family::Qwen3, Family::Gemma2, Family::Gemma3, Family::GptNeox];

/// GGUF stem and checkpoint stem of the tensors outside the layers.
const OUTER: [(&str, &str); 3] =
    [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];
const OUTER_GPT_NEOX: [(&str, &str); 3] =
    [("token_embd", "gpt_neox.embed_in"), ("output_norm", "gpt_neox.final_layer_norm"), ("output", "embed_out")];

/// Within a layer, for all families but GPT-NeoX.
const LAYER: [(&str, &str); 10] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];
const NORMS: [(&str, &str); 1] = [("ffn_norm", "post_attention_layernorm")];
/// Gemma norms each sub-layer before and after.
const NORMS_GEMMA: [(&str, &str); 3] = [
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];
const LAYER_GPT_NEOX: [(&str, &str); 6] = [
    ("attn_norm", "input_layernorm"),
    ("attn_qkv", "attention.query_key_value"),
    ("attn_output", "attention.dense"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_up", "mlp.dense_h_to_4h"),
    ("ffn_down", "mlp.dense_4h_to_h"),
];

impl Family {
    /// From `general.architecture`.
    pub(crate) fn from_gguf(name: &str) -> Option<Self> {
        ALL.into_iter().find(|family| family.gguf_name() == name)
    }

    /// From `model_type` of a config.json.
    pub(crate) fn from_model_type(name: &str) -> Option<Self> {
        match name {
            "mistral" => Some(Self::Llama),
            "gemma3_text" => Some(Self::Gemma3),
            _ => ALL.into_iter().find(|family| family.model_type() == name),
        }
    }

    /// The value of `general.architecture` and the prefix of the other keys.
    pub(crate) fn gguf_name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
            Self::GptNeox => "gptneox",
        }
    }

    pub(crate) fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3_text",
            Self::GptNeox => "gpt_neox",
        }
    }

    /// The class that loads such a model in `transformers`.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Gemma2 => "Gemma2ForCausalLM",
            Self::Gemma3 => "Gemma3ForCausalLM",
            Self::GptNeox => "GPTNeoXForCausalLM",
        }
    }

    pub(crate) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    fn outer(self) -> &'static [(&'static str, &'static str)] {
        if self == Self::GptNeox { &OUTER_GPT_NEOX } else { &OUTER }
    }

    fn layer(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (main, norms): (&[_], &[_]) = match self {
            Self::GptNeox => (&LAYER_GPT_NEOX, &[]),
            Self::Gemma2 | Self::Gemma3 => (&LAYER, &NORMS_GEMMA),
            Self::Llama | Self::Qwen2 | Self::Qwen3 => (&LAYER, &NORMS),
        };
        main.iter().chain(norms).copied()
    }

    fn layers_prefix(self) -> &'static str {
        if self == Self::GptNeox { "gpt_neox.layers." } else { "model.layers." }
    }

    /// The checkpoint's name of a GGUF tensor.
    pub(crate) fn checkpoint_name(self, gguf: &str) -> Option<String> {
        let (stem, suffix) = gguf.rsplit_once('.')?;
        if let Some(rest) = stem.strip_prefix("blk.") {
            let (layer, part) = rest.split_once('.')?;
            let layer: u32 = layer.parse().ok()?;
            let (_, part) = self.layer().find(|(gguf, _)| *gguf == part)?;
            return Some(format!("{}{layer}.{part}.{suffix}", self.layers_prefix()));
        }
        let (_, stem) = self.outer().iter().find(|(gguf, _)| *gguf == stem)?;
        Some(format!("{stem}.{suffix}"))
    }

    /// The GGUF name of a checkpoint's tensor.
    pub(crate) fn gguf_tensor_name(self, checkpoint: &str) -> Option<String> {
        let (stem, suffix) = checkpoint.rsplit_once('.')?;
        if let Some(rest) = stem.strip_prefix(self.layers_prefix()) {
            let (layer, part) = rest.split_once('.')?;
            let layer: u32 = layer.parse().ok()?;
            let (part, _) = self.layer().find(|(_, checkpoint)| *checkpoint == part)?;
            return Some(format!("blk.{layer}.{part}.{suffix}"));
        }
        let (stem, _) = self.outer().iter().find(|(_, checkpoint)| *checkpoint == stem)?;
        Some(format!("{stem}.{suffix}"))
    }

    /// How the tensor of this GGUF name is arranged, for a model of `heads` query and `kv_heads` key heads.
    pub(crate) fn arrangement(self, gguf: &str, heads: usize, kv_heads: usize) -> Arrangement {
        match self {
            Self::Llama if gguf.contains(".attn_q.") => Arrangement::RotaryPairs { heads },
            Self::Llama if gguf.contains(".attn_k.") => Arrangement::RotaryPairs { heads: kv_heads },
            Self::GptNeox if gguf.contains(".attn_qkv.") => Arrangement::FusedByKind { heads },
            Self::Gemma2 | Self::Gemma3 if gguf.ends_with("norm.weight") => Arrangement::OnePlus,
            _ => Arrangement::Same,
        }
    }
}

impl Arrangement {
    /// From the order of GGUF to that of the checkpoint. `None` when the rows do not divide into the heads.
    pub(crate) fn undo(self, values: Vec<f32>, rows: usize) -> Option<Vec<f32>> {
        match self {
            Self::Same => Some(values),
            Self::OnePlus => Some(values.into_iter().map(|value| value - 1.0).collect()),
            Self::RotaryPairs { heads } => {
                let half = half_head(rows, heads)?;
                reorder(&values, rows, |row| {
                    let (head, within) = (row / (2 * half), row % (2 * half));
                    head * 2 * half + (within % half) * 2 + within / half
                })
            }
            Self::FusedByKind { heads } => {
                let width = fused_head(rows, heads)?;
                reorder(&values, rows, |row| {
                    let (head, kind, within) = (row / (3 * width), row / width % 3, row % width);
                    (kind * heads + head) * width + within
                })
            }
        }
    }

    /// From the order of the checkpoint to that of GGUF. `None` when the rows do not divide into the heads.
    pub(crate) fn apply(self, values: Vec<f32>, rows: usize) -> Option<Vec<f32>> {
        match self {
            Self::Same => Some(values),
            Self::OnePlus => Some(values.into_iter().map(|value| value + 1.0).collect()),
            Self::RotaryPairs { heads } => {
                let half = half_head(rows, heads)?;
                reorder(&values, rows, |row| {
                    let (head, within) = (row / (2 * half), row % (2 * half));
                    head * 2 * half + (within % 2) * half + within / 2
                })
            }
            Self::FusedByKind { heads } => {
                let width = fused_head(rows, heads)?;
                reorder(&values, rows, |row| {
                    let (kind, head, within) = (row / (heads * width), row / width % heads, row % width);
                    (head * 3 + kind) * width + within
                })
            }
        }
    }
}

fn half_head(rows: usize, heads: usize) -> Option<usize> {
    (heads > 0 && rows > 0 && rows.is_multiple_of(2 * heads)).then(|| rows / (2 * heads))
}

fn fused_head(rows: usize, heads: usize) -> Option<usize> {
    (heads > 0 && rows > 0 && rows.is_multiple_of(3 * heads)).then(|| rows / (3 * heads))
}

/// Row `row` of the result is row `source(row)` of `values`.
fn reorder(values: &[f32], rows: usize, source: impl Fn(usize) -> usize) -> Option<Vec<f32>> {
    if !values.len().is_multiple_of(rows) {
        return None;
    }
    let columns = values.len() / rows;
    let mut reordered = Vec::with_capacity(values.len());
    for row in 0..rows {
        let start = source(row) * columns;
        reordered.extend_from_slice(values.get(start..start + columns)?);
    }
    Some(reordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrangements_are_undone() {
        let values: Vec<f32> = (0_u16..2 * 48).map(f32::from).collect();
        for arrangement in [
            Arrangement::Same,
            Arrangement::RotaryPairs { heads: 3 },
            Arrangement::FusedByKind { heads: 4 },
            Arrangement::OnePlus,
        ] {
            let applied = arrangement.apply(values.clone(), 48).unwrap();
            assert_eq!(applied == values, arrangement == Arrangement::Same, "{arrangement:?}");
            assert_eq!(arrangement.undo(applied, 48).unwrap(), values, "{arrangement:?}");
        }
        assert_eq!(Arrangement::RotaryPairs { heads: 5 }.undo(values, 48), None);
    }

    #[test]
    fn a_head_of_four_rows_interleaves_its_halves() {
        let applied = Arrangement::RotaryPairs { heads: 1 }.apply(vec![0.0, 1.0, 2.0, 3.0], 4).unwrap();
        assert_eq!(applied, [0.0, 2.0, 1.0, 3.0]);
    }

    #[test]
    fn names_map_both_ways() {
        for (family, gguf, checkpoint) in [
            (Family::Llama, "blk.12.ffn_norm.weight", "model.layers.12.post_attention_layernorm.weight"),
            (Family::Gemma3, "blk.0.ffn_norm.weight", "model.layers.0.pre_feedforward_layernorm.weight"),
            (Family::Gemma3, "blk.0.attn_q_norm.weight", "model.layers.0.self_attn.q_norm.weight"),
            (Family::Qwen2, "blk.3.attn_k.bias", "model.layers.3.self_attn.k_proj.bias"),
            (Family::GptNeox, "blk.3.attn_qkv.bias", "gpt_neox.layers.3.attention.query_key_value.bias"),
            (Family::GptNeox, "output.weight", "embed_out.weight"),
            (Family::Llama, "token_embd.weight", "model.embed_tokens.weight"),
        ] {
            assert_eq!(family.checkpoint_name(gguf).as_deref(), Some(checkpoint));
            assert_eq!(family.gguf_tensor_name(checkpoint).as_deref(), Some(gguf));
        }
        assert_eq!(Family::Llama.checkpoint_name("blk.0.ffn_gate_exps.weight"), None);
    }
}
