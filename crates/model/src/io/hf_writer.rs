//! Writing a Hugging Face folder.

use std::fs::File;
use std::path::Path;

use camelid_text::TextAssets;
use serde_json::{Map, Value as Json, json};

use super::atomic::{make_folder, write_json};
use super::element_type::ElementType;
use super::hf_folder::{CONFIG, INDEX, SINGLE};
use super::shared_file::file_error;
use super::write_safetensors::{NamedShape, write_safetensors};
use crate::{ArchConfig, ModelError};

/// Files above this size are split, as `transformers` does.
pub(crate) const LARGEST_SHARD: u64 = 5_000_000_000;

/// Writes `config.json` and the weights into `folder`, which may hold an older model. The configuration is written
/// last: a folder that has one is complete.
///
/// `fetch` is asked for each of `arch.tensors()` once, in their order, in the checkpoint's layout.
pub fn write_hf_model(
    folder: &Path,
    arch: &ArchConfig,
    config: &Json,
    kind: ElementType,
    fetch: &mut dyn FnMut(&str) -> Result<Vec<f32>, ModelError>,
) -> Result<(), ModelError> {
    write_hf_tensors(folder, config, kind, &NamedShape::list(arch), LARGEST_SHARD, fetch)
}

/// As `write_hf_model`, for any list of tensors, with no file of more than `largest_shard` bytes unless it holds a
/// single tensor.
pub fn write_hf_tensors(
    folder: &Path,
    config: &Json,
    kind: ElementType,
    tensors: &[NamedShape],
    largest_shard: u64,
    fetch: &mut dyn FnMut(&str) -> Result<Vec<f32>, ModelError>,
) -> Result<(), ModelError> {
    make_folder(folder)?;
    let bytes_of = |tensor: &NamedShape| (tensor.elements() * kind.bytes()) as u64;
    let shards = split(tensors, largest_shard, bytes_of);
    let names: Vec<String> = match shards.len() {
        0 | 1 => vec![SINGLE.to_owned()],
        count => (1..=count).map(|shard| format!("model-{shard:05}-of-{count:05}.safetensors")).collect(),
    };
    let mut weight_map = Map::new();
    for (name, shard) in names.iter().zip(&shards) {
        write_safetensors(&folder.join(name), kind, shard, fetch)?;
        weight_map.extend(shard.iter().map(|tensor| (tensor.name.clone(), json!(name))));
    }
    if names.len() > 1 {
        let total: u64 = tensors.iter().map(bytes_of).sum();
        let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
        write_json(&folder.join(INDEX), &index)?;
    }
    remove_stale_weights(folder, &names)?;

    let mut config = config.clone();
    if let Some(fields) = config.as_object_mut() {
        // The older name of the same field must not contradict it.
        fields.remove("torch_dtype");
        fields.insert("dtype".to_owned(), json!(kind.torch_name()));
    }
    write_json(&folder.join(CONFIG), &config)
}

/// Writes tokenizer, chat template and generation settings beside the weights.
pub fn write_text(folder: &Path, text: &TextAssets) -> Result<(), ModelError> {
    let fail = |error: &dyn std::fmt::Display| {
        let fix = "check that the folder may be written to and the disk has space";
        file_error(folder, format!("the tokenizer cannot be written: {error}"), fix)
    };
    make_folder(folder)?;
    let work = folder.join(format!(".text.{}.partial", std::process::id()));
    make_folder(&work)?;
    let written =
        text.write(&work).map_err(|error| fail(&error)).and_then(|()| move_files(&work, folder).map_err(|e| fail(&e)));
    // Best effort: after success the folder is empty, after an error that error is what matters.
    drop(std::fs::remove_dir_all(&work));
    written
}

/// Gives complete files their place.
fn move_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        File::open(entry.path())?.sync_all()?;
        std::fs::rename(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Consecutive tensors while they fit.
fn split(tensors: &[NamedShape], largest: u64, bytes_of: impl Fn(&NamedShape) -> u64) -> Vec<&[NamedShape]> {
    let mut shards = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, tensor) in tensors.iter().enumerate() {
        if index > start && bytes + bytes_of(tensor) > largest {
            shards.push(&tensors[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += bytes_of(tensor);
    }
    if start < tensors.len() || shards.is_empty() {
        shards.push(&tensors[start..]);
    }
    shards
}

/// Removes weight files of an earlier model that was split differently: readers prefer an index to a single file.
fn remove_stale_weights(folder: &Path, written: &[String]) -> Result<(), ModelError> {
    let fail = |error: std::io::Error| {
        file_error(folder, format!("an older model's files cannot be removed: {error}"), "remove the folder first")
    };
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_shard = name.starts_with("model-") && name.ends_with(".safetensors");
        let stale = (is_shard || name == SINGLE) && !written.contains(&name) || name == INDEX && written.len() == 1;
        if stale {
            std::fs::remove_file(entry.path()).map_err(fail)?;
        }
    }
    Ok(())
}
