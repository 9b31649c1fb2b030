//! Weights of a model that has learned nothing.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{ArchConfig, ModelError};

/// Deviation of matrices, `initializer_range` of `transformers`' Llama.
const DEVIATION: f64 = 0.02;

/// As `transformers` starts a Llama: matrices from a normal distribution around 0 with deviation 0.02, norms 1, biases 0. Each
/// tensor depends on the seed and its name only.
pub struct InitialWeights<'a> {
    arch: &'a ArchConfig,
    seed: u64,
}

impl<'a> InitialWeights<'a> {
    pub fn new(arch: &'a ArchConfig, seed: u64) -> Self {
        Self { arch, seed }
    }

    /// The values of one of [`ArchConfig::tensors`], in the checkpoint's layout.
    pub fn load(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let Some((_, shape)) = self.arch.tensors().into_iter().find(|(known, _)| known == name) else {
            return Err(ModelError::Invalid {
                reason: format!("this architecture has no tensor {name}"),
                fix: "this is a defect: please report it".into(),
            });
        };
        let count = shape.iter().product();
        if name.rsplit('.').next() == Some("bias") {
            return Ok(vec![0.0; count]);
        }
        if shape.len() == 1 {
            return Ok(vec![1.0; count]);
        }
        let key = blake3::hash(format!("{}/initial/{name}", self.seed).as_bytes());
        let mut random = ChaCha8Rng::from_seed(*key.as_bytes());
        let pairs = (0..count.div_ceil(2)).flat_map(|_| normal_pair(&mut random));
        Ok(pairs.take(count).map(|value| (DEVIATION * value) as f32).collect())
    }
}

/// Two independent standard normal values (Box and Muller 1958).
fn normal_pair(random: &mut ChaCha8Rng) -> [f64; 2] {
    // 53 bits each; the first above 0, for its logarithm.
    let mut uniform = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
    let angle = std::f64::consts::TAU * uniform();
    [radius * angle.cos(), radius * angle.sin()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn matrices_are_normal_and_norms_are_one() {
        let arch = ArchConfig::from_hf(&json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1000,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
        }))
        .unwrap();
        let weights = InitialWeights::new(&arch, 3);
        assert!(weights.load("model.norm.weight").unwrap().iter().all(|&value| value == 1.0));
        let embedding = weights.load("model.embed_tokens.weight").unwrap();
        assert_eq!(embedding.len(), 64_000);
        let moment = |power: i32| embedding.iter().map(|&v| (f64::from(v) / 0.02).powi(power)).sum::<f64>() / 64_000.0;
        // The moments of the normal distribution, each within five of its own deviations.
        for (power, expected, deviation) in
            [(1, 0.0, 1.0), (2, 1.0, 2.0_f64.sqrt()), (3, 0.0, 15.0_f64.sqrt()), (4, 3.0, 96.0_f64.sqrt())]
        {
            let bound = 5.0 * deviation / 64_000_f64.sqrt();
            assert!((moment(power) - expected).abs() < bound, "{power}: {}", moment(power));
        }
        assert_eq!(embedding, InitialWeights::new(&arch, 3).load("model.embed_tokens.weight").unwrap());
        assert_ne!(embedding, InitialWeights::new(&arch, 4).load("model.embed_tokens.weight").unwrap());
        let (q, o) = ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.o_proj.weight");
        assert_ne!(weights.load(q).unwrap(), weights.load(o).unwrap());
        assert!(weights.load("none").is_err());
    }
}
