//! From what a model wrote to what it answered.
//!
//! Each kind of answer has a ladder: the form that was asked for, other forms that plainly state an answer, and a
//! guess. Every answer says on which [`Rung`] and where in the text it was found, so that a score can be traced and a
//! score of guesses is seen to be one. What no rung finds is *unparsed*, never silently wrong: [`rate`] keeps the count
//! beside the score.

pub mod boxed;
pub mod choice;
pub mod code;
pub mod number;
pub mod rate;
pub mod statement;

use std::ops::Range;

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// In the form that was asked for.
    Strict,
    /// In another form that states an answer.
    Flexible,
    /// By position alone.
    LastResort,
}

/// An answer and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted<T> {
    pub answer: T,
    pub rung: Rung,
    /// Bytes of the response.
    pub span: Range<usize>,
}

impl<T> Extracted<T> {
    fn new(answer: T, rung: Rung, span: Range<usize>) -> Self {
        Self { answer, rung, span }
    }
}

/// The rest of the line that starts at `start`.
fn line_from(text: &str, start: usize) -> &str {
    let rest = &text[start..];
    rest.split_once('\n').map_or(rest, |(line, _)| line)
}

/// Where `part`, a slice of `text`, stands in it.
fn span_of(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}
