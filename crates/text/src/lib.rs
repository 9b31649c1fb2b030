//! From records to tokens: tokenizer, chat template, learned spans, forests and packing.

mod forest;

pub use forest::{Forest, Run, Target};
