//! GGUF files: llama.cpp's single-file format of metadata, vocabulary and (often quantised) tensors.

mod dequantise;
mod family;
mod header;
mod read_config;
mod read_vocabulary;
mod rope_factors;
mod source;
mod tensor_type;
mod value;
mod write;
mod write_config;
mod write_vocabulary;

pub use dequantise::dequantise;
pub use header::{Header, TensorInfo, parse};
pub use source::GgufFile;
pub use tensor_type::TensorType;
pub use value::{Array, Value};
pub use write::{GgufType, write_gguf};
