//! How much two texts share, word by word. Such figures find copies; they do not rank answers.

pub mod contamination;
pub mod novelty;
pub mod rouge_l;
mod windows;
