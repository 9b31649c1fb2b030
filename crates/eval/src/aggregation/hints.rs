//! Progressive hints: ask again with the answers so far, until two in a row agree.
//!
//! **Formula.** The question, then the question with "(Hint: The answer is near to a₁, …, aₖ)". The answer stands when
//! it is the one before it; an unread response is asked again without adding a hint.
//!
//! **Source.** Zheng 2023 (arXiv 2304.09797), section 3.

use std::fmt::Display;

/// What is to be done after the answers so far.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<A> {
    /// Ask the question with this behind it; empty the first time.
    Ask(String),
    Stop(Outcome<A>),
}

/// How asking ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<A> {
    /// Two in a row agreed.
    Settled(A),
    /// They never did; this was the last.
    Unsettled(A),
    /// No response could be read.
    NoAnswer,
}

/// The next step, from the answers found in the responses so far, and how many may be asked for at most.
pub fn next<A: PartialEq + Clone + Display>(responses: &[Option<A>], most: usize) -> Next<A> {
    let answers: Vec<&A> = responses.iter().flatten().collect();
    // The last two responses, not the last two answers: an unread one between them is no agreement.
    if let [.., Some(before), Some(last)] = responses
        && before == last
    {
        return Next::Stop(Outcome::Settled(last.clone()));
    }
    if responses.len() >= most {
        let last = answers.last().map(|answer| Outcome::Unsettled((*answer).clone()));
        return Next::Stop(last.unwrap_or(Outcome::NoAnswer));
    }
    if answers.is_empty() {
        return Next::Ask(String::new());
    }
    let hints: Vec<String> = answers.iter().map(ToString::to_string).collect();
    Next::Ask(format!(" (Hint: The answer is near to {}).", hints.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_two_agree() {
        assert_eq!(next::<i32>(&[], 5), Next::Ask(String::new()));
        assert_eq!(next(&[Some(3)], 5), Next::Ask(" (Hint: The answer is near to 3).".to_owned()));
        assert_eq!(next(&[Some(3), Some(4)], 5), Next::Ask(" (Hint: The answer is near to 3, 4).".to_owned()));
        assert_eq!(next(&[Some(3), Some(4), Some(4)], 5), Next::Stop(Outcome::Settled(4)));
        assert_eq!(next(&[Some(3), None, Some(3)], 5), Next::Ask(" (Hint: The answer is near to 3, 3).".to_owned()));
    }

    #[test]
    fn not_for_ever() {
        assert_eq!(next(&[Some(3), Some(4), None], 3), Next::Stop(Outcome::Unsettled(4)));
        assert_eq!(next::<i32>(&[None, None], 2), Next::Stop(Outcome::NoAnswer));
        assert_eq!(next(&[Some(3), Some(4), Some(4)], 3), Next::Stop(Outcome::Settled(4)));
    }
}
