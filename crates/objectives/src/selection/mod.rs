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
pub mod rule;
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

/// Samples from the highest reward to the lowest, each with its rank: 0 is best, equal rewards share one. What is not a number
/// is last.
pub fn ranked(rewards: &[f64]) -> Vec<(usize, u32)> {
    let mut order: Vec<usize> = (0..rewards.len()).collect();
    order.sort_by(|&a, &b| {
        let numbers = rewards[a].is_nan().cmp(&rewards[b].is_nan());
        numbers.then(rewards[b].total_cmp(&rewards[a]))
    });
    let mut rank = 0;
    let mut before = None;
    let ranked = order.into_iter().map(|sample| {
        if before.is_some_and(|before: f64| before != rewards[sample] && !before.is_nan()) {
            rank += 1;
        }
        before = Some(rewards[sample]);
        (sample, rank)
    });
    ranked.collect()
}

#[cfg(test)]
mod tests {
    use super::ranked;

    #[test]
    fn ranks_from_the_best_down() {
        assert_eq!(ranked(&[1.0, 3.0, f64::NAN, 3.0, 2.0]), [(1, 0), (3, 0), (4, 1), (0, 2), (2, 3)]);
        assert_eq!(ranked(&[0.0, -0.0, f64::NAN, f64::NAN]), [(0, 0), (1, 0), (2, 1), (3, 1)]);
        assert!(ranked(&[]).is_empty());
    }
}
