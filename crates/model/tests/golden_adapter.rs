//! Adapters against `peft`: logits, gradients, ten optimiser steps.

mod support;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, Reference};
use camelid_model::{Engine, LowRank, Tuning, Want};
use support::{CLIP, Golden, check};

fn tuning(golden: &Golden) -> Tuning {
    let adapter = &golden.config["adapter"];
    Tuning::LowRank(LowRank {
        rank: 4,
        alpha: 8.0,
        rslora: adapter["rslora"].as_bool().unwrap(),
        dropout: 0.0,
        targets: vec!["all-linear".into()],
    })
}

fn check_on<B: Backend>(name: &str, backend: impl Fn() -> B) {
    let golden = Golden::read(name);
    let mut engine = golden.engine(backend(), tuning(&golden));
    check(&format!("logits of {name}"), &golden.decoded_logits(&mut engine), &golden.logits, 1e-5);
    golden.check_gradients(&mut engine, 1e-4);
    engine.zero_gradients();
    golden.check_losses(&mut engine, None, 1e-4);
    golden.check_losses(&mut golden.engine(backend(), tuning(&golden)), Some(CLIP), 1e-4);
}

macro_rules! adapters {
    ($($test:ident = $name:literal)+) => {$(
        #[test]
        fn $test() {
            check_on($name, || Cpu::new(CpuOptions { threads: Some(2), compute: Compute::F32 }));
            check_on($name, || Reference::new(Compute::F32));
        }
    )+};
}

adapters! {
    llama = "adapter-llama"
    llama_with_rank_stabilised_scale = "adapter-llama-rslora"
    qwen_2_beside_biases = "adapter-qwen2"
    gpt_neox_on_the_fused_projection = "adapter-gptneox"
}

/// Switched off, the adapter leaves the base model to the last bit; a new adapter changes nothing.
#[test]
fn without_its_adapter_a_model_is_its_base() {
    let golden = Golden::read("adapter-llama");
    let backend = || Cpu::new(CpuOptions { threads: Some(1), compute: Compute::F32 });
    let forest = golden.forest();
    let mut adapted = golden.engine(backend(), tuning(&golden));
    let bare = Golden::read("adapter-llama").without_adapter();
    let mut base = bare.engine(backend(), Tuning::Frozen);
    let with = adapted.forward(&forest, Want::default()).unwrap();
    let without = adapted.forward(&forest, Want { without_adapter: true, ..Want::default() }).unwrap();
    let expected = base.forward(&forest, Want::default()).unwrap();
    assert_eq!(without, expected);
    assert_ne!(with, expected);
    let mut new = bare.engine(backend(), tuning(&golden));
    assert_eq!(new.forward(&forest, Want::default()).unwrap(), expected);
}
