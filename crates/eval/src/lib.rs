//! What a model's answers are worth. Everything here is a pure function of what was answered and what was expected.
//!
//! A figure without its uncertainty is half a figure, and a score without its extraction rate may be about the
//! extractor: [`extraction`] says how each answer was found, [`aggregation`] makes one answer of many, [`instructions`]
//! checks what can be checked of a text, [`overlap`] compares words, [`judging`] scores judges and win rates,
//! [`over_optimisation`] says where a proxy stops to help, and
//! [`statistics`] gives every figure an interval and every comparison a test on the same items.

pub mod aggregation;
pub mod extraction;
pub mod instructions;
pub mod judging;
pub mod over_optimisation;
pub mod overlap;
mod random;
pub mod statistics;

pub use random::stream;
