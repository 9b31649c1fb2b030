//! Writing GGUF files.

use std::io::Write;
use std::path::Path;

use camelid_text::TextAssets;
use half::f16;
use serde_json::Value as Json;

use super::super::Malformed;
use super::super::atomic::{WriteError, write_file};
use super::super::element_type::ElementType;
use super::super::shared_file::file_error;
use super::super::write_safetensors::{NamedShape, check_values};
use super::family::Arrangement;
use super::header::{DEFAULT_ALIGNMENT, MAGIC};
use super::tensor_type::TensorType;
use super::write_config::describe;
use super::write_vocabulary;
use crate::{ArchConfig, ModelError};

const VERSION: u32 = 3;

/// How matrices are stored; vectors are always F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GgufType {
    F32,
    F16,
    /// 8-bit integers with a scale for each 32; matrices whose rows do not divide into 32 become F16.
    Q8_0,
}

/// A metadata value with the width in which it is written.
pub(super) enum Entry {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// A tensor on its way into the file.
struct Planned {
    source: Source,
    gguf_name: String,
    shape: Vec<usize>,
    kind: TensorType,
    bytes: usize,
}

enum Source {
    Checkpoint(NamedShape, Arrangement),
    Values(Vec<f32>),
}

/// Writes a model with its tokenizer. `fetch` is asked for each of `arch.tensors()` once, in the checkpoint's layout.
pub fn write_gguf(
    path: &Path,
    arch: &ArchConfig,
    config: &Json,
    text: &TextAssets,
    kind: GgufType,
    fetch: &mut dyn FnMut(&str) -> Result<Vec<f32>, ModelError>,
) -> Result<(), ModelError> {
    let (metadata, planned) = plan(arch, config, text, kind).map_err(|error| error.at(path))?;
    let mut header = Vec::new();
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(planned.len() as u64).to_le_bytes());
    header.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
    for (key, entry) in &metadata {
        put_text(&mut header, key);
        put_entry(&mut header, entry);
    }
    let mut offset = 0_u64;
    for tensor in &planned {
        put_text(&mut header, &tensor.gguf_name);
        header.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
        for &length in tensor.shape.iter().rev() {
            header.extend_from_slice(&(length as u64).to_le_bytes());
        }
        header.extend_from_slice(&tensor.kind.number().to_le_bytes());
        header.extend_from_slice(&offset.to_le_bytes());
        offset += (tensor.bytes as u64).next_multiple_of(DEFAULT_ALIGNMENT);
    }

    write_file(path, |file| {
        file.write_all(&header)?;
        pad(file, header.len())?;
        let mut buffer = Vec::new();
        for tensor in planned {
            let values = match tensor.source {
                Source::Values(values) => values,
                Source::Checkpoint(named, arrangement) => {
                    let values = fetch(&named.name)?;
                    check_values(path, &named, tensor.kind.name(), largest(tensor.kind), &values)?;
                    let rows = named.shape.first().copied().unwrap_or_default();
                    arrangement.apply(values, rows).ok_or_else(|| {
                        file_error(
                            path,
                            format!(
                                "tensor {:?} of shape {:?} does not divide into the heads",
                                named.name, named.shape
                            ),
                            "the model and its configuration disagree",
                        )
                    })?
                }
            };
            buffer.clear();
            encode(tensor.kind, &values, &mut buffer);
            file.write_all(&buffer)?;
            pad(file, buffer.len())?;
        }
        Ok::<(), WriteError>(())
    })
}

type Plan = (Vec<(String, Entry)>, Vec<Planned>);

fn plan(arch: &ArchConfig, config: &Json, text: &TextAssets, kind: GgufType) -> Result<Plan, Malformed> {
    let description = describe(config, arch.vocabulary)?;
    let family = description.family;

    let text_of = |text: &str| Entry::Text(text.to_owned());
    let file_type = match kind {
        GgufType::F32 => 0,
        GgufType::F16 => 1,
        GgufType::Q8_0 => 7,
    };
    let mut metadata = vec![
        ("general.architecture".to_owned(), text_of(family.gguf_name())),
        ("general.type".to_owned(), text_of("model")),
        ("general.file_type".to_owned(), Entry::U32(file_type)),
        ("general.quantization_version".to_owned(), Entry::U32(2)),
    ];
    if let Some(name) = config["_name_or_path"].as_str().filter(|name| !name.is_empty()) {
        metadata.push(("general.name".to_owned(), text_of(name)));
    }
    metadata.extend(description.entries);
    metadata.extend(write_vocabulary::entries(text, config, arch.vocabulary)?);

    let mut planned = Vec::new();
    for tensor in NamedShape::list(arch) {
        let gguf_name = family.gguf_tensor_name(&tensor.name).ok_or_else(|| {
            Malformed::new(
                format!("tensor {:?} has no place in a GGUF file of a {} model", tensor.name, family.gguf_name()),
                "write a Hugging Face folder instead",
            )
        })?;
        let arrangement = family.arrangement(&gguf_name, description.heads, description.kv_heads);
        let kind = stored_type(kind, &tensor.shape);
        planned.push(Planned {
            bytes: stored_bytes(kind, tensor.elements()),
            shape: tensor.shape.clone(),
            source: Source::Checkpoint(tensor, arrangement),
            gguf_name,
            kind,
        });
    }
    if let Some(divisors) = description.rope_divisors {
        planned.push(Planned {
            bytes: 4 * divisors.len(),
            gguf_name: "rope_freqs.weight".to_owned(),
            shape: vec![divisors.len()],
            kind: TensorType::F32,
            source: Source::Values(divisors),
        });
    }
    Ok((metadata, planned))
}

fn stored_type(kind: GgufType, shape: &[usize]) -> TensorType {
    let block = TensorType::Q8_0.block_elements();
    match (kind, shape) {
        (GgufType::F32, _) | (_, [] | [_]) => TensorType::F32,
        (GgufType::Q8_0, [.., columns]) if columns.is_multiple_of(block) => TensorType::Q8_0,
        (GgufType::F16 | GgufType::Q8_0, _) => TensorType::F16,
    }
}

fn stored_bytes(kind: TensorType, elements: usize) -> usize {
    elements / kind.block_elements() * kind.block_bytes()
}

/// Encodes as `kind`, one of F32, F16 and `Q8_0`.
fn encode(kind: TensorType, values: &[f32], bytes: &mut Vec<u8>) {
    match kind {
        TensorType::F32 => ElementType::F32.encode(values, bytes),
        TensorType::Q8_0 => values.chunks_exact(kind.block_elements()).for_each(|block| q8_0(block, bytes)),
        _ => ElementType::F16.encode(values, bytes),
    }
}

/// The largest magnitude that `kind`, one of F32, F16 and `Q8_0`, can store.
fn largest(kind: TensorType) -> f32 {
    match kind {
        TensorType::F32 => f32::MAX,
        TensorType::Q8_0 => 127.0 * f16::MAX.to_f32(),
        _ => f16::MAX.to_f32(),
    }
}

/// The scale is the largest magnitude / 127; elements are rounded half away from zero, as in `ggml-quants.c`.
fn q8_0(block: &[f32], bytes: &mut Vec<u8>) {
    let largest = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    bytes.extend_from_slice(&f16::from_f32(scale).to_le_bytes());
    bytes.extend(block.iter().map(|value| ((value * inverse).round() as i8).cast_unsigned()));
}

fn pad(file: &mut dyn Write, written: usize) -> Result<(), WriteError> {
    let missing = written.next_multiple_of(DEFAULT_ALIGNMENT as usize) - written;
    Ok(file.write_all(&[0; DEFAULT_ALIGNMENT as usize][..missing])?)
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_list(bytes: &mut Vec<u8>, kind: u32, length: usize) {
    bytes.extend_from_slice(&9_u32.to_le_bytes());
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&(length as u64).to_le_bytes());
}

/// The value after its type number.
fn put_entry(bytes: &mut Vec<u8>, entry: &Entry) {
    match entry {
        Entry::U32(number) => {
            bytes.extend_from_slice(&4_u32.to_le_bytes());
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Entry::F32(number) => {
            bytes.extend_from_slice(&6_u32.to_le_bytes());
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Entry::Bool(truth) => {
            bytes.extend_from_slice(&7_u32.to_le_bytes());
            bytes.push(u8::from(*truth));
        }
        Entry::Text(text) => {
            bytes.extend_from_slice(&8_u32.to_le_bytes());
            put_text(bytes, text);
        }
        Entry::Texts(texts) => {
            put_list(bytes, 8, texts.len());
            for text in texts {
                put_text(bytes, text);
            }
        }
        Entry::I32s(numbers) => {
            put_list(bytes, 5, numbers.len());
            for number in numbers {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        Entry::F32s(numbers) => {
            put_list(bytes, 6, numbers.len());
            for number in numbers {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
}
