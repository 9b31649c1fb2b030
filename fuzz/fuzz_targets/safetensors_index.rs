//! The index of sharded safetensors, and the header of one file.

#![no_main]

use camelid_model::io::{safetensors_file, safetensors_index};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = safetensors_index::parse(bytes) {
        for file in index.files() {
            assert!(!file.contains(['/', '\\']) && file != "..", "{file:?} leads out of the folder");
        }
    }
    if let Ok((metadata, start)) = safetensors_file::parse(bytes) {
        for (name, tensor) in metadata.tensors() {
            let end = start as usize + tensor.data_offsets.1;
            assert!(end <= bytes.len(), "{name}: ends at {end} of {}", bytes.len());
        }
    }
});
