//! Training objectives: one file a method.
//!
//! An objective is a pure function: values the engine measured (a log-probability for each target) and what the record
//! says (weights, which branch a target belongs to) in; the loss as a *sum with its count*, its metrics, and the
//! derivative of the summed loss with respect to each input out. It never divides by a batch: the trainer divides once,
//! by the count over the whole optimiser step, so that no result depends on how a step was cut into micro-batches.
//!
//! To add a method, copy `sft.rs`: its doc comment says what it optimises, when to use it, the formula, the source and
//! reference numbers; its tests check hand-computed values and the derivative by finite differences.

pub mod over_optimisation;
pub mod preference;
mod reduced;
pub mod reinforcement;
pub mod reward;
pub mod selection;
pub mod sft;

pub use reduced::{Metric, Outcome, Reduced};
