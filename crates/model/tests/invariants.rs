//! What must hold whatever the model, the batch and the machine: forest = dense, independence of cuts, order and
//! threads, decoding = scoring, saved = continued.

mod support;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, Reference};
use camelid_model::{
    Cotangents, Engine, LowRank, MomentType, Scores, StateTensor, Transformer, TransformerOptions, Tuning, Update, Want,
};
use camelid_text::{Encoded, Forest};
use proptest::prelude::*;
use support::{Golden, UPDATE, check, check_norm, gradients_of, read_gradients};

/// One of each way a family differs: windows, biases, norms on heads, soft caps, two ropes, parallel blocks.
const FAMILIES: [&str; 7] = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "gptneox"];

fn cpu(compute: Compute, threads: usize) -> Cpu {
    Cpu::new(CpuOptions { threads: Some(threads), compute })
}

fn low_rank() -> Tuning {
    Tuning::LowRank(LowRank { rank: 3, alpha: 6.0, rslora: false, dropout: 0.0, targets: vec!["all-linear".into()] })
}

/// Sequences that share beginnings: each continues an earlier one from some place on.
fn sequences() -> impl Strategy<Value = Vec<Encoded>> {
    let sequence = (any::<prop::sample::Index>(), 0_usize..20, prop::collection::vec(3_u32..48, 1..12));
    prop::collection::vec(sequence, 1..7).prop_map(|plans| {
        let mut made: Vec<Encoded> = Vec::new();
        for (record, (parent, keep, new)) in plans.into_iter().enumerate() {
            let mut tokens = if made.is_empty() {
                vec![1]
            } else {
                made[parent.index(made.len())].tokens.iter().copied().take(keep + 1).collect()
            };
            tokens.extend(new);
            let weights = (0..tokens.len()).map(|i| if i == 0 || i % 5 == 3 { 0.0 } else { 0.5 + (i % 3) as f32 });
            made.push(Encoded { weights: weights.collect(), tokens, record: record as u32 });
        }
        made
    })
}

/// Scores by sequence and place, and the gradients of `Σ weight · log-prob`.
fn run<B: Backend>(engine: &mut Transformer<B>, forests: &[Forest]) -> (Vec<Vec<f32>>, Vec<f32>) {
    engine.zero_gradients();
    let mut by_forest = Vec::new();
    for forest in forests {
        let scores = engine.forward(forest, Want { gradients: true, ..Want::default() }).unwrap();
        let weights = forest.targets.iter().map(|target| target.weight).collect();
        engine.backward(&Cotangents { log_probs: weights, ..Cotangents::default() }).unwrap();
        let mut branches = vec![Vec::new(); forest.branches as usize];
        for (target, &log_prob) in forest.targets.iter().zip(&scores.log_probs) {
            branches[target.branch as usize].push(log_prob);
        }
        by_forest.extend(branches);
    }
    (by_forest, read_gradients(engine))
}

fn agree(what: &str, a: &(Vec<Vec<f32>>, Vec<f32>), b: &(Vec<Vec<f32>>, Vec<f32>), tolerance: f64) {
    check_norm(&format!("{what}: log-probabilities"), &a.0.concat(), &b.0.concat(), tolerance);
    check_norm(&format!("{what}: gradients"), &a.1, &b.1, tolerance);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariants 1 and 2.
    #[test]
    fn sharing_order_and_cuts_change_nothing(sequences in sequences(), family in 0_usize..FAMILIES.len()) {
        let golden = Golden::read(FAMILIES[family]);
        let all: Vec<&Encoded> = sequences.iter().collect();
        let whole = [Forest::from_sequences(&all)];
        whole[0].validate().unwrap();
        prop_assume!(!whole[0].targets.is_empty());
        let dense = [Forest::dense(&all)];
        let cuts: Vec<Forest> = all.iter().map(|sequence| Forest::from_sequences(&[sequence])).collect();
        let reversed: Vec<&Encoded> = all.iter().rev().copied().collect();
        for tuning in [Tuning::Full, low_rank()] {
            let mut oracle = golden.engine(Reference::new(Compute::F32), tuning.clone());
            let expected = run(&mut oracle, &dense);
            agree("forest on the reference", &run(&mut oracle, &whole), &expected, 1e-6);
            for (compute, tolerance) in [(Compute::F32, 1e-5), (Compute::Bf16, 0.1)] {
                let mut engine = golden.engine(cpu(compute, 2), tuning.clone());
                agree("forest", &run(&mut engine, &whole), &expected, tolerance);
                agree("dense", &run(&mut engine, &dense), &expected, tolerance);
                agree("cut", &run(&mut engine, &cuts), &expected, tolerance);
                let (mut log_probs, gradients) = run(&mut engine, &[Forest::from_sequences(&reversed)]);
                log_probs.reverse();
                agree("reversed", &(log_probs, gradients), &expected, tolerance);
            }
        }
    }
}

/// Invariant 2, the part that is bit-equal.
#[test]
fn bits_do_not_depend_on_threads() {
    for family in FAMILIES {
        let golden = Golden::read(family);
        for compute in [Compute::F32, Compute::Bf16] {
            let results: Vec<(Vec<f32>, Scores)> = [1, 2, 3, 5]
                .map(|threads| {
                    let mut engine = golden.engine(cpu(compute, threads), Tuning::Full);
                    gradients_of(&mut engine, &golden.forest());
                    let gradients = read_gradients(&engine);
                    engine.update(&UPDATE).unwrap();
                    let want = Want { entropy: true, ..Want::default() };
                    (gradients, engine.forward(&golden.forest(), want).unwrap())
                })
                .to_vec();
            assert!(results.iter().all(|result| *result == results[0]), "{family} {compute:?}");
        }
    }
}

/// Invariants 1 and 6: a sequence has the same bits alone, in a batch, and decoded a token at a time.
#[test]
fn a_sequence_has_the_same_bits_alone_in_a_batch_and_decoded() {
    for family in FAMILIES {
        let golden = Golden::read(family);
        for compute in [Compute::F32, Compute::Bf16] {
            let mut engine = golden.engine(cpu(compute, 2), Tuning::Frozen);
            let encoded = |tokens: Vec<u32>| {
                let weights = (0..tokens.len()).map(|i| if i == 0 { 0.0 } else { 1.0 }).collect();
                Encoded { tokens, weights, record: 0 }
            };
            let sequence = encoded(golden.tokens.clone());
            let other = encoded((0..40).map(|i| 3 + i % 45).collect());
            let alone = engine.forward(&golden.forest(), Want::default()).unwrap().log_probs;
            let together = engine.forward(&Forest::dense(&[&other, &sequence]), Want::default()).unwrap().log_probs;
            assert_eq!(alone, together[other.tokens.len() - 1..], "{family} {compute:?}");
            let decoded = engine.decode_log_probs(&golden.tokens, 1).unwrap();
            assert_eq!(decoded, alone, "decoding of {family} in {compute:?}");
        }
    }
}

/// The cpu backend's whole model against the reference, in both precisions, entropies included.
#[test]
fn the_whole_model_agrees_with_the_reference() {
    for family in FAMILIES {
        let golden = Golden::read(family);
        for tuning in [Tuning::Full, Tuning::Layers(vec![1]), low_rank()] {
            let want = Want { gradients: true, entropy: true, ..Want::default() };
            let mut oracle = golden.engine(Reference::new(Compute::F32), tuning.clone());
            let forest = golden.forest();
            let expected = oracle.forward(&forest, want).unwrap();
            let count = expected.log_probs.len();
            let cotangents = Cotangents {
                log_probs: (0..count).map(|i| 0.3 + 0.1 * i as f32).collect(),
                entropies: (0..count).map(|i| 0.2 - 0.05 * i as f32).collect(),
                values: Vec::new(),
            };
            oracle.backward(&cotangents).unwrap();
            for (compute, tolerance) in [(Compute::F32, 2e-5), (Compute::Bf16, 0.1)] {
                let what = format!("{family} {tuning:?} {compute:?}");
                let mut engine = golden.engine(cpu(compute, 2), tuning.clone());
                let scores = engine.forward(&forest, want).unwrap();
                check(&format!("log-probabilities of {what}"), &scores.log_probs, &expected.log_probs, tolerance);
                check(&format!("entropies of {what}"), &scores.entropies, &expected.entropies, tolerance);
                engine.backward(&cotangents).unwrap();
                let (ours, theirs) = (read_gradients(&engine), read_gradients(&oracle));
                check(&format!("gradients of {what}"), &ours, &theirs, tolerance);
            }
        }
    }
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

/// Invariant 7, the engine's part: what is saved and restored continues with the same bits.
#[test]
fn a_restored_engine_continues_with_the_same_bits() {
    for (family, tuning) in [("llama-tied", Tuning::Full), ("gptneox", Tuning::Layers(vec![0])), ("qwen3", low_rank())]
    {
        let golden = Golden::read(family);
        let step = |engine: &mut Transformer<Cpu>| {
            gradients_of(engine, &golden.forest());
            engine.update(&Update { max_grad_norm: 1.0, denominator: 13.0, ..UPDATE }).unwrap()
        };
        let mut straight = golden.engine(cpu(Compute::Bf16, 2), tuning.clone());
        for _ in 0..5 {
            step(&mut straight);
        }
        let mut first = golden.engine(cpu(Compute::Bf16, 1), tuning.clone());
        for _ in 0..2 {
            step(&mut first);
        }
        let saved = state(&first);
        let mut second = golden.engine(cpu(Compute::Bf16, 2), tuning);
        let fetch = &mut |name: &str| Ok(saved.iter().find(|tensor| tensor.name == name).unwrap().values.clone());
        second.restore_state(2, fetch).unwrap();
        let last = (0..3).map(|_| step(&mut second)).last().unwrap();
        assert_eq!(last.step, 5);
        assert!(state(&second) == state(&straight), "{family}");
    }
}

/// Moments in bf16 train alike, and what is saved of them continues with the same bits.
#[test]
fn moments_in_bf16_train_alike_and_continue_with_the_same_bits() {
    let golden = Golden::read("llama");
    let options = TransformerOptions { moments: MomentType::Bf16, ..TransformerOptions::default() };
    let engine = |threads| golden.engine_with(cpu(Compute::F32, threads), Tuning::Full, options);
    golden.check_losses(&mut engine(2), None, 2e-3);
    let step = |engine: &mut Transformer<Cpu>| {
        gradients_of(engine, &golden.forest());
        engine.update(&Update { denominator: 13.0, ..UPDATE }).unwrap();
    };
    let (mut straight, mut first, mut second) = (engine(2), engine(1), engine(3));
    for _ in 0..4 {
        step(&mut straight);
    }
    step(&mut first);
    let saved = state(&first);
    let fetch = &mut |name: &str| Ok(saved.iter().find(|tensor| tensor.name == name).unwrap().values.clone());
    second.restore_state(1, fetch).unwrap();
    for _ in 0..3 {
        step(&mut second);
    }
    assert!(state(&second) == state(&straight));
}

/// Stepping during the backward pass is the same step.
#[test]
fn an_eager_update_is_the_update() {
    for (family, tuning) in [("llama", Tuning::Full), ("gemma3", Tuning::Full), ("qwen2", low_rank())] {
        let golden = Golden::read(family);
        let forest = golden.forest();
        let [mut eager, mut separate] = [(); 2].map(|()| golden.engine(cpu(Compute::F32, 2), tuning.clone()));
        for _ in 0..3 {
            let update = Update { denominator: 13.0, ..UPDATE };
            gradients_of(&mut separate, &forest);
            let expected = separate.update(&update).unwrap();
            let scores = eager.forward(&forest, Want { gradients: true, ..Want::default() }).unwrap();
            let cotangents = Cotangents { log_probs: vec![-1.0; scores.log_probs.len()], ..Cotangents::default() };
            let updated = eager.backward_and_update(&cotangents, &update).unwrap();
            assert_eq!(updated.step, expected.step);
            assert!((updated.grad_norm - expected.grad_norm).abs() <= 1e-9 * expected.grad_norm, "{family}");
        }
        assert!(state(&eager) == state(&separate), "{family}");
    }
}

/// Buffers are reused: after the first steps, memory does not grow.
#[test]
fn memory_does_not_grow_with_steps() {
    let golden = Golden::read("llama");
    let mut engine = golden.engine(cpu(Compute::F32, 2), Tuning::Full);
    let mut peaks = Vec::new();
    for _ in 0..6 {
        gradients_of(&mut engine, &golden.forest());
        engine.update(&UPDATE).unwrap();
        peaks.push(engine.memory().peak);
    }
    assert!(peaks[1..].iter().all(|&peak| peak == peaks[1]), "{peaks:?}");
}
