//! Training reward models: values read at rows of a sequence in, loss and derivatives out.
//!
//! * [`bradley_terry`]: a scalar at the last real token, from ranked responses.
//! * [`checker`]: right or wrong by comparison, without a model.
//! * [`correctness`]: the probability that an outcome (ORM) or each step (PRM) is right.
//! * [`ensemble`]: one reward from several models.
//! * [`correctness_report`]: what an outcome or process reward model is worth on held-out labels.
//! * [`judge`]: what a language model says an answer deserves.
//! * [`sentiment`]: how friendly a text is, by a lexicon.
//! * [`steps`]: one reward from what is said of each step.
//! * [`report`]: what a trained reward model is worth on held-out comparisons.

pub mod bradley_terry;
pub mod checker;
pub mod correctness;
pub mod correctness_report;
pub mod ensemble;
pub mod judge;
pub mod report;
pub mod sentiment;
pub mod steps;
