//! Writing safetensors files, a tensor at a time.

use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::atomic::{WriteError, write_file};
use super::element_type::ElementType;
use super::shared_file::file_error;
use crate::{ArchConfig, ModelError};

/// Elements encoded at a time.
const CHUNK: usize = 1 << 18;
/// The header is padded so that the data starts at a multiple of this.
const ALIGNMENT: usize = 8;

/// Name and shape of a tensor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedShape {
    pub name: String,
    pub shape: Vec<usize>,
}

impl NamedShape {
    /// The tensors of a checkpoint of this architecture.
    pub(crate) fn list(arch: &ArchConfig) -> Vec<Self> {
        arch.tensors().into_iter().map(|(name, shape)| Self { name, shape }).collect()
    }

    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Writes one file of tensors whose values `fetch` hands out one after another.
pub(crate) fn write_safetensors(
    path: &Path,
    kind: ElementType,
    tensors: &[NamedShape],
    fetch: &mut dyn FnMut(&str) -> Result<Vec<f32>, ModelError>,
) -> Result<(), ModelError> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut position = 0;
    for tensor in tensors {
        let end = position + tensor.elements() * kind.bytes();
        let entry = json!({ "dtype": kind.safetensors_name(), "shape": tensor.shape, "data_offsets": [position, end] });
        if header.insert(tensor.name.clone(), entry).is_some() {
            return Err(file_error(path, format!("tensor {:?} stands twice", tensor.name), "name each tensor once"));
        }
        position = end;
    }
    let mut header = Json::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');

    write_file(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        let mut buffer = Vec::new();
        for tensor in tensors {
            let values = fetch(&tensor.name)?;
            check_values(path, tensor, kind.torch_name(), kind.largest(), &values)?;
            for chunk in values.chunks(CHUNK) {
                buffer.clear();
                kind.encode(chunk, &mut buffer);
                file.write_all(&buffer)?;
            }
        }
        Ok::<(), WriteError>(())
    })
}

/// The values fit the shape, and none is larger than `largest`, beyond which `kind` becomes infinite.
pub(crate) fn check_values(
    path: &Path,
    tensor: &NamedShape,
    kind: &str,
    largest: f32,
    values: &[f32],
) -> Result<(), ModelError> {
    if values.len() != tensor.elements() {
        return Err(file_error(
            path,
            format!("tensor {:?} of shape {:?} was given {} values", tensor.name, tensor.shape, values.len()),
            "the model and its configuration disagree",
        ));
    }
    if values.iter().fold(true, |fits, value| fits & (value.abs() <= largest)) {
        return Ok(());
    }
    let worst = values.iter().copied().find(|value| value.is_nan() || value.abs() > largest).unwrap_or_default();
    let fix = if worst.is_finite() {
        "write another element type: bf16 and f32 hold larger values"
    } else {
        "the model has diverged: use an earlier checkpoint"
    };
    Err(file_error(path, format!("tensor {:?} holds {worst}, which {kind} cannot store", tensor.name), fix))
}
