//! A GGUF file as a source of weights in checkpoint names and order.

use std::collections::BTreeMap;
use std::path::Path;

use camelid_text::GgufVocabulary;
use serde_json::Value as Json;

use super::super::safetensors_file::check_finite;
use super::super::shared_file::{SharedFile, file_error};
use super::dequantise::dequantise;
use super::family::Arrangement;
use super::header::{Header, TensorInfo, read_header};
use super::value::Value;
use super::{read_config, read_vocabulary};
use crate::{ModelError, WeightSource};

/// About how many bytes are dequantised at a time.
const CHUNK: usize = 1 << 20;
const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// An open GGUF model.
#[derive(Debug)]
pub struct GgufFile {
    file: SharedFile,
    header: Header,
    config: Json,
    /// Checkpoint name to the index in `header.tensors` and the arrangement to undo.
    tensors: BTreeMap<String, (usize, Arrangement)>,
}

impl GgufFile {
    /// Opens a file and reads its header; tensors are read when asked for.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = SharedFile::open(path)?;
        let header =
            file.read_from_start(|source| read_header(source, file.bytes()))?.map_err(|error| error.at(path))?;
        if header.metadata.get("split.count").and_then(Value::as_u64).is_some_and(|parts| parts > 1) {
            return Err(file_error(
                path,
                "is one part of a model split over several files",
                "merge the parts with llama.cpp: llama-gguf-split --merge FIRST-PART OUTPUT",
            ));
        }
        let family = read_config::family(&header).map_err(|error| error.at(path))?;
        let divisors = match header.tensor(ROPE_DIVISORS) {
            Some(info) => Some(read(&file, info)?),
            None => None,
        };
        let config = read_config::config(&header, divisors.as_deref()).map_err(|error| error.at(path))?;
        let count = |key: &str| config[key].as_u64().unwrap_or_default() as usize;
        let (heads, kv_heads) = (count("num_attention_heads"), count("num_key_value_heads"));
        let mut tensors = BTreeMap::new();
        for (index, info) in header.tensors.iter().enumerate().filter(|(_, info)| info.name != ROPE_DIVISORS) {
            let name = family.checkpoint_name(&info.name).ok_or_else(|| {
                file_error(
                    path,
                    format!("tensor {:?} has no place in a {} model", info.name, family.gguf_name()),
                    "this variant of the architecture is not supported (mixtures of experts are not)",
                )
            })?;
            tensors.insert(name, (index, family.arrangement(&info.name, heads, kv_heads)));
        }
        Ok(Self { file, header, config, tensors })
    }

    /// The header, as it stands in the file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The model's configuration in the form of a `config.json`.
    pub fn config(&self) -> &Json {
        &self.config
    }

    /// The vocabulary and chat template.
    pub fn vocabulary(&self) -> Result<GgufVocabulary, ModelError> {
        read_vocabulary::vocabulary(&self.header).map_err(|error| error.at(self.file.path()))
    }

    /// How the tensor of this checkpoint name is stored.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name).and_then(|(index, _)| self.header.tensors.get(*index))
    }
}

impl WeightSource for GgufFile {
    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.info(name).map(|info| info.shape.clone())
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let path = self.file.path();
        let Some((info, (_, arrangement))) = self.info(name).zip(self.tensors.get(name)) else {
            return Err(file_error(path, format!("tensor {name:?} is missing"), "use a complete file of this model"));
        };
        let values = read(&self.file, info)?;
        check_finite(path, &info.name, &info.shape, &values)?;
        let rows = info.shape.first().copied().unwrap_or_default();
        arrangement.undo(values, rows).ok_or_else(|| {
            file_error(
                path,
                format!("tensor {:?} has {rows} rows, which do not divide into the model's heads", info.name),
                "the metadata and the tensors disagree: convert the model again",
            )
        })
    }
}

/// Reads and dequantises a tensor.
fn read(file: &SharedFile, info: &TensorInfo) -> Result<Vec<f32>, ModelError> {
    let block = info.kind.block_bytes();
    let bytes = info.bytes as usize;
    let chunk = (CHUNK / block * block).min(bytes);
    let mut values = Vec::with_capacity(bytes / block * info.kind.block_elements());
    let mut buffer = vec![0; chunk];
    let mut position = 0;
    while position < bytes {
        let length = chunk.min(bytes - position);
        file.read_at(info.start + position as u64, &mut buffer[..length])?;
        dequantise(info.kind, &buffer[..length], &mut values);
        position += length;
    }
    Ok(values)
}
