//! GGUF files against what the `gguf` and `transformers` packages make of the same tensors; the files and expected
//! values are made by `tools/golden_gguf.py`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use camelid_model::io::gguf::{GgufFile, Value, dequantise, parse};
use camelid_model::io::safetensors_file;
use camelid_model::{ModelError, WeightSource};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/io_golden").join(name)
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn every_element_type_dequantises_to_the_same_bits() {
    let file = std::fs::read(golden("quantised.gguf")).unwrap();
    let header = parse(&file).unwrap();
    let expected = std::fs::read(golden("quantised.safetensors")).unwrap();
    let (layout, data_start) = safetensors_file::parse(&expected).unwrap();
    assert_eq!(header.tensors.len(), 10);
    for tensor in &header.tensors {
        let mut values = Vec::new();
        dequantise(tensor.kind, &file[tensor.start as usize..][..tensor.bytes as usize], &mut values);
        let info = layout.info(&tensor.name).unwrap();
        assert_eq!(tensor.shape, info.shape, "{}", tensor.name);
        let (start, end) = info.data_offsets;
        let expected = &expected[data_start as usize + start..data_start as usize + end];
        assert!(bytes_of(&values) == expected, "{} differs", tensor.name);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[track_caller]
fn check_family(name: &str, same_fields: &[&str]) -> GgufFile {
    let file = GgufFile::open(&golden(&format!("tiny-{name}.gguf"))).unwrap();
    let record: Json = serde_json::from_slice(&std::fs::read(golden(&format!("tiny-{name}.json"))).unwrap()).unwrap();
    let expected = record["tensors"].as_object().unwrap();
    assert_eq!(
        file.names(),
        expected.keys().cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    for (name, tensor) in expected {
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        assert_eq!(file.shape(name).unwrap(), shape, "{name}");
        let hash = hexadecimal(&Sha256::digest(bytes_of(&file.load(name).unwrap())));
        assert_eq!(hash, tensor["sha256"], "{name}");
    }
    let common = [
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "vocab_size",
        "max_position_embeddings",
        "model_type",
        "tie_word_embeddings",
        "bos_token_id",
        "eos_token_id",
    ];
    for field in common.iter().chain(same_fields) {
        let (ours, theirs) = (&file.config()[field], &record["config"][field]);
        match (ours.as_f64(), theirs.as_f64()) {
            (Some(ours), Some(theirs)) => {
                assert!((ours - theirs).abs() <= 1e-6 * theirs.abs(), "{field}: {ours} {theirs}");
            }
            _ => assert_eq!(ours, theirs, "{field}"),
        }
    }
    file
}

#[test]
fn llama() {
    let file = check_family("llama", &["num_key_value_heads", "head_dim", "rms_norm_eps", "attention_bias"]);
    assert_eq!(file.config()["rope_theta"], 500_000.0);
    let scaling = &file.config()["rope_scaling"];
    assert_eq!(scaling["rope_type"], "llama3");
    assert_eq!(scaling["factor"], 8.0);
    assert_eq!(scaling["low_freq_factor"], 1.0);
    assert_eq!(scaling["high_freq_factor"], 4.0);
    assert_eq!(scaling["original_max_position_embeddings"], 8192);
}

#[test]
fn qwen2() {
    check_family("qwen2", &["num_key_value_heads", "rms_norm_eps"]);
}

#[test]
fn qwen3() {
    check_family("qwen3", &["num_key_value_heads", "head_dim", "rms_norm_eps", "attention_bias"]);
}

#[test]
fn gemma2() {
    let fields = ["num_key_value_heads", "head_dim", "layer_types", "sliding_window", "query_pre_attn_scalar"];
    check_family("gemma2", &fields);
    check_family("gemma2", &["attn_logit_softcapping", "final_logit_softcapping", "hidden_activation"]);
}

#[test]
fn gemma3() {
    let fields = ["num_key_value_heads", "head_dim", "layer_types", "sliding_window", "query_pre_attn_scalar"];
    check_family("gemma3", &fields);
    let file = check_family("gemma3", &["attn_logit_softcapping", "hidden_activation"]);
    assert_eq!(file.config()["rope_theta"], 1e6);
    assert_eq!(file.config()["rope_local_base_freq"], 1e4);
}

#[test]
fn gpt_neox() {
    let file = check_family("gptneox", &["layer_norm_eps", "use_parallel_residual", "hidden_act", "attention_bias"]);
    assert_eq!(file.config()["rotary_pct"], 0.5);
    assert_eq!(file.config()["rotary_emb_base"], 10_000.0);
}

#[test]
fn the_vocabulary_is_read() {
    let vocabulary = GgufFile::open(&golden("tiny-llama.gguf")).unwrap().vocabulary().unwrap();
    assert_eq!(vocabulary.model, "gpt2");
    assert_eq!(vocabulary.pre, "gpt-2");
    assert_eq!(vocabulary.tokens.len(), 24);
    assert_eq!(vocabulary.tokens[23], "ab");
    assert_eq!(vocabulary.token_types[..4], [3, 3, 3, 1]);
    assert_eq!(vocabulary.merges, ["a b"]);
    assert_eq!((vocabulary.bos, vocabulary.eos, vocabulary.unk), (Some(1), Some(2), Some(0)));
    assert_eq!(vocabulary.add_bos, Some(false));
    assert!(vocabulary.chat_template.unwrap().contains("m['content']"));
}

/// The error of a changed copy of tiny-llama.gguf, with the folder taken out.
fn error_after(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut bytes = std::fs::read(golden("tiny-llama.gguf")).unwrap();
    change(&mut bytes);
    File::create(&path).unwrap().write_all(&bytes).unwrap();
    let opened =
        GgufFile::open(&path).and_then(|file| file.names().iter().try_for_each(|name| file.load(name).map(drop)));
    let error: ModelError = opened.unwrap_err();
    error.to_string().replace(&folder.path().display().to_string(), "")
}

fn place_of(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

#[track_caller]
fn check_error(change: impl FnOnce(&mut Vec<u8>), parts: &[&str]) {
    let error = error_after(change);
    for part in parts.iter().chain(&["/model.gguf: ", "\n  fix: "]) {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn errors_name_the_file_the_tensor_and_a_fix() {
    check_error(|bytes| bytes.truncate(bytes.len() - 40), &["tensor \"", "truncated"]);
    check_error(|bytes| bytes.truncate(2000), &["ends within its header", "truncated"]);
    check_error(|bytes| bytes.truncate(0), &["truncated"]);
    check_error(|bytes| bytes[0] = b'X', &["not a GGUF file"]);
    check_error(|bytes| bytes[4] = 1, &["version 1", "convert"]);
    check_error(|bytes| bytes[4..8].reverse(), &["big-endian"]);
    check_error(|bytes| bytes[15] = 0x7f, &["tensors announced", "more than the file can hold"]);
    check_error(
        |bytes| {
            let at = place_of(bytes, "llama");
            bytes[at..at + 5].copy_from_slice(b"zebra");
        },
        &["architecture \"zebra\"", "llama, qwen2"],
    );
    check_error(
        |bytes| {
            let at = place_of(bytes, "llama.block_count");
            bytes[at + 6] = b'X';
        },
        &["\"llama.block_count\" is missing"],
    );
    check_error(
        |bytes| {
            let at = place_of(bytes, "blk.1.attn_q.weight");
            bytes[at..at + 19].copy_from_slice(b"blk.1.attn_z.weight");
        },
        &["tensor \"blk.1.attn_z.weight\"", "no place in a llama model"],
    );
    check_error(
        |bytes| {
            let kind = place_of(bytes, "blk.1.attn_q.weight") + 19 + 4 + 16;
            bytes[kind] = 10;
        },
        &["tensor \"blk.1.attn_q.weight\" has type Q2_K"],
    );
    // An empty axis beside one whose length overflows.
    check_error(
        |bytes| {
            let shape = place_of(bytes, "blk.1.attn_q.weight") + 19 + 4;
            bytes[shape..shape + 8].fill(0);
            bytes[shape + 8..shape + 16].fill(0xff);
        },
        &["tensor \"blk.1.attn_q.weight\" of shape", "cannot be stored"],
    );
    check_error(
        |bytes| {
            let header = parse(bytes).unwrap();
            let start = header.tensor("blk.0.ffn_up.weight").unwrap().start as usize;
            bytes[start + 8..start + 12].copy_from_slice(&f32::NAN.to_le_bytes());
        },
        &["tensor \"blk.0.ffn_up.weight\"", "NaN at element 2"],
    );
}

#[test]
fn a_missing_tensor_is_named() {
    let file = GgufFile::open(&golden("tiny-llama.gguf")).unwrap();
    let error = file.load("model.layers.9.mlp.up_proj.weight").unwrap_err().to_string();
    assert!(error.contains("tensor \"model.layers.9.mlp.up_proj.weight\" is missing"), "{error}");
}

#[test]
fn a_header_is_the_same_read_from_memory_and_from_the_file() {
    let path = golden("tiny-qwen3.gguf");
    let parsed = parse(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(&parsed, GgufFile::open(&path).unwrap().header());
    assert_eq!(parsed.metadata["general.architecture"], Value::Text("qwen3".to_owned()));
}
