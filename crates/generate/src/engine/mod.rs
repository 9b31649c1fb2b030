//! The engine that answers: many requests in one batch, over one cache.
//!
//! [`Scheduler`] is the machine, one step at a time and without a thread of its own; [`EngineService`] runs it on a thread
//! behind a bounded queue; [`answer_all`] runs it to the end for a list of requests. [`beam_search`] looks for the likeliest
//! answers instead of sampling. What a request gets does not depend on
//! what else is in its batch: logits do not (see `camelid_model::Generate`), and each sample draws from its own stream.

mod answers;
mod beams;
mod blocks;
mod sample;
mod scheduler;
mod service;
mod tail;

pub use answers::{Answered, Unanswered, answer_all, answer_each};
pub use beams::{BeamError, BeamSearch, EarlyStopping, Hypothesis, beam_search};
pub use scheduler::{Limits, Scheduler};
pub use service::{Engine, EngineService};
