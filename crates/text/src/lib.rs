//! From records to tokens: tokenizer, chat template, learned spans, forests and packing.
//!
//! [`Text`] is the tokenizer and template of one model; [`encode_all`] turns records into [`Encoded`] sequences with a
//! weight for each token; [`pack`] groups them under a token budget and [`Forest`] is the batch that a model computes.

mod assets;
mod cache;
mod encode;
mod encoded;
mod error;
mod forest;
mod gguf_vocabulary;
mod pack;
mod spans;
mod template;
mod tokenizer;

pub use assets::TextAssets;
pub use encode::{EncodedSet, Learn, Overlong, SpanPolicy, encode_all};
pub use encoded::Encoded;
pub use error::{TextError, Untrainable};
pub use forest::{Forest, ForestStats, Run, Target};
pub use gguf_vocabulary::GgufVocabulary;
pub use pack::pack;
pub use template::ChatTemplate;
pub use tokenizer::Text;
