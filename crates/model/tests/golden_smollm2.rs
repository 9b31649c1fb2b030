//! The real SmolLM2-135M-Instruct against `transformers`: token ids, log-probabilities, greedy continuations.

use std::path::PathBuf;

use camelid_kernels::{Compute, Cpu, CpuOptions};
use camelid_model::{Engine, Transformer, TransformerOptions, Tuning, Want, load_model};
use camelid_text::{Encoded, Forest, Text};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    prompt: String,
    ids: Vec<u32>,
    /// Of each id but the first.
    log_probs: Vec<f32>,
    greedy: Vec<u32>,
}

/// `$CAMELID_TEST_MODEL`, or where `camelid pull smollm2-135m-instruct` puts it.
fn model_path() -> PathBuf {
    if let Some(path) = std::env::var_os("CAMELID_TEST_MODEL") {
        return path.into();
    }
    let home = std::env::var_os("CAMELID_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/camelid"),
        PathBuf::from,
    );
    home.join("models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf")
}

fn largest_index(values: &[f32]) -> u32 {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap() as u32
}

#[test]
#[ignore = "needs the model: camelid pull smollm2-135m-instruct; then cargo test --release -p camelid-model -- --ignored"]
fn prompts_continue_as_in_transformers() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/smollm2.json");
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    assert!(cases.len() >= 20);
    let model = load_model(&model_path()).unwrap();
    let text = Text::new(model.text.clone()).unwrap();
    let backend = Cpu::new(CpuOptions { threads: None, compute: Compute::F32 });
    let mut engine = Transformer::new(backend, model, Tuning::Frozen, 0, TransformerOptions::default()).unwrap();
    let mut worst = 0.0_f32;
    for case in &cases {
        assert_eq!(text.encode(&case.prompt), case.ids, "{:?}", case.prompt);
        let mut weights = vec![1.0; case.ids.len()];
        weights[0] = 0.0;
        let forest = Forest::from_sequences(&[&Encoded { tokens: case.ids.clone(), weights, record: 0 }]);
        let scores = engine.forward(&forest, Want::default()).unwrap();
        for (ours, expected) in scores.log_probs.iter().zip(&case.log_probs) {
            worst = worst.max((ours - expected).abs());
            assert!((ours - expected).abs() <= 1e-3, "{:?}: {ours}, expected {expected}", case.prompt);
        }
        let mut decoder = engine.decoder(case.ids.len() + case.greedy.len());
        let mut logits = decoder.append(&case.ids).unwrap();
        for (place, &expected) in case.greedy.iter().enumerate() {
            let token = largest_index(&logits);
            assert_eq!(token, expected, "{:?}, token {place} of the continuation", case.prompt);
            logits = decoder.append(&[token]).unwrap();
        }
    }
    println!("{} prompts; log-probabilities differ by at most {worst:.1e}", cases.len());
}
