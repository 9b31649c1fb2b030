//! What a stage will cost, from shapes alone.

use camelid_kernels::Compute;
use camelid_model::{ArchConfig, Mlp, MomentType, Tuning};

/// Predicted cost of a stage.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Estimate {
    pub(crate) steps: u64,
    /// Tokens trained over, repeats counted.
    pub(crate) tokens: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) seconds: f64,
}

/// Parameters of all linear layers of the blocks.
fn linear_parameters(arch: &ArchConfig) -> f64 {
    let of_block: usize = arch.linears().into_iter().map(|linear| arch.linear_shape(linear)).map(|(o, i)| o * i).sum();
    (of_block * arch.layers.len()) as f64
}

/// Parameters that are trained.
pub(crate) fn trained_parameters(arch: &ArchConfig, tuning: &Tuning) -> f64 {
    match tuning {
        Tuning::Frozen => 0.0,
        Tuning::Full => arch.parameters() as f64,
        Tuning::Layers(layers) => linear_parameters(arch) / arch.layers.len() as f64 * layers.len() as f64,
        Tuning::LowRank(low_rank) => {
            let adapted = arch.linears().into_iter().filter(|&linear| {
                let path = arch.linear_path(0, linear);
                low_rank.targets.iter().any(|target| target == "all-linear" || path.ends_with(target.as_str()))
            });
            let of_block: usize = adapted.map(|l| arch.linear_shape(l)).map(|(o, i)| low_rank.rank * (o + i)).sum();
            (of_block * arch.layers.len()) as f64
        }
    }
}

/// Code, tokenizer and data of a small run.
const PROCESS_BYTES: f64 = 40e6;

/// Bytes at the peak of a step over `rows` tokens: frozen weights in the form they are multiplied, what is trained with
/// its gradients and moments, and the activations kept for the backward pass, with `checkpointing` those of one block and
/// the inputs of the others.
pub(crate) fn memory_bytes(
    arch: &ArchConfig,
    tuning: &Tuning,
    moments: MomentType,
    checkpointing: bool,
    compute: Compute,
    rows: usize,
) -> u64 {
    let width = if compute == Compute::Bf16 { 2.0 } else { 4.0 };
    let head = (arch.vocabulary * arch.hidden) as f64;
    let trained = trained_parameters(arch, tuning);
    let frozen = match tuning {
        Tuning::Full => 0.0,
        Tuning::Layers(_) => linear_parameters(arch) + head - trained,
        Tuning::Frozen | Tuning::LowRank(_) => linear_parameters(arch) + head,
    };
    // Both directions of each linear layer and of the head.
    let prepared = 2.0 * width * frozen;
    let table = if *tuning == Tuning::Full { 0.0 } else { width * head };
    // Value and gradient of four bytes each, and two moments.
    let of_trained = match moments {
        MomentType::F32 => 16.0,
        MomentType::Bf16 => 12.0,
    };
    let gate = if matches!(arch.mlp, Mlp::Gated(_)) { 2 } else { 1 };
    let kept = 2 * arch.hidden + 2 * (arch.heads + arch.kv_heads) * arch.head_dim + gate * arch.intermediate;
    let of_block = width * (rows * kept) as f64;
    let layers = arch.layers.len() as f64;
    let activations =
        if checkpointing { of_block + 4.0 * (rows * arch.hidden) as f64 * (layers - 1.0) } else { of_block * layers };
    let scratch = 4.0 * (rows * (6 * arch.hidden + 3 * arch.intermediate)) as f64;
    (prepared + table + of_trained * trained + activations + scratch + PROCESS_BYTES) as u64
}

/// Bytes of the cache from which so many tokens are gone on with.
pub(crate) fn cache_bytes(arch: &ArchConfig, compute: Compute, tokens: f64) -> u64 {
    let width = if compute == Compute::Bf16 { 2 } else { 4 };
    (tokens * (2 * width * arch.layers.len() * arch.kv_heads * arch.head_dim) as f64) as u64
}

/// Floating-point operations of a training pass over one token, attention left out. With `checkpointing` the blocks are
/// computed twice.
pub(crate) fn flops_a_token(arch: &ArchConfig, tuning: &Tuning, checkpointing: bool) -> f64 {
    let blocks = 2.0 * linear_parameters(arch);
    let products = blocks + 2.0 * (arch.vocabulary * arch.hidden) as f64;
    let again = if checkpointing { blocks } else { 0.0 };
    match tuning {
        Tuning::Frozen => products,
        Tuning::LowRank(_) => 2.0 * products + 6.0 * trained_parameters(arch, tuning) + again,
        Tuning::Full | Tuning::Layers(_) => 3.0 * products + again,
    }
}

/// Share of the measured rate of matrix products that a whole step reaches.
pub(crate) const STEP_EFFICIENCY: f64 = 0.6;

#[cfg(test)]
mod tests {
    use camelid_model::LowRank;
    use serde_json::json;

    use super::*;

    #[test]
    fn checkpointing_takes_less_memory_and_more_time() {
        let config = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100_000.0, "hidden_act": "silu",
            "tie_word_embeddings": true,
        });
        let arch = ArchConfig::from_hf(&config).unwrap();
        let targets = vec!["all-linear".to_owned()];
        let tuning = Tuning::LowRank(LowRank { rank: 16, alpha: 32.0, rslora: false, dropout: 0.0, targets });
        let memory =
            |checkpointing| memory_bytes(&arch, &tuning, MomentType::F32, checkpointing, Compute::Bf16, 1024) as i64;
        // 29 blocks' activations in bf16 against their inputs in f32.
        let kept = 2 * (2 * 576 + 2 * (9 + 3) * 64 + 2 * 1536);
        assert!((memory(false) - memory(true) - 29 * 1024 * (kept - 4 * 576)).abs() <= 2);
        let ratio = flops_a_token(&arch, &tuning, true) / flops_a_token(&arch, &tuning, false);
        assert!(ratio > 1.3 && ratio < 1.5, "{ratio}");
    }
}
