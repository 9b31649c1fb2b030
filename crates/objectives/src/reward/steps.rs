//! One reward from what a process reward model says of the steps of an answer.
//!
//! **What it optimises.** That every step of an answer is right, and not only what it ends with.
//!
//! **When to use it.** With a process reward model ([`super::correctness`]), to choose among samples or as the reward of
//! reinforcement learning. `Min` and `Product` punish one wrong step wherever it stands, `Product` long answers too, as each
//! factor is below 1; `Last` trusts that the model saw all that came before; `Mean` forgives.
//!
//! **Formula.** With `p_k = σ(v_k)` after step `k` of `K`: `min p_k`, `Π p_k`, `p_K`, `Σ p_k / K`. An answer without a step is
//! worth 0.
//!
//! **Source.** Product and minimum: Lightman 2023 (arXiv 2305.20050), section 2.6; minimum: Wang 2023 (Math-Shepherd, arXiv
//! 2312.08935); last: Snell 2024 (arXiv 2408.03314).
//!
//! **Reference numbers.** All lie between 0 and 1; two steps of log-odds 0 have 1/2, 1/4, 1/2 and 1/2. Lightman's best of 1,860
//! on MATH by the product: 78.2 %.

use crate::preference::{log_sigmoid, sigmoid};

/// How the steps' probabilities become one reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    #[default]
    Min,
    Product,
    Last,
    Mean,
}

impl Aggregate {
    /// From the log-odds that each step is right.
    pub fn of(self, log_odds: &[f64]) -> f64 {
        let Some(last) = log_odds.last() else { return 0.0 };
        match self {
            Self::Min => sigmoid(log_odds.iter().copied().fold(f64::INFINITY, f64::min)),
            Self::Product => log_odds.iter().map(|&odds| log_sigmoid(odds)).sum::<f64>().exp(),
            Self::Last => sigmoid(*last),
            Self::Mean => log_odds.iter().map(|&odds| sigmoid(odds)).sum::<f64>() / log_odds.len() as f64,
        }
    }
}

/// A step of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// Without white space around it.
    pub text: &'a str,
    /// The byte of the answer after its last one.
    pub end: usize,
}

/// The steps of an answer: what stands between separators and is not blank. An empty separator leaves it in one piece.
pub fn steps<'a>(answer: &'a str, separator: &str) -> Vec<Step<'a>> {
    let pieces: Vec<(usize, &str)> = match separator {
        "" => vec![(0, answer)],
        separator => {
            let mut start = 0;
            let piece = |piece: &'a str| {
                let place = start;
                start += piece.len() + separator.len();
                (place, piece)
            };
            answer.split(separator).map(piece).collect()
        }
    };
    let step = |(start, piece): (usize, &'a str)| {
        let text = piece.trim();
        (!text.is_empty()).then(|| Step { text, end: start + piece.trim_end().len() })
    };
    pieces.into_iter().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_by_hand() {
        // Probabilities 0.5, 0.9 and 0.2.
        let log_odds = [0.0, 9.0_f64.ln(), -(4.0_f64.ln())];
        for (aggregate, by_hand) in
            [(Aggregate::Min, 0.2), (Aggregate::Product, 0.09), (Aggregate::Last, 0.2), (Aggregate::Mean, 1.6 / 3.0)]
        {
            assert!((aggregate.of(&log_odds) - by_hand).abs() < 1e-12, "{aggregate:?}");
            assert_eq!(aggregate.of(&[]), 0.0);
            assert!((aggregate.of(&[9.0_f64.ln()]) - 0.9).abs() < 1e-12);
        }
        // Large log-odds stay numbers.
        assert_eq!(Aggregate::Product.of(&[-900.0, 900.0]), 0.0);
        assert_eq!(Aggregate::Product.of(&[900.0, 900.0]), 1.0);
    }

    /// The product ranks as the sum of log-probabilities of [`super::super::correctness::solution`] does.
    #[test]
    fn the_product_is_a_solution_s_probability() {
        let values = [0.3_f32, -1.2, 2.5];
        let product = Aggregate::Product.of(&values.map(f64::from));
        assert!((product.ln() - super::super::correctness::solution(&values)).abs() < 1e-12);
    }

    #[test]
    fn steps_lie_between_separators() {
        let answer = "  First.\n\nSecond, ä. \n \nThird.\n";
        let found = steps(answer, "\n");
        assert_eq!(found.iter().map(|step| step.text).collect::<Vec<_>>(), ["First.", "Second, ä.", "Third."]);
        for step in &found {
            assert!(answer[..step.end].ends_with(step.text));
        }
        assert_eq!(steps(answer, "\n\n").len(), 2);
        assert_eq!(steps(answer, "").len(), 1);
        assert_eq!(steps(" \n ", "\n"), []);
        let marked = steps("a ки\n b ки\n", "ки\n");
        assert_eq!(marked.iter().map(|step| (step.text, step.end)).collect::<Vec<_>>(), [("a", 1), ("b", 9)]);
    }
}
