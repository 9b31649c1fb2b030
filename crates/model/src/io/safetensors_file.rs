//! One safetensors file, read a tensor at a time.

use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};

use super::Malformed;
use super::element_type::ElementType;
use super::shared_file::{SharedFile, file_error};
use crate::ModelError;

/// The format's own limit on its header.
const LARGEST_HEADER: u64 = 100_000_000;
/// Bytes converted at a time.
const CHUNK: usize = 1 << 20;
const REFETCH: &str = "fetch the file again (an interrupted download is the usual cause)";

/// Reads the header of a whole file in memory; returns it with the offset of the data.
///
/// # Errors
/// When the bytes are not a complete, consistent safetensors file.
pub fn parse(bytes: &[u8]) -> Result<(Metadata, u64), Malformed> {
    let file_bytes = bytes.len() as u64;
    let length = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    let header_bytes = check_header_length(length, file_bytes)?;
    let header = bytes.get(8..8 + header_bytes).ok_or_else(|| Malformed::new("shorter than its header", REFETCH))?;
    Ok((check_header(header, file_bytes)?, 8 + header_bytes as u64))
}

fn check_header_length(length: Option<u64>, file_bytes: u64) -> Result<usize, Malformed> {
    let length = length.ok_or_else(|| Malformed::new("shorter than 8 bytes: truncated", REFETCH))?;
    if length > LARGEST_HEADER {
        return Err(Malformed::new(format!("not a safetensors file: a header of {length} bytes announced"), REFETCH));
    }
    if length > file_bytes.saturating_sub(8) {
        return Err(Malformed::new(
            format!("truncated: its header takes {length} bytes, but the file has {file_bytes}"),
            REFETCH,
        ));
    }
    Ok(length as usize)
}

fn check_header(header: &[u8], file_bytes: u64) -> Result<Metadata, Malformed> {
    let metadata: Metadata = serde_json::from_slice(header)
        .map_err(|error| Malformed::new(format!("its header is broken: {error}"), REFETCH))?;
    let expected = 8 + header.len() as u64 + metadata.data_len() as u64;
    if expected > file_bytes {
        let tensor = metadata
            .offset_keys()
            .into_iter()
            .find(|name| {
                let end = metadata.info(name).map_or(0, |info| info.data_offsets.1) as u64;
                8 + header.len() as u64 + end > file_bytes
            })
            .unwrap_or_default();
        return Err(Malformed::new(
            format!("truncated: {expected} bytes announced, {file_bytes} present; tensor {tensor:?} is cut"),
            REFETCH,
        ));
    }
    if expected < file_bytes {
        return Err(Malformed::new(
            format!("{} bytes too many follow the last tensor", file_bytes - expected),
            REFETCH,
        ));
    }
    Ok(metadata)
}

/// An open file and its checked header.
#[derive(Debug)]
pub(crate) struct SafetensorsFile {
    file: SharedFile,
    metadata: Metadata,
    data_start: u64,
}

impl SafetensorsFile {
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let file = SharedFile::open(path)?;
        let malformed = |error: Malformed| error.at(path);
        let mut length = [0; 8];
        let present = if file.bytes() < 8 {
            None
        } else {
            file.read_at(0, &mut length)?;
            Some(u64::from_le_bytes(length))
        };
        let header_bytes = check_header_length(present, file.bytes()).map_err(malformed)?;
        let mut header = vec![0; header_bytes];
        file.read_at(8, &mut header)?;
        let metadata = check_header(&header, file.bytes()).map_err(malformed)?;
        Ok(Self { file, metadata, data_start: 8 + header_bytes as u64 })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Tensor names in the order of the file.
    pub(crate) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    pub(crate) fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.metadata.info(name)
    }

    /// Reads a tensor as f32 and checks that each element is finite.
    pub(crate) fn load(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let info = self.info(name).ok_or_else(|| {
            file_error(self.path(), format!("tensor {name:?} is missing"), "use a complete checkpoint of this model")
        })?;
        let kind = ElementType::from_safetensors(info.dtype).ok_or_else(|| {
            file_error(
                self.path(),
                format!("tensor {name:?} has element type {:?}; F32, F16 and BF16 can be read", info.dtype),
                "convert the checkpoint to bfloat16 (in transformers: model.to(torch.bfloat16).save_pretrained(...))",
            )
        })?;
        let (start, end) = info.data_offsets;
        let mut values = Vec::with_capacity((end - start) / kind.bytes());
        let mut buffer = vec![0; CHUNK.min(end - start)];
        let mut position = start;
        while position < end {
            let bytes = CHUNK.min(end - position);
            self.file.read_at(self.data_start + position as u64, &mut buffer[..bytes])?;
            kind.decode(&buffer[..bytes], &mut values);
            position += bytes;
        }
        check_finite(self.path(), name, &info.shape, &values)?;
        Ok(values)
    }
}

/// An error that names the first element that is not finite.
pub(crate) fn check_finite(path: &Path, name: &str, shape: &[usize], values: &[f32]) -> Result<(), ModelError> {
    // A fold without early exit vectorises; the search for the place follows only when something is wrong.
    if values.iter().fold(true, |finite, value| finite & value.is_finite()) {
        return Ok(());
    }
    let index = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
    let count = values.iter().filter(|value| !value.is_finite()).count();
    Err(file_error(
        path,
        format!(
            "tensor {name:?} of shape {shape:?} holds {} at element {index} ({count} such elements in all)",
            values[index]
        ),
        "the checkpoint is damaged (often a training run that diverged): use an earlier one",
    ))
}
