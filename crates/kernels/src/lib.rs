//! Operations on device buffers, forward and backward side by side in one file an operation.
//!
//! Start at [`Backend`]: about forty calls that everything else is built from.

mod attention_layout;
mod backend;
mod counter_random;
mod cpu;
mod reference;

pub use attention_layout::{AttentionLayout, KeySpan, QueryRun};
pub use backend::*;
pub use cpu::{AttentionPlan as CpuAttentionPlan, Buffer as CpuBuffer, Cpu, CpuOptions, PackedMatrix as CpuMatrix};
pub use reference::{Reference, ReferenceBuffer, ReferenceMatrix};
