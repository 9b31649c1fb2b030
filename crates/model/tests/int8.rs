//! Frozen models in eight bits: near the model, the same bits however they are computed, never trained.

mod support;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, Reference};
use camelid_model::{Engine, LowRank, Transformer, TransformerOptions, Tuning, Want, WeightType};
use camelid_text::{Encoded, Forest};
use support::{Golden, check_norm};

const FAMILIES: [&str; 4] = ["llama", "llama-tied", "qwen2", "gptneox"];
const OPTIONS: TransformerOptions = TransformerOptions {
    neftune_alpha: 0.0,
    moments: camelid_model::MomentType::F32,
    value_head: false,
    keep_reference: false,
    activation_checkpointing: false,
    weights: WeightType::Int8,
};

fn cpu(compute: Compute, threads: usize) -> Cpu {
    Cpu::new(CpuOptions { compute, threads: Some(threads) })
}

fn engine<B: Backend>(golden: &Golden, backend: B, weights: WeightType) -> Transformer<B> {
    golden.engine_with(backend, Tuning::Frozen, TransformerOptions { weights, ..OPTIONS })
}

/// Each backend against the reference of the same weights, and those against the weights they stand for.
#[test]
fn logits_are_near_those_of_the_model() {
    for family in FAMILIES {
        let golden = Golden::read(family).without_adapter();
        let exact = golden.decoded_logits(&mut engine(&golden, Reference::new(Compute::F32), WeightType::Computed));
        let oracle = golden.decoded_logits(&mut engine(&golden, Reference::new(Compute::F32), WeightType::Int8));
        check_norm(&format!("{family}, eight bits"), &oracle, &exact, 2e-2);
        assert!(oracle != exact, "{family}: nothing was rounded");
        for (compute, tolerance) in [(Compute::F32, 1e-5), (Compute::Bf16, 2e-2)] {
            let found = golden.decoded_logits(&mut engine(&golden, cpu(compute, 2), WeightType::Int8));
            check_norm(&format!("{family}, {compute:?}"), &found, &oracle, tolerance);
        }
    }
}

/// A token at a time, a sequence alone, or many on other numbers of threads: the same log-probabilities.
#[test]
fn decoding_and_scoring_agree_in_their_bits() {
    let golden = Golden::read("llama").without_adapter();
    let sequence = |tokens: &[u32]| Encoded { tokens: tokens.to_vec(), weights: vec![1.0; tokens.len()], record: 0 };
    let rotated = |by: usize| [&golden.tokens[by..], &golden.tokens[..by]].concat();
    let many: Vec<Encoded> = (0..6).map(|by| sequence(&rotated(by))).collect();
    for compute in [Compute::F32, Compute::Bf16] {
        let mut one = engine(&golden, cpu(compute, 1), WeightType::Int8);
        let decoded = one.decode_log_probs(&golden.tokens, 1).unwrap();
        let alone = one.forward(&Forest::dense(&[&many[0]]), Want::default()).unwrap().log_probs;
        assert_eq!(decoded, alone, "{compute:?}");
        let all = Forest::dense(&many.iter().collect::<Vec<_>>());
        let scores = engine(&golden, cpu(compute, 3), WeightType::Int8).forward(&all, Want::default()).unwrap();
        assert_eq!(scores.log_probs[..alone.len()], alone, "{compute:?}");
    }
}

#[test]
fn weights_of_eight_bits_are_not_trained() {
    let golden = Golden::read("llama").without_adapter();
    let low_rank = LowRank { rank: 2, alpha: 4.0, rslora: false, dropout: 0.0, targets: vec!["all-linear".into()] };
    for tuning in [Tuning::Full, Tuning::Layers(vec![0]), Tuning::LowRank(low_rank)] {
        let error = Transformer::new(cpu(Compute::F32, 1), golden.model(), tuning, 1, OPTIONS).err().unwrap();
        assert!(error.to_string().contains("cannot be trained") && error.to_string().contains("generate"), "{error}");
    }
}
