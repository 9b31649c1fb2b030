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

/// Samples from the lowest reward to the highest; what is not a number is below all that are.
fn ascending(rewards: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rewards.len()).collect();
    order.sort_by(|&a, &b| {
        let numbers = rewards[b].is_nan().cmp(&rewards[a].is_nan());
        numbers.then(rewards[a].total_cmp(&rewards[b]))
    });
    order
}
