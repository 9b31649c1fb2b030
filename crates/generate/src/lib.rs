//! Sampling from a model.
//!
//! [`Sampler`] turns a row of logits into a token and is a pure function of the logits, the history and its seed;
//! [`Stream`] turns tokens into printable text as soon as their bytes are complete.

mod answer;
mod sampler;
mod stream;

pub use answer::{Answer, Finish, answer};
pub use sampler::{InvalidSampling, Sampler, Sampling};
pub use stream::Stream;
