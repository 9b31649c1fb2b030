//! Weights of a Hugging Face folder: one safetensors file, or shards and their index.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::element_type::ElementType;
use super::safetensors_file::SafetensorsFile;
use super::safetensors_index;
use super::shared_file::file_error;
use crate::{ModelError, WeightSource};

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
pub(crate) const CONFIG: &str = "config.json";

/// The open weight files of a folder.
#[derive(Debug)]
pub struct FolderWeights {
    files: Vec<SafetensorsFile>,
    /// Tensor name to the index in `files`.
    place: BTreeMap<String, usize>,
}

/// Reads a JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Json, ModelError> {
    let bytes = std::fs::read(path)
        .map_err(|error| file_error(path, format!("cannot be read: {error}"), "use a complete model folder"))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| file_error(path, format!("is not JSON: {error}"), "fetch the file again"))
}

impl FolderWeights {
    /// Opens the weights of a folder and reads their headers.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let index = folder.join(INDEX);
        let single = folder.join(SINGLE);
        if index.is_file() {
            return Self::sharded(folder, &index);
        }
        if single.is_file() {
            return Ok(Self::from_files(vec![SafetensorsFile::open(&single)?]));
        }
        let other = std::fs::read_dir(folder).into_iter().flatten().flatten().find_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let extension = Path::new(&name).extension()?.to_str()?.to_owned();
            matches!(extension.as_str(), "bin" | "pt" | "pth" | "safetensors" | "gguf").then_some((name, extension))
        });
        Err(match other {
            Some((name, extension)) if extension == "gguf" => file_error(
                folder,
                format!("has no {SINGLE}, but {name}"),
                format!("name the file itself: {}", folder.join(name).display()),
            ),
            Some((name, _)) => file_error(
                folder,
                format!("has neither {SINGLE} nor {INDEX}; its weights are in {name}"),
                "convert them (in transformers: from_pretrained(folder).save_pretrained(new_folder))",
            ),
            None => file_error(
                folder,
                format!("has neither {SINGLE} nor {INDEX}"),
                "name a folder with a complete model, or fetch the weights (camelid pull)",
            ),
        })
    }

    fn from_files(files: Vec<SafetensorsFile>) -> Self {
        let place = files
            .iter()
            .enumerate()
            .flat_map(|(index, file)| file.names().into_iter().map(move |name| (name, index)))
            .collect();
        Self { files, place }
    }

    fn sharded(folder: &Path, index_path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(index_path)
            .map_err(|error| file_error(index_path, format!("cannot be read: {error}"), "fetch the file again"))?;
        let index = safetensors_index::parse(&bytes).map_err(|error| error.at(index_path))?;
        let names = index.files();
        let mut files = Vec::with_capacity(names.len());
        for name in &names {
            let path = folder.join(name);
            if !path.is_file() {
                return Err(file_error(
                    index_path,
                    format!("names the shard {name}, which is not in the folder"),
                    format!("fetch {name} into {}", folder.display()),
                ));
            }
            files.push(SafetensorsFile::open(&path)?);
        }
        let mut place = BTreeMap::new();
        for (tensor, shard) in &index.shards {
            let file = names.binary_search(&shard.as_str()).unwrap_or_default();
            if files.get(file).is_none_or(|file| file.info(tensor).is_none()) {
                return Err(file_error(
                    &folder.join(shard),
                    format!("tensor {tensor:?} is missing, though {INDEX} places it here"),
                    "fetch the shard and the index again: they belong to different checkpoints",
                ));
            }
            place.insert(tensor.clone(), file);
        }
        Ok(Self { files, place })
    }

    /// The element type of a tensor, for inspection.
    pub(crate) fn type_name(&self, name: &str) -> Option<String> {
        let info = self.files.get(*self.place.get(name)?)?.info(name)?;
        Some(match ElementType::from_safetensors(info.dtype) {
            Some(known) => known.safetensors_name().to_owned(),
            None => format!("{:?}", info.dtype),
        })
    }
}

impl WeightSource for FolderWeights {
    fn names(&self) -> Vec<String> {
        self.place.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let file = self.files.get(*self.place.get(name)?)?;
        file.info(name).map(|info| info.shape.clone())
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        match self.place.get(name).and_then(|index| self.files.get(*index)) {
            Some(file) => file.load(name),
            None => Err(file_error(
                self.files.first().map_or(Path::new(SINGLE), SafetensorsFile::path),
                format!("tensor {name:?} is missing"),
                "use a complete checkpoint whose config.json belongs to it",
            )),
        }
    }
}
