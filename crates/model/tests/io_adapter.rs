//! PEFT adapters: written, read back, merged, and refused when they do not fit.

use std::fs;
use std::path::Path;

use camelid_model::io::{inspect_model, read_peft_adapter, write_peft_adapter};
use camelid_model::{LowRank, StateTensor};
use serde_json::{Value as Json, json};

const MODULE: &str = "model.layers.0.self_attn.q_proj";

fn low_rank() -> LowRank {
    LowRank { rank: 2, alpha: 6.0, rslora: false, dropout: 0.05, targets: vec!["q_proj".to_owned()] }
}

/// `a` is [2, 3], `b` is [4, 2].
fn factors() -> Vec<StateTensor> {
    let values = |count: usize, step: f32| (0..count).map(|index| index as f32 * step - 0.5).collect();
    vec![
        StateTensor { name: format!("{MODULE}.lora_A.weight"), shape: vec![2, 3], values: values(6, 0.25) },
        StateTensor { name: format!("{MODULE}.lora_B.weight"), shape: vec![4, 2], values: values(8, 0.125) },
    ]
}

fn write(folder: &Path) {
    write_peft_adapter(folder, &low_rank(), "org/base", &factors()).unwrap();
}

fn config(folder: &Path) -> Json {
    serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap()
}

#[test]
fn an_adapter_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let adapter = read_peft_adapter(folder.path()).unwrap();
    assert_eq!(adapter.low_rank, low_rank());
    assert_eq!(adapter.base, "org/base");
    let read = &adapter.factors[MODULE];
    assert_eq!((read.rank, read.inputs, read.outputs), (2, 3, 4));
    assert_eq!(read.a, factors()[0].values);
    assert_eq!(read.b, factors()[1].values);
    let config = config(folder.path());
    assert_eq!(config["peft_type"], "LORA");
    assert_eq!(config["lora_alpha"], json!(6));
    assert_eq!(config["lora_dropout"], json!(0.05));
    assert_eq!(config["target_modules"], json!(["q_proj"]));
    let inspected = inspect_model(folder.path()).unwrap();
    assert_eq!(inspected.base.as_deref(), Some("org/base"));
    assert_eq!(inspected.parameters(), 14);
}

#[test]
fn merging_adds_the_scaled_product() {
    let folder = tempfile::tempdir().unwrap();
    for rslora in [false, true] {
        write_peft_adapter(folder.path(), &LowRank { rslora, ..low_rank() }, "base", &factors()).unwrap();
        let adapter = read_peft_adapter(folder.path()).unwrap();
        let before: Vec<f32> = (0_u8..12).map(f32::from).collect();
        let mut merged = before.clone();
        adapter.merge_into(&format!("{MODULE}.weight"), &mut merged).unwrap();
        let scale = if rslora { 6.0 / 2.0_f64.sqrt() } else { 3.0 };
        let (a, b) = (&factors()[0].values, &factors()[1].values);
        for row in 0..4 {
            for column in 0..3 {
                let product: f64 =
                    (0..2).map(|rank| f64::from(b[2 * row + rank]) * f64::from(a[3 * rank + column])).sum();
                let expected = f64::from(before[3 * row + column]) + scale * product;
                assert!((f64::from(merged[3 * row + column]) - expected).abs() < 1e-5);
            }
        }
        let mut other = before.clone();
        adapter.merge_into("model.layers.0.self_attn.k_proj.weight", &mut other).unwrap();
        assert_eq!(other, before);
        let error = adapter.merge_into(&format!("{MODULE}.weight"), &mut merged[1..]).unwrap_err().to_string();
        assert!(error.contains("a matrix of [4, 3], but the weight has 11 elements"), "{error}");
    }
}

#[track_caller]
fn check_error(change: impl FnOnce(&Path), parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    change(folder.path());
    let error = read_peft_adapter(folder.path()).unwrap_err().to_string();
    for part in parts.iter().chain(&["\n  fix: "]) {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

fn set(folder: &Path, key: &str, value: Json) {
    let mut config = config(folder);
    config[key] = value;
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
}

#[test]
fn adapters_that_cannot_be_read_are_refused() {
    check_error(|folder| set(folder, "peft_type", json!("PREFIX_TUNING")), &["peft_type is PREFIX_TUNING"]);
    check_error(|folder| set(folder, "use_dora", json!(true)), &["use_dora is true", "plain LoRA"]);
    check_error(|folder| set(folder, "bias", json!("all")), &["bias is \"all\""]);
    check_error(|folder| set(folder, "alpha_pattern", json!({ "q_proj": 3 })), &["alpha_pattern is not empty"]);
    check_error(|folder| set(folder, "r", json!(4)), &["has rank 2", "adapter_config.json says 4"]);
    check_error(|folder| set(folder, "r", json!(0)), &["r is not a rank"]);
    check_error(|folder| set(folder, "lora_alpha", Json::Null), &["lora_alpha is not a number"]);
    check_error(
        |folder| fs::remove_file(folder.join("adapter_model.safetensors")).unwrap(),
        &["adapter_model.safetensors: cannot be opened"],
    );
    check_error(|folder| fs::write(folder.join("adapter_config.json"), "{").unwrap(), &["is not JSON"]);
    check_error(
        |folder| {
            let path = folder.join("adapter_model.safetensors");
            let text = "lora_B.weight";
            let mut bytes = fs::read(&path).unwrap();
            let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
            bytes[at + 5] = b'X';
            fs::write(&path, bytes).unwrap();
        },
        &["lora_B.weight\" is missing"],
    );
}

#[test]
fn only_low_rank_factors_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let stray = [StateTensor { name: "lm_head.weight".to_owned(), shape: vec![1], values: vec![0.0] }];
    let error = write_peft_adapter(folder.path(), &low_rank(), "base", &stray).unwrap_err().to_string();
    assert!(error.contains("\"lm_head.weight\" is neither factor"), "{error}");
}
