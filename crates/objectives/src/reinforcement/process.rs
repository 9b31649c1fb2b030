//! Advantages from rewards of single steps within a group of responses to one prompt (GRPO with process supervision).
//!
//! **What it optimises.** The rewards of steps relative to those of all steps of the policy's answers to the same prompt; each
//! token answers for the steps that end at it or after it.
//!
//! **When to use it.** With a process reward model in group methods: a long solution learns which of its parts was wrong. Longer
//! answers have more steps, so that the sums of the first tokens grow with their number.
//!
//! **Formula.** With `R` the rewards of all steps of a group, `r̃_j = (r_j - mean(R)) / (std(R) + 1e-4)` and
//! `A_t = Σ_{index(j) ≥ t} r̃_j`, `index(j)` being the last token of step `j`. The deviation is as in [`super::group`].
//!
//! **Source.** Shao 2024 (`DeepSeekMath`, arXiv 2402.03300), section 4.1.3.
//!
//! **Reference numbers.** 0 behind the last step; normalised steps add up to 0 in each group.

use super::group::{self, Deviation};

/// The steps of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Steps<'a> {
    /// (token, reward); a token beyond the response counts as its last.
    pub rewards: &'a [(usize, f64)],
    /// Tokens of the response.
    pub tokens: usize,
}

/// The advantage of each token (third index) of each response (second) of each group (first) of a step.
pub fn advantages(groups: &[Vec<Steps<'_>>], deviation: Deviation) -> Vec<Vec<Vec<f64>>> {
    let of_group = |group: &Vec<Steps<'_>>| -> Vec<f64> {
        group.iter().flat_map(|steps| steps.rewards.iter().map(|(_, reward)| *reward)).collect()
    };
    let rewards: Vec<Vec<f64>> = groups.iter().map(of_group).collect();
    let normalised = group::advantages(&rewards, deviation).advantages;
    let spread = |(group, normalised): (&Vec<Steps<'_>>, Vec<f64>)| {
        let mut normalised = normalised.into_iter();
        group.iter().map(|steps| to_go(steps, &mut normalised)).collect()
    };
    groups.iter().zip(normalised).map(spread).collect()
}

/// `rewards` continues with those of the response's steps.
fn to_go(steps: &Steps<'_>, rewards: &mut impl Iterator<Item = f64>) -> Vec<f64> {
    let mut advantages = vec![0.0; steps.tokens];
    for (&(token, _), reward) in steps.rewards.iter().zip(rewards) {
        if let Some(last) = steps.tokens.checked_sub(1) {
            advantages[token.min(last)] += reward;
        }
    }
    let mut sum = 0.0;
    for advantage in advantages.iter_mut().rev() {
        sum += *advantage;
        *advantage = sum;
    }
    advantages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Mean 2; squares 1, 1, 4, 4 over 3.
        let first = Steps { rewards: &[(0, 1.0), (2, 3.0)], tokens: 4 };
        let second = Steps { rewards: &[(1, 0.0), (9, 4.0)], tokens: 3 };
        let nothing = Steps { rewards: &[(0, 5.0)], tokens: 0 };
        let groups = advantages(&[vec![first, second]], Deviation::One);
        assert_eq!(groups, [[vec![0.0, 1.0, 1.0, 0.0], vec![0.0, 0.0, 2.0]]]);
        let divisor = (10.0_f64 / 3.0).sqrt() + 1e-4;
        let divided = advantages(&[vec![first, second]], Deviation::Group);
        assert!((divided[0][0][1] - 1.0 / divisor).abs() < 1e-12);
        assert!((divided[0][1][2] - 2.0 / divisor).abs() < 1e-12);
        // A group's steps say nothing of another's, and a response of no tokens has none.
        let two = advantages(&[vec![first, second], vec![nothing, Steps::default()]], Deviation::One);
        assert_eq!(two[0], groups[0]);
        assert_eq!(two[1], [vec![], Vec::<f64>::new()]);
    }

    /// One step at the end of each answer is what outcome supervision gives.
    #[test]
    fn a_single_step_is_an_outcome() {
        let rewards = [0.25, 1.0, 0.5];
        let steps: Vec<[(usize, f64); 1]> = rewards.iter().map(|&reward| [(5, reward)]).collect();
        let group = steps.iter().map(|rewards| Steps { rewards, tokens: 6 }).collect();
        let ours = advantages(&[group], Deviation::Group);
        let outcome = group::advantages(&[rewards.to_vec()], Deviation::Group).advantages;
        for (ours, outcome) in ours[0].iter().zip(&outcome[0]) {
            assert!(ours.iter().all(|advantage| advantage == outcome));
        }
    }
}
