//! One reward from several reward models.
//!
//! **What it is for.** Models trained from different seeds or data err differently where they have seen little, which is
//! where a policy that is optimised against one of them ends up.
//!
//! **Formula.** Of the members' rewards `r_1 … r_M` for one response: their mean; their minimum (worst case); or the lower
//! bound `mean - k · s` with `s` their sample deviation (uncertainty-weighted).
//!
//! **Source.** Coste 2023 (arXiv 2310.02743), section 4.2; Eisenstein 2023 (arXiv 2312.09244), section 5.
//!
//! **Reference numbers.** Members are free up to a constant and a scale: [`Standard`] brings each to mean 0 and deviation 1
//! on the same responses before they are combined. Coste: five members, `k²` from 0.1 to 1.

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Combine {
    #[default]
    Mean,
    Minimum,
    /// Mean less so many deviations.
    LowerBound(f64),
}

/// The combined reward; 0 for no member.
pub fn combine(how: Combine, rewards: &[f64]) -> f64 {
    let count = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / count.max(1.0);
    match how {
        Combine::Mean => mean,
        Combine::Minimum => rewards.iter().copied().reduce(f64::min).unwrap_or(0.0),
        Combine::LowerBound(factor) => {
            let squares: f64 = rewards.iter().map(|reward| (reward - mean).powi(2)).sum();
            mean - factor * (squares / (count - 1.0).max(1.0)).sqrt()
        }
    }
}

/// What brings a member's rewards to mean 0 and deviation 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standard {
    pub mean: f64,
    pub deviation: f64,
}

impl Standard {
    /// Leaves rewards as they are.
    pub const IDENTITY: Self = Self { mean: 0.0, deviation: 1.0 };

    /// Of a member's rewards for some responses; a member that says the same of all is only shifted.
    pub fn of(rewards: &[f64]) -> Self {
        let count = rewards.len().max(1) as f64;
        let mean = rewards.iter().sum::<f64>() / count;
        let variance = rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / count;
        Self { mean, deviation: if variance > 0.0 { variance.sqrt() } else { 1.0 } }
    }

    pub fn apply(self, reward: f64) -> f64 {
        (reward - self.mean) / self.deviation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_by_hand() {
        let rewards = [1.0, 2.0, 6.0];
        assert_eq!(combine(Combine::Mean, &rewards), 3.0);
        assert_eq!(combine(Combine::Minimum, &rewards), 1.0);
        // Deviations -2, -1, 3: s² = 14 / 2.
        assert!((combine(Combine::LowerBound(0.5), &rewards) - (3.0 - 0.5 * 7.0_f64.sqrt())).abs() < 1e-12);
        assert_eq!(combine(Combine::LowerBound(0.5), &[4.0]), 4.0);
    }

    #[test]
    fn standardised_members_weigh_the_same() {
        let standard = Standard::of(&[10.0, 30.0]);
        assert_eq!([standard.apply(10.0), standard.apply(30.0)], [-1.0, 1.0]);
        assert_eq!(Standard::of(&[3.0, 3.0]).apply(3.0), 0.0);
    }
}
