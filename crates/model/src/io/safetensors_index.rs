//! `model.safetensors.index.json`: which shard holds which tensor.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Malformed;

const FIX: &str = "fetch model.safetensors.index.json again";

/// The shard of each tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetensorsIndex {
    /// Tensor name to the file name of its shard, a plain name in the same folder.
    pub shards: BTreeMap<String, String>,
}

impl SafetensorsIndex {
    /// Names of the shards, each once.
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = self.shards.values().map(String::as_str).collect();
        files.sort_unstable();
        files.dedup();
        files
    }
}

/// Reads an index.
///
/// # Errors
/// When the bytes are not such an index, or a shard's name would lead out of the folder.
pub fn parse(bytes: &[u8]) -> Result<SafetensorsIndex, Malformed> {
    #[derive(Deserialize)]
    struct File {
        weight_map: BTreeMap<String, String>,
    }
    let file: File =
        serde_json::from_slice(bytes).map_err(|error| Malformed::new(format!("not a shard index: {error}"), FIX))?;
    if file.weight_map.is_empty() {
        return Err(Malformed::new("weight_map is empty", FIX));
    }
    for (tensor, shard) in &file.weight_map {
        let plain = !shard.is_empty() && shard != "." && shard != ".." && !shard.contains(['/', '\\', '\0']);
        if !plain {
            return Err(Malformed::new(
                format!("weight_map sends tensor {tensor:?} to {shard:?}, which is not a plain file name"),
                FIX,
            ));
        }
    }
    Ok(SafetensorsIndex { shards: file.weight_map })
}
