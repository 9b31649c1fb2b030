//! Whole models: opened in every form, written in every form, and refused when their parts disagree.

use std::fs;
use std::path::{Path, PathBuf};

use camelid_model::io::gguf::{GgufFile, GgufType, write_gguf};
use camelid_model::io::{ElementType, load_model_with, write_hf_model, write_peft_adapter, write_text};
use camelid_model::{LoadedModel, LowRank, ModelError, StateTensor, inspect_model, load_model};
use serde_json::{Value as Json, json};

const FAMILIES: [&str; 6] = ["llama", "qwen2", "qwen3", "gemma2", "gemma3", "gptneox"];

fn golden(family: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/io_golden/tiny-{family}.gguf"))
}

fn open(family: &str) -> LoadedModel {
    load_model(&golden(family)).unwrap()
}

fn write_folder(folder: &Path, model: &LoadedModel, kind: ElementType) {
    write_hf_model(folder, &model.arch, &model.config, kind, &mut |name| model.weights.load(name)).unwrap();
    write_text(folder, &model.text).unwrap();
}

#[track_caller]
fn check_same(a: &LoadedModel, b: &LoadedModel, tolerance: f32) {
    assert_eq!(a.arch, b.arch);
    assert_eq!(a.weights.names(), b.weights.names());
    for name in a.weights.names() {
        let (a, b) = (a.weights.load(&name).unwrap(), b.weights.load(&name).unwrap());
        assert_eq!(a.len(), b.len(), "{name}");
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= tolerance), "{name}");
    }
}

#[test]
fn gguf_to_folder_and_back_keeps_architecture_and_weights() {
    for family in FAMILIES {
        let model = open(family);
        let folder = tempfile::tempdir().unwrap();
        // Multiples of 1/64 below 2 are exact in every element type.
        for kind in [ElementType::F32, ElementType::F16, ElementType::Bf16] {
            write_folder(folder.path(), &model, kind);
            let read = load_model(folder.path()).unwrap();
            check_same(&model, &read, 0.0);
            assert_eq!(read.text.chat_template, model.text.chat_template);
        }
        for (kind, tolerance) in [(GgufType::F32, 0.0), (GgufType::F16, 0.0), (GgufType::Q8_0, 0.009)] {
            let path = folder.path().join("written.gguf");
            let mut fetch = |name: &str| model.weights.load(name);
            write_gguf(&path, &model.arch, &model.config, &model.text, kind, &mut fetch).unwrap();
            let read = load_model(&path).unwrap();
            check_same(&model, &read, tolerance);
            let (ours, theirs) =
                (GgufFile::open(&path).unwrap().vocabulary(), GgufFile::open(&golden(family)).unwrap().vocabulary());
            let (mut ours, theirs) = (ours.unwrap(), theirs.unwrap());
            assert_eq!(ours.add_eos, Some(false), "stated by us, left out by the other writer");
            ours.add_eos = None;
            assert_eq!(ours, theirs, "{family}");
        }
    }
}

#[test]
fn q8_0_is_used_where_rows_divide_into_blocks() {
    let model = open("llama");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut fetch = |name: &str| model.weights.load(name);
    write_gguf(&path, &model.arch, &model.config, &model.text, GgufType::Q8_0, &mut fetch).unwrap();
    let inspected = inspect_model(&path).unwrap();
    let kind = |name: &str| &inspected.tensors.iter().find(|tensor| tensor.name == name).unwrap().kind;
    assert_eq!(kind("model.layers.0.self_attn.o_proj.weight"), "Q8_0");
    assert_eq!(kind("model.layers.0.self_attn.q_proj.weight"), "F16", "rows of 16");
    assert_eq!(kind("model.norm.weight"), "F32");
}

#[test]
fn a_scaling_stated_the_newer_way_is_written_to_gguf() {
    let mut model = open("llama");
    let fields = model.config.as_object_mut().unwrap();
    let mut parameters = fields.remove("rope_scaling").unwrap();
    parameters["rope_theta"] = fields.remove("rope_theta").unwrap();
    fields.insert("rope_parameters".to_owned(), parameters);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut fetch = |name: &str| model.weights.load(name);
    write_gguf(&path, &model.arch, &model.config, &model.text, GgufType::F32, &mut fetch).unwrap();
    check_same(&model, &load_model(&path).unwrap(), 0.0);
}

const MODULE: &str = "model.layers.1.self_attn.q_proj";

/// An adapter for one module of tiny-llama, whose query weight is [32, 16].
fn write_adapter(folder: &Path, base: &str, module: &str, outputs: usize) {
    let low_rank = LowRank { rank: 2, alpha: 4.0, rslora: false, dropout: 0.0, targets: vec!["q_proj".to_owned()] };
    let factor = |suffix: &str, shape: [usize; 2]| StateTensor {
        name: format!("{module}.{suffix}.weight"),
        shape: shape.to_vec(),
        values: (0..shape[0] * shape[1]).map(|index| (index % 5) as f32 - 2.0).collect(),
    };
    write_peft_adapter(folder, &low_rank, base, &[factor("lora_A", [2, 16]), factor("lora_B", [outputs, 2])]).unwrap();
}

#[test]
fn an_adapter_is_merged_into_its_base() {
    let base = open("llama");
    let folder = tempfile::tempdir().unwrap();
    write_adapter(folder.path(), golden("llama").to_str().unwrap(), MODULE, 32);
    let merged = load_model(folder.path()).unwrap();
    assert_eq!(merged.arch, base.arch);
    let weight = format!("{MODULE}.weight");
    for name in base.weights.names() {
        let (before, after) = (base.weights.load(&name).unwrap(), merged.weights.load(&name).unwrap());
        assert_eq!(before == after, name != weight, "{name}");
    }
    let (before, after) = (base.weights.load(&weight).unwrap(), merged.weights.load(&weight).unwrap());
    let value = |index: usize| (index % 5) as f32 - 2.0;
    let (row, column) = (7, 3);
    let product: f32 = (0..2).map(|rank| value(row * 2 + rank) * value(rank * 16 + column)).sum();
    assert!((after[row * 16 + column] - before[row * 16 + column] - 2.0 * product).abs() < 1e-6);
    assert!(merged.source.contains(" on "), "{}", merged.source);
}

#[test]
fn a_base_may_be_named_or_lie_beside_the_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = folder.path().join("adapter");
    write_adapter(&adapter, "tiny", MODULE, 32);
    let error = load_model(&adapter).err().unwrap().to_string();
    assert!(error.contains("the base model of this adapter, \"tiny\", is not a path\n  fix: "), "{error}");
    let mut asked = Vec::new();
    let mut resolve = |name: &str| {
        asked.push(name.to_owned());
        Ok(golden("llama"))
    };
    load_model_with(&adapter, &mut resolve).unwrap();
    assert_eq!(asked, ["tiny"]);
    fs::copy(golden("llama"), adapter.join("base.gguf")).unwrap();
    write_adapter(&adapter, "base.gguf", MODULE, 32);
    load_model(&adapter).unwrap();
}

#[track_caller]
fn check_error(result: Result<LoadedModel, ModelError>, parts: &[&str]) {
    let error = result.err().expect("an error").to_string();
    for part in parts.iter().chain(&["\n  fix: "]) {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn adapters_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = golden("llama");
    let base = base.to_str().unwrap();
    write_adapter(folder.path(), base, MODULE, 31);
    check_error(
        load_model(folder.path()),
        &["changes model.layers.1.self_attn.q_proj by a matrix of [31, 16]", "[32, 16]"],
    );
    write_adapter(folder.path(), base, "model.layers.9.self_attn.q_proj", 32);
    check_error(load_model(folder.path()), &["model.layers.9.self_attn.q_proj, which the base model does not have"]);
    write_adapter(folder.path(), "", MODULE, 32);
    check_error(load_model(folder.path()), &["adapter_config.json: does not name the base model"]);
    write_adapter(folder.path(), folder.path().to_str().unwrap(), MODULE, 32);
    check_error(load_model(folder.path()), &["is an adapter too"]);
}

/// A folder of tiny-llama after a change to one of its JSON files.
fn folder_with(file: &str, change: impl FnOnce(&mut Json)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), &open("llama"), ElementType::F32);
    let path = folder.path().join(file);
    let mut json: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
    folder
}

#[test]
fn folders_whose_parts_disagree_are_refused() {
    let changed = folder_with("config.json", |config| config["num_hidden_layers"] = json!(3));
    check_error(load_model(changed.path()), &["tensor \"model.layers.2.", "of a llama model is missing"]);

    let changed = folder_with("config.json", |config| config["num_hidden_layers"] = json!(1));
    check_error(load_model(changed.path()), &["tensor \"model.layers.1.", "has no place in a llama model"]);

    let changed = folder_with("config.json", |config| config["intermediate_size"] = json!(32));
    check_error(load_model(changed.path()), &["has shape [16, 24], but config.json makes it [16, 32]"]);

    let changed = folder_with("config.json", |config| config["tie_word_embeddings"] = json!(false));
    check_error(load_model(changed.path()), &["tensor \"lm_head.weight\" of a llama model is missing"]);

    let changed = folder_with("tokenizer.json", |tokenizer| {
        let token = json!({ "id": 24, "content": "<|new|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true });
        tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
    });
    let parts = ["the vocabularies disagree: token \"<|new|>\" has id 24, but the embedding has 24 rows"];
    check_error(load_model(changed.path()), &parts);

    let changed = folder_with("tokenizer.json", |tokenizer| tokenizer["model"]["vocab"]["zz"] = json!(30));
    check_error(load_model(changed.path()), &["token \"zz\" has id 30, but the embedding has 24 rows"]);

    let changed = folder_with("config.json", |_| ());
    fs::remove_file(changed.path().join("tokenizer.json")).unwrap();
    check_error(load_model(changed.path()), &["tokenizer.json"]);
    fs::remove_file(changed.path().join("config.json")).unwrap();
    check_error(load_model(changed.path()), &["has no config.json"]);
}

#[test]
fn gemma_3_without_a_row_for_its_image_token_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), &open("gemma3"), ElementType::F32);
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let token = json!({ "id": 24, "content": "<image_soft_token>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true });
    tokenizer["added_tokens"].as_array_mut().unwrap().push(token);
    fs::write(&path, tokenizer.to_string()).unwrap();
    load_model(folder.path()).unwrap();
}

#[test]
fn paths_that_are_no_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    check_error(load_model(&folder.path().join("nothing")), &["nothing: does not exist"]);
    let file = folder.path().join("weights.bin");
    fs::write(&file, "x").unwrap();
    check_error(load_model(&file), &["weights.bin: is not a model"]);
    check_error(load_model(folder.path()), &["has no config.json"]);
}
