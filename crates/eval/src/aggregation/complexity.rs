//! Votes of the longest chains of thought only.
//!
//! **Formula.** Of `N` samples the `K` with the most steps vote, a step being a line that is not empty; among samples
//! as long, the earlier comes first. Those without an answer leave their place to the next.
//!
//! **When to use it.** Where longer chains are right more often on the task at hand, which must be measured first: with
//! no such correlation it is a majority vote that throws samples away.
//!
//! **Source.** Fu 2022 (arXiv 2210.00720), section 3.2.
//!
//! **Reference numbers.** `K = N` is the majority vote.

use super::samples::majority;

/// Lines that are not empty.
pub fn steps(response: &str) -> usize {
    response.lines().filter(|line| !line.trim().is_empty()).count()
}

/// The vote of the `voters` samples with the most steps. `samples` are steps with the answer, if one was found.
pub fn complexity_vote<A: PartialEq + Clone>(samples: &[(usize, Option<A>)], voters: usize) -> Option<A> {
    let mut answered: Vec<&(usize, Option<A>)> = samples.iter().filter(|(_, answer)| answer.is_some()).collect();
    answered.sort_by_key(|(steps, _)| std::cmp::Reverse(*steps));
    let votes: Vec<Option<A>> = answered.into_iter().take(voters).map(|(_, answer)| answer.clone()).collect();
    majority(&votes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_vote() {
        let samples = [(2, Some("a")), (9, None), (2, Some("a")), (7, Some("b")), (2, Some("a")), (5, Some("b"))];
        assert_eq!(complexity_vote(&samples, 2), Some("b"));
        assert_eq!(complexity_vote(&samples, 6), Some("a"));
        assert_eq!(complexity_vote(&samples, 1), Some("b"));
        assert_eq!(complexity_vote(&samples, 0), None);
    }

    #[test]
    fn steps_are_lines() {
        assert_eq!(steps("First.\n\n  \nThen.\nSo 3."), 3);
        assert_eq!(steps(""), 0);
    }
}
