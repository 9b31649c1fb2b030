//! Opening a model, whatever form it has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use camelid_text::TextAssets;
use serde_json::Value as Json;

use super::adapter::{ADAPTER_CONFIG, read_peft_adapter};
use super::gguf::GgufFile;
use super::hf_folder::{CONFIG, FolderWeights, read_json};
use super::merged::MergedWeights;
use super::shared_file::file_error;
use super::vocabulary;
use crate::value_head::SCORE;
use crate::{ArchConfig, LoadedModel, ModelError, WeightSource};

/// Constants that older checkpoints stored beside the weights.
const BUFFERS: [&str; 3] = ["rotary_emb.inv_freq", "attention.bias", "attention.masked_bias"];

/// The form of a model on disk.
pub(crate) enum Form {
    Gguf,
    Folder,
    Adapter,
}

impl Form {
    pub(crate) fn of(path: &Path) -> Result<Self, ModelError> {
        if path.is_dir() {
            return if path.join(ADAPTER_CONFIG).is_file() { Ok(Self::Adapter) } else { Ok(Self::Folder) };
        }
        let fix = "name a Hugging Face folder, a .gguf file or a folder with a PEFT adapter";
        if !path.exists() {
            return Err(file_error(path, "does not exist", fix));
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gguf") => Ok(Self::Gguf),
            _ => Err(file_error(path, "is not a model", fix)),
        }
    }
}

/// Opens a Hugging Face folder, a GGUF file, or a PEFT adapter with its base model if that is a path. Headers and the
/// vocabulary are read; weights only when they are asked for.
pub fn load_model(path: &Path) -> Result<LoadedModel, ModelError> {
    load_model_with(path, &mut |base| {
        Err(ModelError::Invalid {
            reason: format!("{}: the base model of this adapter, {base:?}, is not a path", path.display()),
            fix: format!(
                "fetch it (camelid pull {base}) and set base_model_name_or_path in {ADAPTER_CONFIG} to its path"
            ),
        })
    })
}

/// As `load_model`; `resolve` finds base models that are named rather than given as a path.
pub fn load_model_with(
    path: &Path,
    resolve: &mut dyn FnMut(&str) -> Result<PathBuf, ModelError>,
) -> Result<LoadedModel, ModelError> {
    match Form::of(path)? {
        Form::Gguf => load_gguf(path),
        Form::Folder => load_folder(path),
        Form::Adapter => load_adapter(path, resolve),
    }
}

fn load_gguf(path: &Path) -> Result<LoadedModel, ModelError> {
    let file = GgufFile::open(path)?;
    let config = file.config().clone();
    let text = TextAssets::from_gguf(&file.vocabulary()?).map_err(|error| {
        file_error(path, format!("its tokenizer cannot be rebuilt: {error}"), "use the model's Hugging Face folder")
    })?;
    assemble(path, config, Box::new(file), text)
}

fn load_folder(path: &Path) -> Result<LoadedModel, ModelError> {
    let config_path = path.join(CONFIG);
    if !config_path.is_file() {
        return Err(file_error(path, format!("has no {CONFIG}"), "name a folder with a complete model"));
    }
    let config = read_json(&config_path)?;
    let weights = FolderWeights::open(path)?;
    let text = TextAssets::from_folder(path).map_err(|error| {
        let error = error.to_string();
        let reason = error.lines().next().unwrap_or_default();
        file_error(path, format!("its tokenizer cannot be read: {reason}"), "fetch the tokenizer files of this model")
    })?;
    assemble(path, config, Box::new(weights), text)
}

fn load_adapter(
    path: &Path,
    resolve: &mut dyn FnMut(&str) -> Result<PathBuf, ModelError>,
) -> Result<LoadedModel, ModelError> {
    let adapter = read_peft_adapter(path)?;
    let base_path = base_path(path, &adapter.base, resolve)?;
    if matches!(Form::of(&base_path)?, Form::Adapter) {
        return Err(file_error(
            &path.join(ADAPTER_CONFIG),
            format!("its base model, {}, is an adapter too", base_path.display()),
            "merge the first adapter into its base (camelid export) and name the result",
        ));
    }
    let base = load_model_with(&base_path, resolve)?;
    let source = format!("{} on {}", path.display(), base.source);
    // An adapter trained with another chat template or tokenizer carries them.
    let text = if path.join("tokenizer.json").is_file() {
        TextAssets::from_folder(path).map_err(|error| {
            file_error(path, format!("its tokenizer cannot be read: {error}"), "remove it to use the base model's")
        })?
    } else {
        base.text
    };
    vocabulary::check(path, &text, &base.config, base.arch.vocabulary)?;
    let weights = Box::new(MergedWeights::new(base.weights, adapter, path)?);
    Ok(LoadedModel { arch: base.arch, config: base.config, weights, text, source })
}

/// A base is a path (as it stands, or seen from the adapter's folder) or a name.
pub(crate) fn base_path(
    folder: &Path,
    base: &str,
    resolve: &mut dyn FnMut(&str) -> Result<PathBuf, ModelError>,
) -> Result<PathBuf, ModelError> {
    if base.is_empty() {
        return Err(file_error(
            &folder.join(ADAPTER_CONFIG),
            "does not name the base model",
            "set base_model_name_or_path to the model that was adapted",
        ));
    }
    let direct = PathBuf::from(base);
    if direct.exists() {
        return Ok(direct);
    }
    let beside = folder.join(base);
    if beside.exists() { Ok(beside) } else { resolve(base) }
}

fn assemble(
    path: &Path,
    config: Json,
    weights: Box<dyn WeightSource + Send>,
    text: TextAssets,
) -> Result<LoadedModel, ModelError> {
    let arch = ArchConfig::from_hf(&config).map_err(|error| match error {
        ModelError::Invalid { reason, fix } => ModelError::File { path: path.to_owned(), reason, fix },
        named @ ModelError::File { .. } => named,
    })?;
    check_tensors(path, &arch, weights.as_ref())?;
    vocabulary::check(path, &text, &config, arch.vocabulary)?;
    Ok(LoadedModel { arch, config, weights, text, source: path.display().to_string() })
}

/// Every tensor of the architecture is there in its shape, and nothing is there that it would not use.
fn check_tensors(path: &Path, arch: &ArchConfig, weights: &dyn WeightSource) -> Result<(), ModelError> {
    let expected: BTreeMap<String, Vec<usize>> = arch.tensors().into_iter().collect();
    for (name, shape) in &expected {
        let (reason, fix) = match weights.shape(name) {
            Some(found) if found == *shape => continue,
            Some(found) => (
                format!("tensor {name:?} has shape {found:?}, but config.json makes it {shape:?}"),
                "use the config.json that belongs to these weights",
            ),
            None => (
                format!("tensor {name:?} of a {} model is missing", arch.model_type),
                "use a complete checkpoint whose config.json belongs to it",
            ),
        };
        return Err(file_error(path, reason, fix));
    }
    let stray = weights.names().into_iter().find(|name| {
        let redundant_head = arch.tied && name == arch.head_name();
        let value_head = name == SCORE;
        !expected.contains_key(name)
            && !redundant_head
            && !value_head
            && !BUFFERS.iter().any(|buffer| name.ends_with(buffer))
    });
    match stray {
        None => Ok(()),
        Some(name) => Err(file_error(
            path,
            format!("tensor {name:?} has no place in a {} model with this config.json", arch.model_type),
            "this variant of the architecture is not supported, or config.json belongs to another model",
        )),
    }
}
