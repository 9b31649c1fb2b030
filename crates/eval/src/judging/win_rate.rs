//! How often a model's output is preferred to a baseline's.
//!
//! **Formula.** The mean of preferences `p - 1` for `p` from 1 (the baseline's is better) to 2, a tie being 1.5, as is
//! the 0 that old annotations wrote for one; the error is `s/√n`. An annotation without a preference is left out and
//! must be counted beside the rate.
//!
//! **Source.** Li 2023 (AlpacaEval), `metrics/winrate.py`.
//!
//! **Reference numbers.** Rates and errors of all models with recorded annotations equal the published boards to 1e-6.

use crate::statistics::mean::Mean;

/// The preference of a tie.
const TIE: f64 = 1.5;

/// A win rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WinRate {
    /// In `[0, 1]`.
    pub mean: Mean,
    /// Preferences of 1.5.
    pub ties: usize,
    /// Annotations without a preference.
    pub missing: usize,
}

/// `None` for fewer than two preferences, and for one outside `[1, 2]` that is not 0.
pub fn win_rate(preferences: &[Option<f64>]) -> Option<WinRate> {
    let given: Vec<f64> =
        preferences.iter().flatten().map(|&preference| if preference == 0.0 { TIE } else { preference }).collect();
    if given.iter().any(|preference| !(1.0..=2.0).contains(preference)) {
        return None;
    }
    let wins: Vec<f64> = given.iter().map(|preference| preference - 1.0).collect();
    let ties = given.iter().filter(|&&preference| preference == TIE).count();
    Some(WinRate { mean: Mean::of(&wins)?, ties, missing: preferences.len() - given.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_ties_and_missing_preferences() {
        let rate = win_rate(&[Some(2.0), Some(1.0), Some(0.0), Some(1.5), None, Some(1.75)]).unwrap();
        assert!((rate.mean.value - 0.55).abs() < 1e-15);
        assert_eq!((rate.mean.count, rate.ties, rate.missing), (5, 2, 1));
        assert_eq!(win_rate(&[Some(2.5), Some(1.0)]), None);
        assert_eq!(win_rate(&[Some(2.0)]), None);
    }
}
