//! The mean of items that come in groups (questions about one passage, samples of one prompt, translations of one
//! item).
//!
//! **Formula.** `√(C/(C - 1)) · √(Σ_c (Σ_{i∈c} (x_i - x̄))²)/n` over `C` clusters, `C - 1` degrees of freedom. With one
//! item a cluster it is `s/√n`.
//!
//! **Source.** Miller 2024 (arXiv 2411.00640), section 2.2 and appendix A; the factor for few clusters: Cameron and
//! Miller 2015.

use std::collections::BTreeMap;

use super::mean::Mean;

/// The mean over items; `clusters[i]` names the group of item `i`. `None` for fewer than two groups.
pub fn clustered_mean<C: Ord>(values: &[f64], clusters: &[C]) -> Option<Mean> {
    if values.len() != clusters.len() || values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let count = values.len();
    let value = values.iter().sum::<f64>() / count as f64;
    let mut sums: BTreeMap<&C, f64> = BTreeMap::new();
    for (x, cluster) in values.iter().zip(clusters) {
        *sums.entry(cluster).or_default() += x - value;
    }
    if sums.len() < 2 {
        return None;
    }
    let groups = sums.len() as f64;
    let squares: f64 = sums.values().map(|sum| sum * sum).sum();
    let standard_error = (groups / (groups - 1.0) * squares).sqrt() / count as f64;
    standard_error.is_finite().then_some(Mean { value, standard_error, degrees_of_freedom: groups - 1.0, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_item_a_cluster_is_the_plain_error() {
        let values = [0.0, 1.0, 1.0, 0.5, 0.0];
        let (ours, plain) = (clustered_mean(&values, &[4, 3, 2, 1, 0]).unwrap(), Mean::of(&values).unwrap());
        assert!((ours.standard_error - plain.standard_error).abs() < 1e-15);
        assert_eq!((ours.value, ours.degrees_of_freedom), (plain.value, plain.degrees_of_freedom));
    }

    #[test]
    fn repeated_items_add_nothing() {
        let values = [0.0, 1.0, 1.0, 0.0, 1.0];
        let repeated: Vec<f64> = values.iter().flat_map(|&value| [value; 3]).collect();
        let clusters: Vec<usize> = (0..5).flat_map(|cluster| [cluster; 3]).collect();
        let (ours, once) = (clustered_mean(&repeated, &clusters).unwrap(), Mean::of(&values).unwrap());
        assert!((ours.standard_error - once.standard_error).abs() < 1e-15);
        assert!(Mean::of(&repeated).unwrap().standard_error < 0.6 * once.standard_error);
    }

    #[test]
    fn refusals() {
        assert_eq!(clustered_mean(&[1.0, 2.0], &["a", "a"]), None);
        assert_eq!(clustered_mean(&[1.0, 2.0], &["a"]), None);
        assert_eq!(clustered_mean::<u8>(&[], &[]), None);
    }
}
