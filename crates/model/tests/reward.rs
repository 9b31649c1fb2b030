//! Scalar heads: scores and gradients against `transformers`' sequence classifiers, and what a reward may depend on.

mod support;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, Reference};
use camelid_model::io::{load_model, write_text};
use camelid_model::{Cotangents, Engine, LowRank, Transformer, TransformerOptions, Tuning, Values, Want};
use camelid_text::{Encoded, Forest};
use support::Golden;

const FAMILIES: [&str; 2] = ["reward-llama-tied", "reward-qwen2"];
const OPTIONS: TransformerOptions = TransformerOptions {
    neftune_alpha: 0.0,
    moments: camelid_model::MomentType::F32,
    value_head: true,
    keep_reference: false,
    activation_checkpointing: false,
    weights: camelid_model::WeightType::Computed,
};

fn cpu(threads: usize) -> Cpu {
    Cpu::new(CpuOptions { compute: Compute::F32, threads: Some(threads) })
}

/// The two sequences of the file; nothing in them is predicted.
fn sequences(golden: &Golden) -> Vec<Encoded> {
    let half = golden.tokens.len() / 2;
    let sequence = |tokens: &[u32]| Encoded { tokens: tokens.to_vec(), weights: vec![0.0; half], record: 0 };
    golden.tokens.chunks(half).map(sequence).collect()
}

fn engine<B: Backend>(golden: &Golden, backend: B, tuning: Tuning) -> Transformer<B> {
    Transformer::new(backend, golden.model(), tuning, 1, OPTIONS).unwrap()
}

fn values(engine: &mut dyn Engine, forest: &Forest) -> Vec<f32> {
    engine.forward(forest, Want { values: Values::Ends, gradients: true, ..Want::default() }).unwrap().values
}

#[track_caller]
fn close(what: &str, a: &[f32], b: &[f32], tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    let norm = b.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-6);
    let difference = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    assert!(difference <= tolerance * norm, "{what}: {:e}", difference / norm);
}

fn check_golden<B: Backend>(golden: &Golden, backend: B) {
    let sequences = sequences(golden);
    let both: Vec<&Encoded> = sequences.iter().collect();
    let mut engine = engine(golden, backend, Tuning::Full);
    for forest in [Forest::from_sequences(&both), Forest::dense(&both)] {
        close(&golden.name, &values(&mut engine, &forest), &golden.logits, 1e-5);
        engine.zero_gradients();
        values(&mut engine, &forest);
        engine.backward(&Cotangents { values: vec![1.0, -0.5], ..Cotangents::default() }).unwrap();
        let mut compared = 0;
        let visited = engine.visit_gradients(&mut |gradient| {
            close(
                &format!("{}, {}", golden.name, gradient.name),
                &gradient.values,
                &golden.gradients[&gradient.name].numbers,
                1e-4,
            );
            compared += 1;
            Ok(())
        });
        visited.unwrap();
        assert_eq!(compared, golden.gradients.len());
    }
}

#[test]
fn scores_and_gradients_are_those_of_transformers() {
    for family in FAMILIES {
        let golden = Golden::read(family);
        check_golden(&golden, cpu(2));
        check_golden(&golden, Reference::new(Compute::F32));
    }
}

/// Invariant 5: not on the batch, not on the order, not on the number of threads; bit for bit.
#[test]
fn a_reward_depends_on_its_own_sequence_only() {
    let golden = Golden::read(FAMILIES[0]);
    let mut sequences = sequences(&golden);
    sequences.push(Encoded { tokens: sequences[0].tokens[..5].to_vec(), weights: vec![0.0; 5], record: 0 });
    // The same sequence twice ends in one row.
    sequences.push(sequences[1].clone());
    let mut one = engine(&golden, cpu(1), Tuning::Frozen);
    let alone: Vec<f32> = sequences.iter().flat_map(|s| values(&mut one, &Forest::dense(&[s]))).collect();
    assert!(alone[0] != alone[1] && alone[1].to_bits() == alone[3].to_bits());
    for threads in [1, 3] {
        let mut engine = engine(&golden, cpu(threads), Tuning::Frozen);
        let all: Vec<&Encoded> = sequences.iter().collect();
        let reversed: Vec<&Encoded> = sequences.iter().rev().collect();
        assert_eq!(values(&mut engine, &Forest::from_sequences(&all)), alone);
        assert_eq!(values(&mut engine, &Forest::dense(&all)), alone);
        let mut backwards = values(&mut engine, &Forest::from_sequences(&reversed));
        backwards.reverse();
        assert_eq!(backwards, alone);
    }
}

/// A sequence that stands twice collects both cotangents.
#[test]
fn equal_sequences_add_their_gradients() {
    let golden = Golden::read(FAMILIES[1]);
    let sequences = sequences(&golden);
    let gradients = |sequences: &[&Encoded], cotangents: Vec<f32>| {
        let mut engine = engine(&golden, cpu(1), Tuning::Full);
        values(&mut engine, &Forest::from_sequences(sequences));
        engine.backward(&Cotangents { values: cotangents, ..Cotangents::default() }).unwrap();
        let mut all = Vec::new();
        let visited = engine.visit_gradients(&mut |gradient| {
            all.extend(gradient.values);
            Ok(())
        });
        visited.unwrap();
        all
    };
    let twice = gradients(&[&sequences[0], &sequences[0]], vec![0.5, 1.5]);
    assert_eq!(twice, gradients(&[&sequences[0]], vec![2.0]));
}

#[test]
fn a_model_without_a_head_says_so_and_one_of_zeros_prefers_nothing() {
    let golden = Golden::read("llama-tied");
    let tokens = golden.tokens.clone();
    let sequence = Encoded { weights: vec![0.0; tokens.len()], tokens, record: 0 };
    let forest = Forest::dense(&[&sequence]);
    let mut plain = golden.engine(cpu(1), Tuning::Frozen);
    let error = plain.forward(&forest, Want { values: Values::Ends, ..Want::default() }).unwrap_err().to_string();
    assert!(error.contains("scalar head"), "{error}");
    assert_eq!(values(&mut engine(&golden, cpu(1), Tuning::Full), &forest), [0.0]);
}

/// Written and read again, whole or as adapter and head: the same rewards.
#[test]
fn a_saved_reward_model_reads_back() {
    let golden = Golden::read(FAMILIES[0]);
    let sequences = sequences(&golden);
    let forest = Forest::from_sequences(&sequences.iter().collect::<Vec<_>>());
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    let assets = support::byte_text();
    let mut model = golden.model();
    model.text = assets.clone();
    let full = Transformer::new(cpu(1), model, Tuning::Full, 1, OPTIONS).unwrap();
    full.save(&base).unwrap();
    write_text(&base, &assets).unwrap();
    let config: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(base.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "LlamaForSequenceClassification");
    assert_eq!((config["num_labels"].as_u64(), config["pad_token_id"].as_u64()), (Some(1), Some(1)));

    let loaded = load_model(&base).unwrap();
    assert!(loaded.has_value_head());
    let mut again = Transformer::new(cpu(1), loaded, Tuning::Frozen, 1, OPTIONS).unwrap();
    close("whole", &values(&mut again, &forest), &golden.logits, 1e-5);

    let tuning = Tuning::LowRank(LowRank {
        rank: 2,
        alpha: 4.0,
        rslora: false,
        dropout: 0.0,
        targets: vec!["all-linear".into()],
    });
    let mut tuned = Transformer::new(cpu(1), load_model(&base).unwrap(), tuning, 1, OPTIONS).unwrap();
    for _ in 0..3 {
        values(&mut tuned, &forest);
        let cotangents = Cotangents { values: vec![1.0, -1.0], ..Cotangents::default() };
        tuned.backward_and_update(&cotangents, &support::UPDATE).unwrap();
    }
    let after = values(&mut tuned, &forest);
    assert!(after[0] - after[1] < golden.logits[0] - golden.logits[1], "{after:?}");
    let adapter = folder.path().join("adapter");
    tuned.save(&adapter).unwrap();
    let mut merged = Transformer::new(cpu(1), load_model(&adapter).unwrap(), Tuning::Frozen, 1, OPTIONS).unwrap();
    close("adapter", &values(&mut merged, &forest), &after, 1e-5);
}
