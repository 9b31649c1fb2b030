//! Architectures as data, weights in and out, and one forward and one backward pass for all of them.

mod engine;
mod error;

pub use engine::{Cotangents, Engine, Scores, StateTensor, Update, Updated, Want};
pub use error::ModelError;
