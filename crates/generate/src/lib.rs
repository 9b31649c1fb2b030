//! Sampling from a model.
//!
//! [`Sampler`] turns a row of logits into a token and is a pure function of the logits, the history and its seed;
//! [`Stream`] turns tokens into printable text as soon as their bytes are complete. A [`Service`] works on many requests
//! together: [`server`] offers it to others in the language of [`protocol`], and [`client`] asks it, or any server that
//! speaks that language, for answers to whole data sets.

mod answer;
pub mod client;
mod distribution;
pub mod engine;
mod gather;
mod prepare;
pub mod protocol;
mod random;
mod request;
mod sampler;
pub mod server;
mod stream;

pub use answer::{Answer, Finish, answer};
pub use prepare::prepare;
pub use request::{Event, Load, Refusal, Request, Service, Sink, StopRules, Ticket, TokenScore};
pub use sampler::{Drawn, InvalidSampling, Sampler, Sampling};
pub use stream::Stream;
