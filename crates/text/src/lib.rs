//! From records to tokens: tokenizer, chat template, learned spans, forests and packing.

mod assets;
mod encoded;
mod error;
mod forest;
mod gguf_vocabulary;
mod pack;

pub use assets::TextAssets;
pub use encoded::Encoded;
pub use error::{TextError, Untrainable};
pub use forest::{Forest, ForestStats, Run, Target};
pub use gguf_vocabulary::GgufVocabulary;
pub use pack::pack;
