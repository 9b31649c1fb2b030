//! `TensorBoard` event files: scalars, written by hand.
//!
//! The format is frozen: records of length, masked CRC32C, protocol buffer `Event` (tensorflow/core/util/event.proto),
//! masked CRC32C.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::TrainError;

/// Appends scalars to one event file.
pub struct EventFile {
    file: File,
    path: std::path::PathBuf,
}

impl EventFile {
    /// A new file in `folder` for a run that starts, or goes on after step `resumed`: what older files say of later
    /// steps is dropped by the reader, for a start all they say. `seconds` is the time since 1970.
    pub fn create(folder: &Path, resumed: Option<u64>, seconds: f64) -> Result<Self, TrainError> {
        let step = resumed.unwrap_or(0);
        let path = folder.join(format!("events.out.tfevents.{:.0}.{step}.camelid", seconds * 1000.0));
        fs::create_dir_all(folder).map_err(|error| TrainError::write(folder, &error))?;
        let file = File::create(&path).map_err(|error| TrainError::write(&path, &error))?;
        let mut events = Self { file, path };
        // file_version = 3
        events.write(&event(seconds, 0, &field_bytes(3, b"brain.Event:2")))?;
        // session_log = 7 { status = 1: START }. Readers drop what is at this step or later.
        let first_dropped = resumed.map_or(0, |step| step + 1);
        events.write(&event(seconds, first_dropped, &field_bytes(7, &[0x08, 0x01])))?;
        Ok(events)
    }

    /// Writes the scalars of one step.
    pub fn scalars(&mut self, seconds: f64, step: u64, values: &[(&str, f64)]) -> Result<(), TrainError> {
        let summary: Vec<u8> = values
            .iter()
            .flat_map(|(tag, value)| {
                // Summary.Value { tag = 1, simple_value = 2 }
                let mut inner = field_bytes(1, tag.as_bytes());
                inner.push(2 << 3 | 5);
                inner.extend((*value as f32).to_le_bytes());
                field_bytes(1, &inner)
            })
            .collect();
        self.write(&event(seconds, step, &field_bytes(5, &summary)))
    }

    fn write(&mut self, event: &[u8]) -> Result<(), TrainError> {
        self.file.write_all(&record(event)).map_err(|error| TrainError::write(&self.path, &error))
    }
}

/// One event with its frame.
fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), event, &masked_crc(event)].concat()
}

/// `Event { wall_time = 1, step = 2, … }`.
fn event(seconds: f64, step: u64, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1 << 3 | 1];
    bytes.extend(seconds.to_le_bytes());
    bytes.push(2 << 3);
    bytes.extend(varint(step));
    bytes.extend(rest);
    bytes
}

fn field_bytes(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    field.extend(varint(bytes.len() as u64));
    field.extend(bytes);
    field
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_is_the_one_every_reader_expects() {
        let bytes = record(&event(0.0, 0, &field_bytes(3, b"brain.Event:2")));
        assert_eq!(bytes[..8], 26u64.to_le_bytes());
        assert_eq!(bytes.len(), 8 + 4 + 26 + 4);
        assert_eq!(bytes[12], 0x09);
        assert_eq!(&bytes[21..23], &[0x10, 0x00]);
        assert_eq!(&bytes[23..38], b"\x1a\x0dbrain.Event:2");
    }

    #[test]
    fn long_numbers_take_seven_bits_a_byte() {
        assert_eq!(varint(300), [0xac, 0x02]);
        assert_eq!(varint(127), [0x7f]);
    }
}
