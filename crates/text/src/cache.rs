//! Tokens on disk, under the hash of everything that they depend on.

use std::io::Write;
use std::path::{Path, PathBuf};

use camelid_records::Record;

use crate::encode::{EncodedSet, Overlong, SpanPolicy};
use crate::{Encoded, Text, TextError, Untrainable};

/// Changes with the layout below and with any change of how records become tokens.
const FORMAT: &[u8] = b"camelid tokens 1";

/// Hash of tokenizer, template, policy, limits and records.
pub(crate) fn key(
    text: &Text,
    records: &[Record],
    policy: &SpanPolicy,
    max_length: usize,
    overlong: Overlong,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(FORMAT).update(&text.hash()).update(&(max_length as u64).to_le_bytes());
    // Serialising these types cannot fail: they hold no map with keys that are not text.
    hasher.update(&serde_json::to_vec(&(policy, overlong)).unwrap_or_default());
    for record in records {
        let json = serde_json::to_vec(record).unwrap_or_default();
        hasher.update(&(json.len() as u64).to_le_bytes()).update(&json);
    }
    hasher.finalize().to_hex().to_string()
}

fn path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.tokens"))
}

/// Whatever cannot be read is made again.
pub(crate) fn load(folder: &Path, key: &str) -> Option<EncodedSet> {
    let bytes = std::fs::read(path(folder, key)).ok()?;
    let (body, checksum) = bytes.split_last_chunk::<32>()?;
    if blake3::hash(body).as_bytes() != checksum {
        return None;
    }
    let mut reader = Reader { left: body.strip_prefix(FORMAT)? };
    let sequences = (0..reader.number()?).map(|_| reader.sequence()).collect::<Option<_>>()?;
    let rejects = (0..reader.number()?).map(|_| reader.reject()).collect::<Option<_>>()?;
    reader.left.is_empty().then_some(EncodedSet { sequences, rejects, cache_hit: true })
}

/// Written under a temporary name and renamed, so that a reader never sees half of it.
pub(crate) fn store(folder: &Path, key: &str, set: &EncodedSet) -> Result<(), TextError> {
    let mut bytes = FORMAT.to_vec();
    number(&mut bytes, set.sequences.len());
    for sequence in &set.sequences {
        number(&mut bytes, sequence.record as usize);
        number(&mut bytes, sequence.tokens.len());
        sequence.tokens.iter().for_each(|token| bytes.extend(token.to_le_bytes()));
        sequence.weights.iter().for_each(|weight| bytes.extend(weight.to_le_bytes()));
    }
    number(&mut bytes, set.rejects.len());
    for (record, Untrainable { reason, fix }) in &set.rejects {
        number(&mut bytes, *record);
        for part in [reason, fix] {
            number(&mut bytes, part.len());
            bytes.extend(part.as_bytes());
        }
    }
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());

    let target = path(folder, key);
    let temporary = folder.join(format!(".{key}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &target)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        TextError::new(target.display().to_string(), error.to_string(), "make room or permission for the token cache")
    })
}

fn number(bytes: &mut Vec<u8>, value: usize) {
    bytes.extend((value as u64).to_le_bytes());
}

struct Reader<'a> {
    left: &'a [u8],
}

impl Reader<'_> {
    fn number(&mut self) -> Option<usize> {
        let (value, left) = self.left.split_first_chunk::<8>()?;
        self.left = left;
        usize::try_from(u64::from_le_bytes(*value)).ok()
    }

    fn bytes(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, left) = self.left.split_at_checked(len)?;
        self.left = left;
        Some(taken)
    }

    fn words(&mut self, count: usize) -> Option<Vec<[u8; 4]>> {
        Some(self.bytes(count.checked_mul(4)?)?.as_chunks::<4>().0.to_vec())
    }

    fn sequence(&mut self) -> Option<Encoded> {
        let record = u32::try_from(self.number()?).ok()?;
        let len = self.number()?;
        let tokens = self.words(len)?.into_iter().map(u32::from_le_bytes).collect();
        let weights = self.words(len)?.into_iter().map(f32::from_le_bytes).collect();
        Some(Encoded { tokens, weights, record })
    }

    fn reject(&mut self) -> Option<(usize, Untrainable)> {
        let record = self.number()?;
        let mut part = || {
            let len = self.number()?;
            String::from_utf8(self.bytes(len)?.to_vec()).ok()
        };
        Some((record, Untrainable { reason: part()?, fix: part()? }))
    }
}
