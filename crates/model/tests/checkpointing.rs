//! Activation checkpointing: the gradients of keeping everything, bit for bit, from less memory.

mod support;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, Reference};
use camelid_model::{
    Cotangents, Engine, LowRank, Scores, StateTensor, Transformer, TransformerOptions, Tuning, Values, Want,
};
use camelid_text::{Encoded, Forest};
use support::{Golden, UPDATE, read_gradients};

/// One of each way a block differs: biases, norms on heads and behind layers, soft caps, parallel blocks, fused q, k, v.
const FAMILIES: [&str; 5] = ["llama", "qwen2", "qwen3", "gemma2", "gptneox"];

fn cpu(compute: Compute) -> Cpu {
    Cpu::new(CpuOptions { compute, threads: Some(2) })
}

fn low_rank() -> Tuning {
    let targets = vec!["all-linear".to_owned()];
    Tuning::LowRank(LowRank { rank: 2, alpha: 4.0, rslora: false, dropout: 0.3, targets })
}

fn engine<B: Backend>(golden: &Golden, backend: B, tuning: &Tuning, checkpointing: bool) -> Transformer<B> {
    let options = TransformerOptions {
        neftune_alpha: 5.0,
        value_head: true,
        activation_checkpointing: checkpointing,
        ..TransformerOptions::default()
    };
    Transformer::new(backend, golden.model(), tuning.clone(), 1, options).unwrap()
}

/// Two sequences with a common beginning.
fn forest(golden: &Golden) -> Forest {
    let sequence = |tokens: &[u32]| Encoded { tokens: tokens.to_vec(), weights: vec![1.0; tokens.len()], record: 0 };
    let half = golden.tokens.len() / 2;
    let (whole, other) = (sequence(&golden.tokens), sequence(&[&golden.tokens[..half], &[5, 6, 7]].concat()));
    Forest::from_sequences(&[&whole, &other])
}

/// Noise, dropout, log-probabilities and values at once.
fn forward<B: Backend>(engine: &mut Transformer<B>, forest: &Forest) -> (Scores, Cotangents) {
    let want = Want { gradients: true, values: Values::Targets, noise_seed: Some(11), ..Want::default() };
    let scores = engine.forward(forest, want).unwrap();
    let values = (0..scores.values.len()).map(|i| 0.5 - 0.25 * (i % 3) as f32).collect();
    let cotangents = Cotangents { log_probs: vec![-1.0; scores.log_probs.len()], values, entropies: Vec::new() };
    (scores, cotangents)
}

fn state(engine: &dyn Engine) -> Vec<StateTensor> {
    let mut all = Vec::new();
    engine
        .visit_state(&mut |tensor| {
            all.push(tensor);
            Ok(())
        })
        .unwrap();
    all
}

fn check<B: Backend>(golden: &Golden, tuning: &Tuning, backend: impl Fn() -> B) {
    let forest = forest(golden);
    let name = backend().name();
    let [kept, again] = [false, true].map(|checkpointing| {
        let mut engine = engine(golden, backend(), tuning, checkpointing);
        // An adapter's B starts at zero, and so does the scalar head; both must matter.
        for eager in [false, true, true] {
            let (_, cotangents) = forward(&mut engine, &forest);
            if eager {
                engine.backward_and_update(&cotangents, &UPDATE).unwrap();
            } else {
                engine.backward(&cotangents).unwrap();
                engine.update(&UPDATE).unwrap();
            }
        }
        let (scores, cotangents) = forward(&mut engine, &forest);
        engine.backward(&cotangents).unwrap();
        (scores, read_gradients(&engine), state(&engine))
    });
    assert!(kept.1.iter().any(|&x| x != 0.0));
    assert!(kept == again, "{}, {tuning:?}, {name}", golden.name);
}

#[test]
fn gradients_have_the_same_bits() {
    for family in FAMILIES {
        let golden = Golden::read(family).without_adapter();
        for tuning in [low_rank(), Tuning::Full, Tuning::Layers(vec![1])] {
            check(&golden, &tuning, || Reference::new(Compute::F32));
            check(&golden, &tuning, || cpu(Compute::F32));
            check(&golden, &tuning, || cpu(Compute::Bf16));
        }
    }
}

/// Between forward and backward, the activations of all blocks but the last are not there.
#[test]
fn less_is_kept() {
    let golden = Golden::read("llama");
    let [kept, again] = [false, true].map(|checkpointing| {
        let mut engine = engine(&golden, cpu(Compute::F32), &Tuning::Full, checkpointing);
        let before = engine.memory().in_use;
        forward(&mut engine, &forest(&golden));
        engine.memory().in_use - before
    });
    assert!(again * 10 < kept * 8, "{again} of {kept} bytes");
}
