//! The header of a GGUF file (versions 2 and 3): metadata, and where each tensor lies.
//!
//! Every count and length is checked against the bytes that are left before anything is allocated, so that a broken
//! or hostile file costs no more memory than a few times its size and ends in an error that says where it broke.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::super::Malformed;
use super::tensor_type::TensorType;
use super::value::{Array, Value};

/// What stands before the tensors' data.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub version: u32,
    pub metadata: BTreeMap<String, Value>,
    pub tensors: Vec<TensorInfo>,
    /// Where the data section starts, in bytes from the start of the file.
    pub data_start: u64,
}

/// One tensor's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
    /// Rows before columns, as everywhere else (the file stores the fastest axis first).
    pub shape: Vec<usize>,
    pub kind: TensorType,
    /// Bytes from the start of the file.
    pub start: u64,
    pub bytes: u64,
}

impl Header {
    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

pub(super) const MAGIC: [u8; 4] = *b"GGUF";
pub(super) const DEFAULT_ALIGNMENT: u64 = 32;
/// `GGML_MAX_DIMS`.
const MAX_AXES: u32 = 4;
/// Arrays of arrays deeper than this are refused.
const MAX_DEPTH: u32 = 4;
/// The least bytes a tensor's description takes: name length, axis count, type, offset.
const LEAST_TENSOR_BYTES: u64 = 8 + 4 + 4 + 8;
/// The least bytes a metadata entry takes: key length, type, one byte of value.
const LEAST_ENTRY_BYTES: u64 = 8 + 4 + 1;
/// How much is reserved ahead for a list; longer ones grow as their elements arrive.
const RESERVED: u64 = 1 << 16;

const REFETCH: &str = "fetch the file again (an interrupted download is the usual cause), or convert the model again";

/// Reads the header of a whole file in memory.
///
/// # Errors
/// `Malformed` when the bytes are not a complete, consistent GGUF file.
pub fn parse(bytes: &[u8]) -> Result<Header, Malformed> {
    read_header(bytes, bytes.len() as u64)
}

/// Reads the header from the start of a file of `file_bytes` bytes.
pub(crate) fn read_header(source: impl Read, file_bytes: u64) -> Result<Header, Malformed> {
    let mut cursor = Cursor { source, position: 0, file_bytes };
    if cursor.array::<4>()? != MAGIC {
        return Err(Malformed::new("not a GGUF file: it does not start with the letters GGUF", "name a .gguf file"));
    }
    let version = cursor.u32()?;
    if version.swap_bytes() <= 3 && version > 3 {
        return Err(Malformed::new("big-endian GGUF", "convert it to little-endian with gguf's gguf_convert_endian"));
    }
    if !(2..=3).contains(&version) {
        return Err(Malformed::new(
            format!("GGUF version {version}; versions 2 and 3 can be read"),
            "convert the model again with a current llama.cpp",
        ));
    }
    let tensor_count = cursor.count("tensors", LEAST_TENSOR_BYTES)?;
    let entry_count = cursor.count("metadata entries", LEAST_ENTRY_BYTES)?;

    let mut metadata = BTreeMap::new();
    for _ in 0..entry_count {
        let key = cursor.string()?;
        let kind = cursor.u32()?;
        let value = cursor.value(kind, &key)?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(Malformed::new(format!("metadata key {key:?} stands twice"), REFETCH));
        }
    }
    let alignment = match metadata.get("general.alignment").and_then(Value::as_u64) {
        None => DEFAULT_ALIGNMENT,
        Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => alignment,
        Some(other) => {
            return Err(Malformed::new(format!("general.alignment is {other}, not a power of two"), REFETCH));
        }
    };

    let mut tensors = Vec::with_capacity(tensor_count.min(RESERVED) as usize);
    let mut names = BTreeSet::new();
    for _ in 0..tensor_count {
        let tensor = cursor.tensor()?;
        if !names.insert(tensor.name.clone()) {
            return Err(Malformed::new(format!("tensor {:?} stands twice", tensor.name), REFETCH));
        }
        tensors.push(tensor);
    }
    let data_start = cursor.position.next_multiple_of(alignment);
    for tensor in &mut tensors {
        let end = tensor.start.checked_add(data_start).and_then(|start| {
            tensor.start = start;
            start.checked_add(tensor.bytes)
        });
        if end.is_none_or(|end| end > file_bytes) {
            return Err(Malformed::new(
                format!(
                    "tensor {:?} needs {} bytes at {}, but the file ends at {file_bytes}: it is truncated",
                    tensor.name, tensor.bytes, tensor.start
                ),
                REFETCH,
            ));
        }
        if !tensor.start.is_multiple_of(alignment) {
            return Err(Malformed::new(
                format!("tensor {:?} starts at {}, not a multiple of {alignment}", tensor.name, tensor.start),
                REFETCH,
            ));
        }
    }
    Ok(Header { version, metadata, tensors, data_start })
}

/// A reader that knows how much of the file is left.
struct Cursor<R> {
    source: R,
    position: u64,
    file_bytes: u64,
}

impl<R: Read> Cursor<R> {
    fn left(&self) -> u64 {
        self.file_bytes.saturating_sub(self.position)
    }

    fn ends_early(&self) -> Malformed {
        Malformed::new(format!("the file ends within its header, at byte {}: it is truncated", self.position), REFETCH)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Malformed> {
        if buffer.len() as u64 > self.left() {
            return Err(self.ends_early());
        }
        self.source.read_exact(buffer).map_err(|_| self.ends_early())?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut buffer = [0; N];
        self.fill(&mut buffer)?;
        Ok(buffer)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of things that take at least `least_bytes` each.
    fn count(&mut self, things: &str, least_bytes: u64) -> Result<u64, Malformed> {
        let count = self.u64()?;
        if count.checked_mul(least_bytes).is_none_or(|bytes| bytes > self.left()) {
            return Err(Malformed::new(
                format!("{count} {things} announced at byte {}, more than the file can hold", self.position - 8),
                REFETCH,
            ));
        }
        Ok(count)
    }

    fn string(&mut self) -> Result<String, Malformed> {
        let length = self.count("characters of text", 1)?;
        let start = self.position;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes)
            .map_err(|_| Malformed::new(format!("the text of {length} bytes at byte {start} is not UTF-8"), REFETCH))
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value, Malformed> {
        Ok(match kind {
            0 => Value::Integer(i128::from(self.array::<1>()?[0])),
            1 => Value::Integer(i128::from(i8::from_le_bytes(self.array()?))),
            2 => Value::Integer(i128::from(u16::from_le_bytes(self.array()?))),
            3 => Value::Integer(i128::from(i16::from_le_bytes(self.array()?))),
            4 => Value::Integer(i128::from(self.u32()?)),
            5 => Value::Integer(i128::from(i32::from_le_bytes(self.array()?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.array()?))),
            7 => Value::Bool(self.array::<1>()?[0] != 0),
            8 => Value::Text(self.string()?),
            9 => Value::Array(self.list(key, 0)?),
            10 => Value::Integer(i128::from(self.u64()?)),
            11 => Value::Integer(i128::from(i64::from_le_bytes(self.array()?))),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => return Err(Malformed::new(format!("metadata {key:?} has unknown type {other}"), REFETCH)),
        })
    }

    fn list(&mut self, key: &str, depth: u32) -> Result<Array, Malformed> {
        if depth == MAX_DEPTH {
            return Err(Malformed::new(format!("metadata {key:?} nests lists more than {MAX_DEPTH} deep"), REFETCH));
        }
        let kind = self.u32()?;
        let least_bytes = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => 12,
            other => return Err(Malformed::new(format!("metadata {key:?} lists unknown type {other}"), REFETCH)),
        };
        let count = self.count("list elements", least_bytes)?;
        let reserved = count.min(RESERVED) as usize;
        Ok(match kind {
            6 | 12 => {
                let mut numbers = Vec::with_capacity(reserved);
                for _ in 0..count {
                    numbers.push(if kind == 6 {
                        f64::from(f32::from_le_bytes(self.array()?))
                    } else {
                        f64::from_le_bytes(self.array()?)
                    });
                }
                Array::Floats(numbers)
            }
            8 => {
                let mut texts = Vec::with_capacity(reserved);
                for _ in 0..count {
                    texts.push(self.string()?);
                }
                Array::Texts(texts)
            }
            9 => {
                let mut lists = Vec::new();
                for _ in 0..count {
                    lists.push(self.list(key, depth + 1)?);
                }
                Array::Lists(lists)
            }
            _ => {
                let mut numbers = Vec::with_capacity(reserved);
                for _ in 0..count {
                    numbers.push(match self.value(kind, key)? {
                        Value::Integer(number) => i64::try_from(number).unwrap_or(i64::MAX),
                        Value::Bool(truth) => i64::from(truth),
                        Value::Float(_) | Value::Text(_) | Value::Array(_) => continue,
                    });
                }
                Array::Integers(numbers)
            }
        })
    }

    /// A tensor's description, `start` still relative to the data section.
    fn tensor(&mut self) -> Result<TensorInfo, Malformed> {
        let name = self.string()?;
        let axes = self.u32()?;
        if axes > MAX_AXES {
            return Err(Malformed::new(format!("tensor {name:?} has {axes} axes; at most {MAX_AXES} exist"), REFETCH));
        }
        let mut shape = Vec::with_capacity(axes as usize);
        let mut elements = Some(1_u64);
        for _ in 0..axes {
            let length = self.u64()?;
            // An empty axis would hide that the others overflow.
            elements = elements.filter(|_| length > 0).and_then(|product| product.checked_mul(length));
            shape.push(length as usize);
        }
        let kind = self.u32()?;
        let start = self.u64()?;
        let kind = TensorType::from_number(kind).map_err(|kind| {
            Malformed::new(
                format!("tensor {name:?} has type {kind}, which cannot be read"),
                "use a file of type F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, or Q4_K_M",
            )
        })?;
        let row_fills_blocks = shape.first().is_none_or(|row| row.is_multiple_of(kind.block_elements()));
        shape.reverse();
        let bytes =
            elements.filter(|_| row_fills_blocks).and_then(|elements| kind.bytes(elements)).ok_or_else(|| {
                Malformed::new(
                    format!("tensor {name:?} of shape {shape:?} cannot be stored as {}", kind.name()),
                    REFETCH,
                )
            })?;
        Ok(TensorInfo { name, shape, kind, start, bytes })
    }
}
