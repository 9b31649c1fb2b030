//! GGUF headers; and the data of small tensors, from blocks to numbers.

#![no_main]

use camelid_model::io::gguf::{dequantise, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = parse(bytes) else { return };
    for tensor in &header.tensors {
        let (start, length) = (tensor.start as usize, tensor.bytes as usize);
        let data = bytes[start..].get(..length).expect("a header that was accepted places its tensors inside the file");
        let mut values = Vec::new();
        dequantise(tensor.kind, data, &mut values);
        assert_eq!(values.len(), tensor.shape.iter().product::<usize>(), "{tensor:?}");
    }
});
