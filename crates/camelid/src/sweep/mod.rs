//! Sweeps: variants of recipes over seeds, and what they say together.

mod gather;
mod page;
mod spec;
mod write;

pub(crate) use gather::{Outcome, Results, RunResult};
pub(crate) use spec::{SweepSpec, VariantSpec, read};
pub(crate) use write::write_all;
