//! Whether a judge may be trusted with win rates.
//!
//! **What is asked.** LLMBar's items have one right answer, and its adversarial ones a wrong output that looks better. The checks, all of
//! which must pass:
//!
//! | check | passes if |
//! |---|---|
//! | `natural` | the interval of the accuracy on Natural lies above 0.80 |
//! | `adversarial` | that on Adversarial lies above 0.65 |
//! | `longer`, `shorter` | on Natural and Adversarial together, each counting a half, the judge is better than one that always takes the longer, and than one that always takes the shorter output: the interval of the paired difference lies above 0 |
//! | `agreement` | the interval of the share of equal verdicts in both orders lies above 0.80 |
//! | `parsed` | 90 % of all verdicts can be read |
//! | `constant` | one constant output that pretends to be a verdict wins less than 20 % against real ones, by its interval |
//! | `repetition` | saying everything twice makes an output win less than 20 % against itself, by its interval |
//!
//! A judge that always takes the shorter output has 82 % on Adversarial, like the best recorded one, and 43.5 % on Natural: that is
//! why the two sets are asked together. Intervals are of 95 % and of items: both verdicts about an item count as one. A tie is half
//! right, a verdict that cannot be read is wrong.
//!
//! **What comes of it.** *Certified*: all checks ran and passed. *Accepted on recorded checks*: all that ran passed, but the
//! verdicts were replayed and the attacks were never put to that judge; this is no certificate, and win rates say so. *Rejected*: some check
//! failed.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641) for the items; Zheng 2023 (arXiv 2306.05685), section 3.3, for the repetitive list; Zheng 2024
//! (arXiv 2410.07137) for the constant output.

pub mod attacks;
mod certificate;
mod checks;
pub mod llmbar;

pub use certificate::{Certificate, Outcome, Standing};
pub use checks::{Check, Labelled, Passed, Thresholds, checks};
