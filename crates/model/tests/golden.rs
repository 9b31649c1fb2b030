//! Every family against `transformers`: logits, all gradients, ten optimiser steps.

mod support;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, Reference};
use camelid_model::{Engine, Tuning, Want};
use support::{CLIP, Golden, check};

fn cpu() -> Cpu {
    Cpu::new(CpuOptions { threads: Some(2), compute: Compute::F32 })
}

fn check_on<B: Backend>(family: &str, backend: impl Fn() -> B) {
    let golden = Golden::read(family);
    let mut engine = golden.engine(backend(), Tuning::Full);
    check(&format!("logits of {family}"), &golden.decoded_logits(&mut engine), &golden.logits, 1e-5);

    // The training path's log-probabilities follow from the same logits.
    let scores = engine.forward(&golden.forest(), Want::default()).unwrap();
    let vocabulary = golden.logits.len() / golden.tokens.len();
    let expected: Vec<f32> = golden
        .logits
        .chunks_exact(vocabulary)
        .zip(&golden.tokens[1..])
        .map(|(row, &token)| {
            let normaliser = row.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
            (f64::from(row[token as usize]) - normaliser) as f32
        })
        .collect();
    check(&format!("log-probabilities of {family}"), &scores.log_probs, &expected, 1e-5);

    golden.check_gradients(&mut engine, 1e-4);
    engine.zero_gradients();
    golden.check_losses(&mut engine, None, 1e-4);
    golden.check_losses(&mut golden.engine(backend(), Tuning::Full), Some(CLIP), 1e-4);
}

macro_rules! families {
    ($($test:ident = $family:literal)+) => {$(
        #[test]
        fn $test() {
            check_on($family, cpu);
            check_on($family, || Reference::new(Compute::F32));
        }
    )+};
}

families! {
    llama = "llama"
    llama_with_a_tied_head = "llama-tied"
    llama_3_rotary_scaling = "llama3"
    linear_rotary_scaling = "llama-linear"
    yarn_rotary_scaling = "llama-yarn"
    mistral_sliding_window = "mistral"
    qwen_2_biases = "qwen2"
    qwen_3_head_norms = "qwen3"
    gemma_2_soft_caps = "gemma2"
    gemma_3_local_and_global = "gemma3"
    gpt_neox_parallel = "gptneox"
    gpt_neox_sequential = "gptneox-sequential"
}
