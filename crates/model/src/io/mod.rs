//! Weights in and out: Hugging Face folders, PEFT adapters and GGUF files.
//!
//! Every reader hands out tensors one at a time, as f32, under the names of the Hugging Face checkpoint; nothing else
//! in the crate knows about files. Readers trust no byte of a file: counts and lengths are checked before memory is
//! reserved, and each error names the file, the tensor and a fix. Writers write under a temporary name, sync, and
//! rename, so that a file under its own name is always complete.

use std::path::Path;

use crate::ModelError;

mod adapter;
mod atomic;
mod classifier;
mod element_type;
pub mod gguf;
mod hf_folder;
mod hf_writer;
mod inspect;
mod load;
mod merged;
pub mod safetensors_file;
pub mod safetensors_index;
mod shared_file;
mod vocabulary;
mod write_safetensors;

pub use adapter::{LowRankFactors, PeftAdapter, read_peft_adapter, write_peft_adapter};
pub use classifier::{reward_text, write_hf_reward_model};
pub use element_type::ElementType;
pub use hf_folder::FolderWeights;
pub use hf_writer::{write_hf_model, write_hf_tensors, write_text};
pub use inspect::{InspectedModel, InspectedTensor, inspect_model};
pub use load::{load_model, load_model_with};
pub use write_safetensors::NamedShape;

/// What is wrong with a file's bytes, before it is known which file they come from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}\n  fix: {fix}")]
pub struct Malformed {
    pub reason: String,
    pub fix: String,
}

impl Malformed {
    pub(crate) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { reason: reason.into(), fix: fix.into() }
    }

    /// The same error, with the file's name.
    pub(crate) fn at(self, path: &Path) -> ModelError {
        ModelError::File { path: path.to_owned(), reason: self.reason, fix: self.fix }
    }
}
