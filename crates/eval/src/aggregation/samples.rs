//! Samples of which some have no answer.
//!
//! **Formula.** pass@k counts them as wrong, `1 - C(n - c, k)/C(n, k)` over all `n`. Votes are counted among the
//! others, so that a model that often fails to answer is not outvoted by its failures (one peer lets `[invalid]` win);
//! a tie goes to the answer that came first. Best-of-n takes the best-scored sample, whether it can be read or not, as
//! its score was given without looking.
//!
//! **Source.** Chen 2021 (arXiv 2107.03374), eq. 1; Wang 2022 (arXiv 2203.11171); Cobbe 2021 (arXiv 2110.14168) for
//! best-of-n under a verifier; Lightman 2023 (arXiv 2305.20050) for a process reward model's.

use camelid_objectives::selection::{best_of_n, pass_at_k};

use crate::statistics::mean::Mean;

/// The mean of pass@k over problems, each with `n ≥ k` samples of which some are right. `None` if a problem has fewer.
pub fn mean_pass_at_k(problems: &[(usize, usize)], k: usize) -> Option<Mean> {
    let each: Option<Vec<f64>> = problems.iter().map(|&(n, right)| pass_at_k::pass_at_k(n, right, k)).collect();
    Mean::of(&each?)
}

/// The answer that most samples with one give.
pub fn majority<A: PartialEq + Clone>(answers: &[Option<A>]) -> Option<A> {
    weighted_majority(answers, &vec![1.0; answers.len()])
}

/// The answer with the largest sum of weights (a reward model's probabilities, say).
pub fn weighted_majority<A: PartialEq + Clone>(answers: &[Option<A>], weights: &[f64]) -> Option<A> {
    let (given, weights): (Vec<&A>, Vec<f64>) =
        answers.iter().zip(weights).filter_map(|(answer, weight)| Some((answer.as_ref()?, *weight))).unzip();
    pass_at_k::weighted_majority(&given, &weights).map(|sample| given[sample].clone())
}

/// The answer of the sample with the highest score; `None` if that one has none.
pub fn best_of<A: Clone>(answers: &[Option<A>], scores: &[f64]) -> Option<A> {
    best_of_n::best(scores).and_then(|sample| answers.get(sample)?.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_does_not_vote() {
        assert_eq!(majority(&[None, Some(7), None, Some(12), None, Some(12)]), Some(12));
        assert_eq!(majority(&[Some(7), Some(12), None]), Some(7));
        assert_eq!(majority::<u8>(&[None, None]), None);
        assert_eq!(weighted_majority(&[None, Some("a"), Some("b"), Some("b")], &[9.0, 0.9, 0.3, 0.4]), Some("a"));
    }

    #[test]
    fn the_best_sample_answers_even_if_it_has_no_answer() {
        assert_eq!(best_of(&[Some(1), Some(2)], &[0.1, 0.4]), Some(2));
        assert_eq!(best_of(&[Some(1), None], &[0.1, 0.4]), None);
        assert_eq!(best_of(&[Some(1), Some(2)], &[f64::NAN, 0.4]), Some(2));
        assert_eq!(best_of::<u8>(&[], &[]), None);
    }

    #[test]
    fn problems_weigh_the_same() {
        let mean = mean_pass_at_k(&[(10, 5), (4, 1), (2, 0)], 1).unwrap();
        assert!((mean.value - 0.25).abs() < 1e-12 && mean.count == 3);
        assert_eq!(mean_pass_at_k(&[(10, 5), (1, 1)], 2), None);
    }
}
