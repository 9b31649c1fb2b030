//! From records to tokens: tokenizer, chat template, learned spans, forests and packing.

mod assets;
mod cache;
mod encode;
mod encoded;
mod error;
mod forest;
mod gguf_vocabulary;
mod learn;
mod pack;
mod policy;
mod skeleton;
mod spans;
mod special_tokens;
mod template;
mod text;

pub use assets::TextAssets;
pub use encode::{EncodedSet, encode_all};
pub use encoded::{Encoded, learn_where_they_differ};
pub use error::{TextError, Untrainable};
pub use forest::{Forest, ForestStats, Run, Target};
pub use gguf_vocabulary::GgufVocabulary;
pub use pack::pack;
pub use policy::{Learn, Overlong, SpanPolicy};
pub use template::ChatTemplate;
pub use text::Text;
