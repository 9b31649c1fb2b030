//! Sizes and checksums of fetched files.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

/// Size of a file, or of the files directly in a folder.
pub(super) fn total_bytes(path: &Path) -> u64 {
    let size = |path: &Path| path.metadata().map_or(0, |data| if data.is_file() { data.len() } else { 0 });
    if path.is_dir() {
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
    } else {
        size(path)
    }
}

/// Lowercase hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Copies all of `source`, at most `limit` bytes, and returns size and sha256.
pub(super) fn copy_hashed(source: &mut dyn Read, target: &mut dyn Write, limit: u64) -> std::io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 || bytes > limit {
            return Ok((bytes, hexadecimal(&hash.finalize())));
        }
        hash.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
}

/// Compares a file's size and, if stated, its sha256; returns the size.
pub(super) fn check_file(path: &Path, bytes: Option<u64>, sha256: Option<&str>) -> anyhow::Result<u64> {
    let mut file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let found = file.metadata()?.len();
    if let Some(bytes) = bytes.filter(|bytes| *bytes != found) {
        bail!("{name} has {found} bytes where {bytes} were announced");
    }
    if let Some(expected) = sha256 {
        let (_, hash) = copy_hashed(&mut file, &mut std::io::sink(), u64::MAX)?;
        if hash != expected {
            bail!("{name} has sha256 {hash} where {expected} was announced");
        }
    }
    Ok(found)
}
