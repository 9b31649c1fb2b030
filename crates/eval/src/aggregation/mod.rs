//! One answer, or one figure, from several samples of the same prompt.
//!
//! pass@k, maj@k and best-of-n are those of [`camelid_objectives::selection`]; what is added here is what evaluation
//! has and training has not: samples from which no answer could be read. They never vote.

pub mod complexity;
pub mod hints;
pub mod samples;
