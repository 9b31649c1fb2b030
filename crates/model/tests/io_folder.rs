//! Hugging Face folders: what is written is read back, and broken folders are refused with a reason and a fix.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use camelid_model::io::{ElementType, FolderWeights, NamedShape, inspect_model, write_hf_tensors};
use camelid_model::{ModelError, WeightSource};
use serde_json::{Value as Json, json};

/// Values that every element type stores exactly.
fn tensors() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let matrix: Vec<f32> = (0_i16..48).map(|index| f32::from(index - 20) / 8.0).collect();
    let vector = vec![1.0, -0.5, 0.0, 96.0, -0.0, 2.0];
    BTreeMap::from([
        ("model.embed_tokens.weight".to_owned(), (vec![8, 6], matrix.clone())),
        ("model.layers.0.mlp.up_proj.weight".to_owned(), (vec![6, 8], matrix)),
        ("model.norm.weight".to_owned(), (vec![6], vector)),
    ])
}

fn shapes() -> Vec<NamedShape> {
    tensors().into_iter().map(|(name, (shape, _))| NamedShape { name, shape }).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "the writers' callback may fail")]
fn fetch(name: &str) -> Result<Vec<f32>, ModelError> {
    Ok(tensors()[name].1.clone())
}

fn config() -> Json {
    json!({ "model_type": "llama", "vocab_size": 8, "torch_dtype": "float16" })
}

fn write(folder: &Path, kind: ElementType, largest: u64) {
    write_hf_tensors(folder, &config(), kind, &shapes(), largest, &mut fetch).unwrap();
}

#[track_caller]
fn check_content(folder: &Path) {
    let weights = FolderWeights::open(folder).unwrap();
    assert_eq!(weights.names(), tensors().into_keys().collect::<Vec<_>>());
    for (name, (shape, values)) in tensors() {
        assert_eq!(weights.shape(&name).unwrap(), shape);
        let read = weights.load(&name).unwrap();
        assert!(read.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
        assert_eq!(read.len(), values.len());
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn each_element_type_round_trips() {
    for (kind, name) in [(ElementType::F32, "F32"), (ElementType::F16, "F16"), (ElementType::Bf16, "BF16")] {
        let folder = tempfile::tempdir().unwrap();
        write_hf_tensors(folder.path(), &config(), kind, &shapes(), u64::MAX, &mut fetch).unwrap();
        check_content(folder.path());
        assert_eq!(files(folder.path()), ["config.json", "model.safetensors"]);
        let inspected = inspect_model(folder.path()).unwrap();
        assert_eq!(inspected.parameters(), 48 + 48 + 6);
        assert!(inspected.tensors.iter().all(|tensor| tensor.kind == name));
        assert_eq!(inspected.config["dtype"], kind.torch_name());
        assert!(inspected.config.get("torch_dtype").is_none());
    }
}

#[test]
fn values_are_rounded_to_nearest_even() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = [NamedShape { name: "x".to_owned(), shape: vec![4] }];
    let values = [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, 1.0 + 1.1 / 256.0, -3.0e38];
    let mut fetch = |_: &str| Ok(values.to_vec());
    write_hf_tensors(folder.path(), &json!({}), ElementType::Bf16, &shapes, u64::MAX, &mut fetch).unwrap();
    let read = FolderWeights::open(folder.path()).unwrap().load("x").unwrap();
    assert_eq!(read[..3], [1.0, 1.0 + 4.0 / 256.0, 1.0 + 2.0 / 256.0]);
    assert!((read[3] / -3.0e38 - 1.0).abs() < 1.0 / 256.0);
}

#[test]
fn shards_replace_a_single_file_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), ElementType::F32, u64::MAX);
    write(folder.path(), ElementType::F32, 216);
    check_content(folder.path());
    let expected = [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ];
    assert_eq!(files(folder.path()), expected);
    let index: Json = serde_json::from_slice(&fs::read(folder.path().join(expected[3])).unwrap()).unwrap();
    assert_eq!(index["metadata"]["total_size"], 4 * (48 + 48 + 6));
    write(folder.path(), ElementType::F16, 0);
    assert_eq!(files(folder.path()).len(), 5, "a shard for each tensor");
    check_content(folder.path());
    write(folder.path(), ElementType::F32, u64::MAX);
    assert_eq!(files(folder.path()), ["config.json", "model.safetensors"]);
    check_content(folder.path());
}

#[test]
fn a_failed_write_leaves_the_older_file() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), ElementType::F32, u64::MAX);
    let mut fails = |name: &str| {
        if name == "model.norm.weight" { Ok(vec![f32::NAN; 6]) } else { fetch(name) }
    };
    let error =
        write_hf_tensors(folder.path(), &config(), ElementType::F16, &shapes(), u64::MAX, &mut fails).unwrap_err();
    assert!(error.to_string().contains("tensor \"model.norm.weight\" holds NaN"), "{error}");
    check_content(folder.path());
    assert_eq!(files(folder.path()), ["config.json", "model.safetensors"]);

    let mut short = |name: &str| fetch(name).map(|values| values[1..].to_vec());
    let error =
        write_hf_tensors(folder.path(), &config(), ElementType::F32, &shapes(), u64::MAX, &mut short).unwrap_err();
    assert!(error.to_string().contains("of shape [8, 6] was given 47 values"), "{error}");
    let mut large = |name: &str| fetch(name).map(|values| values.into_iter().map(|value| value * 1e4).collect());
    let error =
        write_hf_tensors(folder.path(), &config(), ElementType::F16, &shapes(), u64::MAX, &mut large).unwrap_err();
    assert!(error.to_string().contains("which float16 cannot store\n  fix: write another element type"), "{error}");
    check_content(folder.path());
}

/// Opens and loads all of a folder that was damaged; the folder's own name is taken out of the error.
fn error_after(largest_shard: u64, damage: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), ElementType::F32, largest_shard);
    damage(folder.path());
    let opened = FolderWeights::open(folder.path())
        .and_then(|weights| weights.names().iter().try_for_each(|name| weights.load(name).map(drop)));
    opened.unwrap_err().to_string().replace(&folder.path().display().to_string(), "MODEL")
}

#[track_caller]
fn check_error(largest_shard: u64, damage: impl FnOnce(&Path), parts: &[&str]) {
    let error = error_after(largest_shard, damage);
    for part in parts.iter().chain(&["MODEL", "\n  fix: "]) {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Replaces text in a file's header by text of the same length.
fn replace(path: &Path, old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    edit(path, |bytes| {
        let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).unwrap();
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    });
}

#[test]
fn errors_of_a_single_file_name_file_tensor_and_fix() {
    let single = "model.safetensors";
    let whole = u64::MAX;
    check_error(whole, |folder| fs::remove_file(folder.join(single)).unwrap(), &["neither model.safetensors nor"]);
    check_error(
        whole,
        |folder| fs::rename(folder.join(single), folder.join("pytorch_model.bin")).unwrap(),
        &["weights are in pytorch_model.bin", "save_pretrained"],
    );
    check_error(
        whole,
        |folder| fs::rename(folder.join(single), folder.join("x.gguf")).unwrap(),
        &["but x.gguf", "name the file itself: MODEL/x.gguf"],
    );
    check_error(
        whole,
        |folder| edit(&folder.join(single), |bytes| bytes.truncate(bytes.len() - 1)),
        &["MODEL/model.safetensors: truncated", "tensor \"model.norm.weight\" is cut", "fetch the file again"],
    );
    check_error(whole, |folder| edit(&folder.join(single), |bytes| bytes.truncate(100)), &["truncated: its header"]);
    check_error(whole, |folder| edit(&folder.join(single), |bytes| bytes.truncate(3)), &["shorter than 8 bytes"]);
    check_error(whole, |folder| edit(&folder.join(single), |bytes| bytes.push(0)), &["1 bytes too many"]);
    check_error(whole, |folder| edit(&folder.join(single), |bytes| bytes[8] = b'x'), &["header is broken"]);
    check_error(whole, |folder| edit(&folder.join(single), |bytes| bytes[6] = 1), &["not a safetensors file"]);
    check_error(
        whole,
        |folder| replace(&folder.join(single), "[8,6]", "[8,7]"),
        &["MODEL/model.safetensors", "header is broken"],
    );
    check_error(
        whole,
        |folder| {
            replace(&folder.join(single), "{\"dtype\":\"F32\",\"shape\":[8,6]", "{\"dtype\":\"I32\",\"shape\":[8,6]");
        },
        &["tensor \"model.embed_tokens.weight\" has element type I32", "convert the checkpoint to bfloat16"],
    );
    check_error(
        whole,
        |folder| {
            edit(&folder.join(single), |bytes| {
                let at = bytes.len() - 8;
                bytes[at..at + 4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
            });
        },
        &["tensor \"model.norm.weight\" of shape [6] holds -inf at element 4", "use an earlier one"],
    );
}

#[test]
fn errors_of_shards_name_shard_tensor_and_fix() {
    let (index, second) = ("model.safetensors.index.json", "model-00002-of-00002.safetensors");
    check_error(
        216,
        |folder| fs::remove_file(folder.join(second)).unwrap(),
        &["MODEL/model.safetensors.index.json: names the shard model-00002-of-00002.safetensors", "fetch model-00002"],
    );
    check_error(200, |folder| fs::write(folder.join(index), "{").unwrap(), &["not a shard index"]);
    check_error(216, |folder| fs::write(folder.join(index), "{\"weight_map\":{}}").unwrap(), &["weight_map is empty"]);
    check_error(
        216,
        |folder| fs::write(folder.join(index), "{\"weight_map\":{\"a\":\"../secret\"}}").unwrap(),
        &["sends tensor \"a\" to \"../secret\"", "not a plain file name"],
    );
    check_error(
        216,
        |folder| replace(&folder.join(index), "model.norm.weight", "model.norm.wrong!"),
        &["MODEL/model-00002-of-00002.safetensors: tensor \"model.norm.wrong!\" is missing"],
    );
    check_error(
        216,
        |folder| edit(&folder.join(second), |bytes| bytes.truncate(bytes.len() - 1)),
        &["MODEL/model-00002-of-00002.safetensors: truncated"],
    );
}

#[test]
fn a_missing_tensor_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), ElementType::F32, u64::MAX);
    let error = FolderWeights::open(folder.path()).unwrap().load("lm_head.weight").unwrap_err().to_string();
    assert!(error.contains("model.safetensors: tensor \"lm_head.weight\" is missing"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let target = blocked.join("model");
    let error = write_hf_tensors(&target, &config(), ElementType::F32, &shapes(), u64::MAX, &mut fetch)
        .unwrap_err()
        .to_string();
    assert!(error.contains("file/model: cannot be made"), "{error}");
}
