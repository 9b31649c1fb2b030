//! The scalar head read at targets: what a critic sees before each token of an answer, and how it is trained.

mod support;

use camelid_kernels::{Backend, Compute, Cpu, CpuOptions, Reference};
use camelid_model::{Cotangents, Engine, StateTensor, Transformer, TransformerOptions, Tuning, Values, Want};
use camelid_text::{Encoded, Forest};
use support::{Golden, read_gradients};

const OPTIONS: TransformerOptions = TransformerOptions {
    neftune_alpha: 0.0,
    moments: camelid_model::MomentType::F32,
    value_head: true,
    keep_reference: false,
    activation_checkpointing: false,
    weights: camelid_model::WeightType::Computed,
};
const WANT: Want = Want {
    gradients: true,
    entropy: false,
    without_adapter: false,
    reference: false,
    values: Values::Targets,
    without_log_probs: false,
    noise_seed: None,
};

fn cpu(compute: Compute, threads: usize) -> Cpu {
    Cpu::new(CpuOptions { compute, threads: Some(threads) })
}

fn engine<B: Backend>(golden: &Golden, backend: B, tuning: Tuning) -> Transformer<B> {
    Transformer::new(backend, golden.model(), tuning, 1, OPTIONS).unwrap()
}

/// Answers of two, three and one token to a prompt of four, and one to another prompt. The first two begin alike.
fn sequences() -> Vec<Encoded> {
    let sequence = |prompt: &[u32], answer: &[u32]| {
        let weights = [vec![0.0; prompt.len()], vec![1.0; answer.len()]].concat();
        Encoded { tokens: [prompt, answer].concat(), weights, record: 0 }
    };
    vec![
        sequence(&[1, 7, 30, 9], &[11, 12]),
        sequence(&[1, 7, 30, 9], &[11, 21, 2]),
        sequence(&[1, 7, 30, 9], &[40]),
        sequence(&[1, 33], &[8, 2]),
    ]
}

/// For each target of the forest, the tokens before it as a sequence of their own.
fn prefixes(sequences: &[Encoded], forest: &Forest) -> Vec<Encoded> {
    let mut next: Vec<usize> =
        sequences.iter().map(|sequence| sequence.weights.iter().position(|&w| w > 0.0).unwrap()).collect();
    let prefix = |target: &camelid_text::Target| {
        let branch = target.branch as usize;
        let tokens = sequences[branch].tokens[..next[branch]].to_vec();
        next[branch] += 1;
        Encoded { weights: vec![0.0; tokens.len()], tokens, record: 0 }
    };
    forest.targets.iter().map(prefix).collect()
}

fn forest(sequences: &[Encoded]) -> Forest {
    Forest::from_sequences(&sequences.iter().collect::<Vec<_>>())
}

/// The value before a token is the value at the end of everything before it: on the reference, and with the same bits on
/// the processor, whatever else is in the batch and on however many threads.
#[test]
fn a_value_at_a_target_is_the_value_at_the_end_of_its_prefix() {
    let golden = Golden::read("reward-llama-tied");
    let sequences = sequences();
    let forest = forest(&sequences);
    let rows: Vec<u32> = forest.targets.iter().map(|target| target.row).collect();
    assert!(rows.windows(2).any(|pair| pair[0] == pair[1]), "targets that share a row");
    let prefixes = prefixes(&sequences, &forest);
    let ends = Want { values: Values::Ends, ..Want::default() };

    let mut oracle = engine(&golden, Reference::new(Compute::F32), Tuning::Frozen);
    let expected: Vec<f32> =
        prefixes.iter().flat_map(|prefix| oracle.forward(&Forest::dense(&[prefix]), ends).unwrap().values).collect();
    let found = oracle.forward(&forest, WANT).unwrap().values;
    assert_eq!(found.len(), forest.targets.len());
    support::check("values of the reference", &found, &expected, 1e-6);

    for compute in [Compute::F32, Compute::Bf16] {
        let mut one = engine(&golden, cpu(compute, 1), Tuning::Frozen);
        let alone: Vec<f32> =
            prefixes.iter().flat_map(|prefix| one.forward(&Forest::dense(&[prefix]), ends).unwrap().values).collect();
        support::check("values", &alone, &expected, if compute == Compute::F32 { 1e-5 } else { 3e-2 });
        for threads in [1, 3] {
            let mut engine = engine(&golden, cpu(compute, threads), Tuning::Frozen);
            for without_log_probs in [false, true] {
                let scores = engine.forward(&forest, Want { without_log_probs, ..WANT }).unwrap();
                assert_eq!(scores.values, alone, "{compute:?}, {threads} threads");
                let predictions = if without_log_probs { 0 } else { rows.len() };
                assert_eq!((scores.log_probs.len(), scores.hits.len()), (predictions, predictions));
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

/// `Σ value cotangent · value + Σ log-prob cotangent · log-prob`.
fn loss(engine: &mut dyn Engine, forest: &Forest, cotangents: &Cotangents) -> f64 {
    let scores = engine.forward(forest, WANT).unwrap();
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    product(&cotangents.values, &scores.values) + product(&cotangents.log_probs, &scores.log_probs)
}

/// Central differences along the gradient of each parameter, with log-probabilities in the same loss.
#[test]
fn cotangents_of_values_at_targets_agree_with_finite_differences() {
    for family in ["reward-llama-tied", "reward-qwen2"] {
        let golden = Golden::read(family);
        let forest = forest(&sequences());
        let count = forest.targets.len();
        let cotangents = Cotangents {
            log_probs: (0..count).map(|i| 0.3 - 0.1 * i as f32).collect(),
            values: (0..count).map(|i| 0.7 - 0.4 * (i % 4) as f32).collect(),
            entropies: Vec::new(),
        };
        let mut engine = engine(&golden, Reference::new(Compute::F32), Tuning::Full);
        loss(&mut engine, &forest, &cotangents);
        engine.backward(&cotangents).unwrap();
        let mut gradients = Vec::new();
        engine
            .visit_gradients(&mut |gradient| {
                gradients.push(gradient);
                Ok(())
            })
            .unwrap();
        let before = state(&engine);
        for gradient in &gradients {
            let norm = gradient.values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let step = 1e-3 / norm;
            let mut moved = |factor: f64| {
                let fetch = &mut |name: &str| {
                    let mut values = before.iter().find(|tensor| tensor.name == name).unwrap().values.clone();
                    if name == gradient.name {
                        for (value, &direction) in values.iter_mut().zip(&gradient.values) {
                            *value += (factor * f64::from(direction)) as f32;
                        }
                    }
                    Ok(values)
                };
                engine.restore_state(0, fetch).unwrap();
                loss(&mut engine, &forest, &cotangents)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            let expected = norm * norm;
            assert!((slope - expected).abs() <= 5e-3 * expected, "{family}, {}: {slope}, {expected}", gradient.name);
        }
    }
}

fn gradients(golden: &Golden, want: Want, cotangents: &Cotangents) -> Vec<f32> {
    let mut engine = engine(golden, cpu(Compute::F32, 2), Tuning::Full);
    engine.forward(&forest(&sequences()), want).unwrap();
    engine.backward(cotangents).unwrap();
    read_gradients(&engine)
}

/// Targets on one row add their cotangents, and a critic's gradients need no output projection.
#[test]
fn targets_of_one_row_share_its_gradient_and_log_probabilities_may_be_left_out() {
    let golden = Golden::read("reward-qwen2");
    let targets = forest(&sequences()).targets;
    let twin = targets.windows(2).position(|pair| pair[0].row == pair[1].row).unwrap();
    let apart: Vec<f32> = (0..targets.len()).map(|i| 0.25 * i as f32 - 0.5).collect();
    let mut together = apart.clone();
    together[twin] += together[twin + 1];
    together[twin + 1] = 0.0;
    let both = [apart, together].map(|values| {
        let log_probs = vec![0.0; targets.len()];
        let with = gradients(&golden, WANT, &Cotangents { log_probs, values: values.clone(), entropies: vec![] });
        let want = Want { without_log_probs: true, ..WANT };
        let without = gradients(&golden, want, &Cotangents { values, ..Cotangents::default() });
        assert!(with == without && with.iter().any(|&x| x != 0.0));
        with
    });
    assert!(both[0] == both[1]);
}

#[test]
fn cotangents_of_what_was_not_computed_are_refused() {
    let golden = Golden::read("reward-qwen2");
    let forest = forest(&sequences());
    let count = forest.targets.len();
    let mut engine = engine(&golden, cpu(Compute::F32, 1), Tuning::Full);
    engine.forward(&forest, Want { without_log_probs: true, ..WANT }).unwrap();
    let cotangents = Cotangents { log_probs: vec![1.0; count], values: vec![1.0; count], entropies: vec![] };
    let error = engine.backward(&cotangents).unwrap_err().to_string();
    assert!(error.contains("0 targets"), "{error}");
    engine.forward(&forest, Want { without_log_probs: true, ..WANT }).unwrap();
    let error = engine.backward(&Cotangents { values: vec![1.0], ..Cotangents::default() }).unwrap_err().to_string();
    assert!(error.contains("1 cotangents"), "{error}");
}
