//! Attention over a forest, a tile of queries against a tile of keys at a time (Dao 2022, arXiv 2205.14135).
//!
//! Key tiles are cut at fixed *positions*, so a row's result depends on its own visible keys alone: not on the batch it
//! is in, on where its keys are stored, or on how its history is split into runs. Decoding a sequence token by token
//! from a cache therefore gives the bits that training on it gives. The query heads that share a key head are
//! worked on together, as rows of one tile.
//!
//! `forward` and `backward` work in `f32` on every processor. Where the processor multiplies pairs of bf16, activations of
//! that type go through `forward_pairs` and `backward_pairs`: the same tiles in the same order. A few queries, as in decoding, go through
//! `forward_few`, whose bits are those of `forward_pairs`.

mod backward;
#[cfg(target_arch = "x86_64")]
mod backward_pairs;
mod forward;
#[cfg(target_arch = "x86_64")]
mod forward_few;
#[cfg(target_arch = "x86_64")]
mod forward_pairs;
#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(target_arch = "x86_64")]
mod pairs_tile;
mod plan;
mod tile;

pub(crate) use backward::attention_backward;
pub(crate) use forward::attention;
pub use plan::AttentionPlan;
pub(crate) use plan::plan;
