//! How far two raters agree beyond what their habits alone would give.
//!
//! **Formula.** `κ = (p_o - p_e)/(1 - p_e)`, `p_o` the share of items with the same label, `p_e = Σ_label a_label
//! b_label` from each rater's own shares.
//!
//! **Source.** Cohen 1960.
//!
//! **Reference numbers.** 1 for full agreement, 0 for two raters who draw from their own shares.

use std::collections::BTreeMap;

/// Cohen's kappa. `None` without items, for lists of different lengths, and where both use one and the same label only.
pub fn cohen_kappa<L: Ord>(first: &[L], second: &[L]) -> Option<f64> {
    if first.is_empty() || first.len() != second.len() {
        return None;
    }
    let count = first.len() as f64;
    let mut shares: BTreeMap<&L, (f64, f64)> = BTreeMap::new();
    for (a, b) in first.iter().zip(second) {
        shares.entry(a).or_default().0 += 1.0 / count;
        shares.entry(b).or_default().1 += 1.0 / count;
    }
    if shares.len() < 2 {
        return None;
    }
    let observed = first.iter().zip(second).filter(|(a, b)| a == b).count() as f64 / count;
    let expected: f64 = shares.values().map(|(a, b)| a * b).sum();
    Some((observed - expected) / (1.0 - expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_textbook_table() {
        // 20 both yes, 5 yes/no, 10 no/yes, 15 both no: p_o = 0.7, p_e = 0.5.
        let counts = [(20, 1, 1), (5, 1, 0), (10, 0, 1), (15, 0, 0)];
        let pairs: Vec<(i32, i32)> = counts.into_iter().flat_map(|(n, a, b)| vec![(a, b); n]).collect();
        let (first, second): (Vec<i32>, Vec<i32>) = pairs.into_iter().unzip();
        assert!((cohen_kappa(&first, &second).unwrap() - 0.4).abs() < 1e-12);
    }

    #[test]
    fn ends() {
        assert!((cohen_kappa(&["a", "b", "c"], &["a", "b", "c"]).unwrap() - 1.0).abs() < 1e-15);
        assert!((cohen_kappa(&["a", "b"], &["b", "a"]).unwrap() + 1.0).abs() < 1e-15);
        assert_eq!(cohen_kappa(&["a", "a"], &["a", "a"]), None);
        assert_eq!(cohen_kappa(&["a"], &["a", "b"]), None);
        assert_eq!(cohen_kappa::<u8>(&[], &[]), None);
    }
}
