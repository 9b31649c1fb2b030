//! Readers meet broken files: whatever the bytes, they return, and with a header they accept every tensor can be read.

use std::path::PathBuf;

use camelid_model::WeightSource;
use camelid_model::io::gguf::{self, GgufFile};
use camelid_model::io::{FolderWeights, safetensors_file, safetensors_index};
use proptest::collection::vec;
use proptest::prelude::*;

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/io_golden").join(name)).unwrap()
}

/// Single bytes to overwrite, and a new length.
fn mutations(length: usize) -> impl Strategy<Value = (Vec<(usize, u8)>, usize)> {
    // Headers come first, so most changes go there.
    let place = prop_oneof![3 => 0..length.min(1200), 1 => 0..length];
    let cut = prop_oneof![3 => Just(length), 1 => 0..=length];
    (vec((place, any::<u8>()), 0..6), cut)
}

fn mutated(mut bytes: Vec<u8>, (changes, cut): (Vec<(usize, u8)>, usize)) -> Vec<u8> {
    for (place, byte) in changes {
        if let Some(old) = bytes.get_mut(place) {
            *old = byte;
        }
    }
    bytes.truncate(cut);
    bytes
}

fn load_all(source: &dyn WeightSource) {
    for name in source.names() {
        if let Ok(values) = source.load(&name) {
            assert_eq!(values.len(), source.shape(&name).unwrap().iter().product::<usize>());
            assert!(values.iter().all(|value| value.is_finite()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn gguf_headers_survive_any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        drop(gguf::parse(&bytes));
        let mut prefixed = b"GGUF\x03\0\0\0".to_vec();
        prefixed.extend(bytes);
        drop(gguf::parse(&prefixed));
    }

    #[test]
    fn gguf_files_survive_mutation(change in mutations(26_496), family in 0..3_usize) {
        let bytes = golden(["tiny-llama.gguf", "tiny-gemma3.gguf", "tiny-qwen3.gguf"][family]);
        let bytes = mutated(bytes, change);
        if let Ok(header) = gguf::parse(&bytes) {
            for tensor in &header.tensors {
                prop_assert!(tensor.start + tensor.bytes <= bytes.len() as u64);
            }
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        if let Ok(model) = GgufFile::open(file.path()) {
            drop(model.vocabulary());
            load_all(&model);
        }
    }

    #[test]
    fn safetensors_files_survive_mutation(change in mutations(43_996)) {
        let bytes = mutated(golden("quantised.safetensors"), change);
        drop(safetensors_file::parse(&bytes));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.safetensors"), &bytes).unwrap();
        if let Ok(weights) = FolderWeights::open(folder.path()) {
            load_all(&weights);
        }
    }

    #[test]
    fn shard_indexes_survive_mutation(changes in vec((0..90_usize, any::<u8>()), 0..4)) {
        let mut bytes = br#"{"metadata":{"total_size":12},"weight_map":{"a.weight":"model-00001-of-00002.safetensors"}}"#.to_vec();
        for (place, byte) in changes {
            bytes[place] = byte;
        }
        if let Ok(index) = safetensors_index::parse(&bytes) {
            prop_assert!(index.files().iter().all(|file| !file.contains('/')));
        }
    }
}
