//! What is already on this machine: Camelid's cache and Hugging Face's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value as Json, json};

use super::names::Known;
use super::{Pulled, Source, verify};

/// Beside the files of a model in Camelid's cache: where they come from, their sizes and checksums.
const RECORD: &str = "pulled.json";

/// `$CAMELID_HOME`, or `camelid` in the user's cache folder.
pub(super) fn camelid_home() -> anyhow::Result<PathBuf> {
    match variable("CAMELID_HOME") {
        Some(home) => Ok(home),
        None => Ok(user_cache()?.join("camelid")),
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn user_cache() -> anyhow::Result<PathBuf> {
    variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").or_else(|| variable("USERPROFILE")).map(|home| home.join(".cache")))
        .context("there is no home folder to keep models in\n  fix: set CAMELID_HOME to a folder")
}

/// Hugging Face's cache, where its own libraries look for it.
pub(super) fn hub_cache() -> PathBuf {
    variable("HF_HUB_CACHE")
        .or_else(|| variable("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| variable("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| user_cache().ok().map(|cache| cache.join("huggingface/hub")))
        .unwrap_or_default()
}

/// A file of a model, as the record states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordedFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// The checksum the source stated, compared when the file was fetched.
    pub(super) sha256: Option<String>,
}

/// Writes the record into a folder that is about to enter the cache.
pub(super) fn write_record(folder: &Path, origin: &str, files: &[RecordedFile]) -> anyhow::Result<()> {
    let files: Vec<Json> =
        files.iter().map(|file| json!({ "name": file.name, "bytes": file.bytes, "sha256": file.sha256 })).collect();
    let text = serde_json::to_string_pretty(&json!({ "origin": origin, "files": files }))?;
    std::fs::write(folder.join(RECORD), text + "\n").context("the cache cannot be written")
}

/// Gives a filled folder its place in the cache. If another process was faster, its folder is used.
pub(super) fn install(filled: &Path, place: &Path) -> anyhow::Result<()> {
    match std::fs::rename(filled, place) {
        Ok(()) => Ok(()),
        Err(_) if camelid_entry(place).is_ok() => Ok(()),
        // What is there is broken: a record is missing or sizes disagree.
        Err(_) if place.is_dir() => std::fs::remove_dir_all(place)
            .and_then(|()| std::fs::rename(filled, place))
            .with_context(|| format!("{} is broken and cannot be replaced\n  fix: remove it", place.display())),
        Err(error) => Err(error).with_context(|| format!("{} cannot be made", place.display())),
    }
}

/// The model in a folder of Camelid's cache; sizes are compared with the record.
pub(super) fn camelid_entry(place: &Path) -> anyhow::Result<Pulled> {
    if !place.exists() {
        bail!("not there");
    }
    let text = std::fs::read(place.join(RECORD)).with_context(|| format!("has no {RECORD}; it will be replaced"))?;
    let record: Json = serde_json::from_slice(&text).with_context(|| format!("{RECORD} is broken"))?;
    let mut bytes = 0;
    for file in record["files"].as_array().into_iter().flatten() {
        let name = file["name"].as_str().with_context(|| format!("{RECORD} lists a file without a name"))?;
        bytes += verify::check_file(&place.join(name), file["bytes"].as_u64(), None)?;
    }
    let path = model_in(place).context("holds no model")?;
    Ok(Pulled { path, source: Source::CamelidCache, sha256_checked: false, bytes })
}

/// A folder with a `config.json` is the model; else its only GGUF file is.
pub(super) fn model_in(folder: &Path) -> Option<PathBuf> {
    if folder.join("config.json").is_file() {
        return Some(folder.to_owned());
    }
    let mut files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "gguf"))
}

/// The model in Hugging Face's cache, if all its weights are there.
pub(super) fn hub_entry(cache: &Path, known: &Known) -> anyhow::Result<Pulled> {
    let repository = cache.join(format!("models--{}--{}", known.organisation, known.name));
    if !repository.is_dir() {
        bail!("not there");
    }
    let snapshots = repository.join("snapshots");
    let main = std::fs::read_to_string(repository.join("refs/main")).ok().map(|commit| snapshots.join(commit.trim()));
    let others = std::fs::read_dir(&snapshots).into_iter().flatten().flatten().map(|entry| entry.path());
    let others: BTreeSet<PathBuf> = others.collect();
    let mut reason = None;
    for snapshot in main.into_iter().chain(others) {
        match check_complete(&snapshot) {
            Ok(()) => {
                let bytes = verify::total_bytes(&snapshot);
                return Ok(Pulled { path: snapshot, source: Source::HuggingFaceCache, sha256_checked: false, bytes });
            }
            // The first is the one that `main` points to.
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    Err(reason.unwrap_or_else(|| anyhow::anyhow!("its folder is empty")))
}

/// Configuration, tokenizer and all weights are there.
fn check_complete(snapshot: &Path) -> anyhow::Result<()> {
    for name in ["config.json", "tokenizer.json"] {
        if !snapshot.join(name).is_file() {
            bail!("incomplete: {name} is missing");
        }
    }
    if snapshot.join("model.safetensors").is_file() {
        return Ok(());
    }
    let index = std::fs::read(snapshot.join("model.safetensors.index.json"))
        .context("incomplete: model.safetensors is missing")?;
    let index: Json = serde_json::from_slice(&index).context("model.safetensors.index.json is broken")?;
    let shards: BTreeSet<&str> =
        index["weight_map"].as_object().into_iter().flat_map(|map| map.values().filter_map(Json::as_str)).collect();
    match shards.iter().find(|shard| !snapshot.join(shard).is_file()) {
        Some(missing) => bail!("incomplete: {missing} is missing"),
        None if shards.is_empty() => bail!("model.safetensors.index.json names no shards"),
        None => Ok(()),
    }
}
