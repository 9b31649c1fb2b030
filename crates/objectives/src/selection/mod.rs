//! Choosing among samples: what is kept of what the policy wrote, and what choosing does to its distribution.
//!
//! Methods that learn by choosing (best-of-n, expert iteration, `ReST`, RFT, Quark, RSO) sample, choose here, and go on with
//! supervised fine-tuning or a loss of [`preference`](crate::preference). All functions are pure; what needs chance takes it
//! as a closure.

mod arithmetic;
pub mod best_of_n;
pub mod distinct_paths;
pub mod pass_at_k;
pub mod quantiles;
pub mod statistical_rejection;
pub mod threshold;
