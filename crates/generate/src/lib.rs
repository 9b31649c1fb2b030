//! Sampling from a model.
//!
//! [`Sampler`] turns a row of logits into a token and is a pure function of the logits, the history and its seed;
//! [`Stream`] turns tokens into printable text as soon as their bytes are complete.

mod answer;
mod request;
mod sampler;
mod stream;

pub use answer::{Answer, Finish, answer};
pub use request::{Event, Load, Refusal, Request, Service, StopRules, Ticket, TokenScore};
pub use sampler::{InvalidSampling, Sampler, Sampling};
pub use stream::Stream;
