//! Tokens on disk, under the hash of everything that they depend on.
//!
//! Layout: the format's name; the number of sequences; each sequence as record, length, tokens, and weights as pairs of
//! value and count; the number of rejects; each as record, reason, fix; the BLAKE3 hash of all that. Numbers are in
//! LEB128, which takes two or three bytes a token. A file that does not hold what it should is made again.

use std::io::Write;
use std::path::{Path, PathBuf};

use camelid_records::{Conversation, Record};

use crate::encode::EncodedSet;
use crate::policy::{Overlong, SpanPolicy};
use crate::{Encoded, Text, TextError, Untrainable};

/// Changes with the layout, and whenever records become other tokens than before.
const FORMAT: &[u8] = b"camelid tokens 2\n";

/// Hash of tokenizer, template, policy, limits and what the records say. Where they were read from does not matter.
pub(crate) fn key(
    text: &Text,
    records: &[Record],
    policy: &SpanPolicy,
    max_length: usize,
    overlong: Overlong,
) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(FORMAT).update(&text.hash()).update(&(max_length as u64).to_le_bytes());
    let day = text.template().ok().and_then(crate::ChatTemplate::day);
    let mut part = |value: &dyn erased::Json| {
        let json = value.json();
        hasher.update(&(json.len() as u64).to_le_bytes()).update(&json);
    };
    part(&(policy, overlong, day.map(|day| day.to_string())));
    for record in records {
        match record {
            Record::Conversation(Conversation { messages, tools, template_arguments, provenance: _ }) => {
                part(&("conversation", messages, tools, template_arguments));
            }
            Record::Completion { prompt, completion, provenance: _ } => part(&("completion", prompt, completion)),
            Record::Text { text, provenance: _ } => part(&("text", text)),
        }
    }
    hasher.finalize().to_hex().to_string()
}

mod erased {
    /// What can be hashed as JSON.
    pub(super) trait Json {
        fn json(&self) -> Vec<u8>;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> Vec<u8> {
            // Records hold text, numbers, and maps whose keys are text: none of these can fail.
            serde_json::to_vec(self).unwrap_or_default()
        }
    }
}

fn path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.tokens"))
}

/// What the file of this key holds; `None` if there is none or it is damaged.
pub(crate) fn load(folder: &Path, key: &str, records: &[Record]) -> Option<EncodedSet> {
    let bytes = std::fs::read(path(folder, key)).ok()?;
    let (body, checksum) = bytes.split_last_chunk::<32>()?;
    if blake3::hash(body).as_bytes() != checksum {
        return None;
    }
    let mut reader = Reader { left: body.strip_prefix(FORMAT)? };
    let sequences = (0..reader.number()?).map(|_| reader.sequence()).collect::<Option<_>>()?;
    let rejects = (0..reader.number()?).map(|_| reader.reject(records)).collect::<Option<_>>()?;
    reader.left.is_empty().then_some(EncodedSet { sequences, rejects, cache_hit: true })
}

/// Written under a temporary name and renamed, so that a reader never sees half of it.
pub(crate) fn store(folder: &Path, key: &str, set: &EncodedSet) -> Result<(), TextError> {
    let bytes = to_bytes(set);
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
        // The first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
        let fix = "make room or permission for the token cache";
        TextError::new(target.display().to_string(), format!("cannot be written: {error}"), fix)
    })
}

fn to_bytes(set: &EncodedSet) -> Vec<u8> {
    let mut bytes = FORMAT.to_vec();
    number(&mut bytes, set.sequences.len() as u64);
    for Encoded { tokens, weights, record } in &set.sequences {
        number(&mut bytes, u64::from(*record));
        number(&mut bytes, tokens.len() as u64);
        for &token in tokens {
            number(&mut bytes, u64::from(token));
        }
        for run in weights.chunk_by(|a, b| a.to_bits() == b.to_bits()) {
            bytes.extend(run[0].to_le_bytes());
            number(&mut bytes, run.len() as u64);
        }
    }
    number(&mut bytes, set.rejects.len() as u64);
    for (record, Untrainable { provenance: _, reason, fix }) in &set.rejects {
        number(&mut bytes, *record as u64);
        for part in [reason, fix] {
            number(&mut bytes, part.len() as u64);
            bytes.extend(part.as_bytes());
        }
    }
    let checksum = blake3::hash(&bytes);
    bytes.extend(checksum.as_bytes());
    bytes
}

/// LEB128: seven bits a byte, the lowest first; the top bit says that more follow.
fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

struct Reader<'a> {
    left: &'a [u8],
}

impl Reader<'_> {
    fn number(&mut self) -> Option<usize> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, left) = self.left.split_first()?;
            self.left = left;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).ok();
            }
        }
        None
    }

    fn bytes(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, left) = self.left.split_at_checked(len)?;
        self.left = left;
        Some(taken)
    }

    fn sequence(&mut self) -> Option<Encoded> {
        let record = u32::try_from(self.number()?).ok()?;
        let len = self.number()?;
        let tokens =
            (0..len).map(|_| self.number().and_then(|token| u32::try_from(token).ok())).collect::<Option<Vec<_>>>()?;
        let mut weights = Vec::with_capacity(tokens.len());
        while weights.len() < tokens.len() {
            let weight = f32::from_le_bytes(*self.bytes(4)?.as_array()?);
            let count = self.number()?;
            if count == 0 || count > tokens.len() - weights.len() {
                return None;
            }
            weights.extend(std::iter::repeat_n(weight, count));
        }
        Some(Encoded { tokens, weights, record })
    }

    fn reject(&mut self, records: &[Record]) -> Option<(usize, Untrainable)> {
        let record = self.number()?;
        let provenance = records.get(record)?.provenance().clone();
        let mut part = || {
            let len = self.number()?;
            String::from_utf8(self.bytes(len)?.to_vec()).ok()
        };
        Some((record, Untrainable { provenance, reason: part()?, fix: part()? }))
    }
}
