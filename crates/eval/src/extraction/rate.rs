//! A score with the share of answers that could be read, without which it says nothing.
//!
//! **Formula.** Accuracy counts what is unparsed as wrong; the truth lies between that and the accuracy with all of it
//! right: `[right/n, (right + unparsed)/n]`. Below an extraction rate of 90 % the score is about the extractor and is
//! void.
//!
//! **Source.** The rule of thumb of Fu 2023 for GSM8K, where a rate below 90 % calls for more patterns first.

use super::Rung;
use crate::statistics::Interval;
use crate::statistics::proportion::wilson;

/// A lower share of answers that could be read voids a score.
pub const LOWEST_RATE: f64 = 0.9;

/// One response, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    Right(Rung),
    Wrong(Rung),
    /// Nothing was found in it.
    Unparsed(Unparsed),
}

/// Why nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// The response has no text.
    Empty,
    /// It was cut off by the limit on its length.
    Truncated,
    /// It ended by itself, without an answer that any rung knows.
    NoAnswer,
}

impl Judged {
    /// Of an answer that was looked for in a response.
    pub fn of(found: Option<(Rung, bool)>, response: &str, truncated: bool) -> Self {
        match found {
            Some((rung, true)) => Self::Right(rung),
            Some((rung, false)) => Self::Wrong(rung),
            None if response.trim().is_empty() => Self::Unparsed(Unparsed::Empty),
            None if truncated => Self::Unparsed(Unparsed::Truncated),
            None => Self::Unparsed(Unparsed::NoAnswer),
        }
    }
}

/// Counts over all responses of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: usize,
    pub right: usize,
    pub strict: usize,
    pub flexible: usize,
    pub last_resort: usize,
    pub empty: usize,
    pub truncated: usize,
    pub no_answer: usize,
}

impl Tally {
    pub fn of(judged: impl IntoIterator<Item = Judged>) -> Self {
        let mut tally = Self::default();
        for judged in judged {
            tally.count += 1;
            match judged {
                Judged::Right(rung) | Judged::Wrong(rung) => {
                    tally.right += usize::from(matches!(judged, Judged::Right(_)));
                    *match rung {
                        Rung::Strict => &mut tally.strict,
                        Rung::Flexible => &mut tally.flexible,
                        Rung::LastResort => &mut tally.last_resort,
                    } += 1;
                }
                Judged::Unparsed(Unparsed::Empty) => tally.empty += 1,
                Judged::Unparsed(Unparsed::Truncated) => tally.truncated += 1,
                Judged::Unparsed(Unparsed::NoAnswer) => tally.no_answer += 1,
            }
        }
        tally
    }

    pub fn unparsed(&self) -> usize {
        self.empty + self.truncated + self.no_answer
    }

    /// The share of responses in which an answer was found.
    pub fn rate(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.count - self.unparsed()) as f64 / self.count as f64)
    }

    /// The share of right answers, unparsed ones counted as wrong.
    pub fn accuracy(&self) -> Option<f64> {
        (self.count > 0).then(|| self.right as f64 / self.count as f64)
    }

    /// Where the accuracy would lie if all unparsed responses were wrong, and if all were right.
    pub fn bounds(&self) -> Option<Interval> {
        let high = (self.right + self.unparsed()) as f64 / self.count as f64;
        self.accuracy().map(|low| Interval { low, high })
    }

    /// Wilson's interval of the accuracy.
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        wilson(self.right as f64, self.count, confidence)
    }

    /// Why the score is void, if it is.
    pub fn objection(&self) -> Option<String> {
        let rate = self.rate()?;
        let Self { count, empty, truncated, no_answer, .. } = self;
        let percent = 100.0 * rate;
        (rate < LOWEST_RATE).then(|| {
            format!(
                "an answer was found in {percent:.1} % of {count} responses only ({empty} empty, {truncated} cut off, \
                 {no_answer} without one)\n  fix: look at those responses; allow longer answers, or add their form to \
                 the ladder"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(right: usize, wrong: usize, unparsed: usize) -> Tally {
        let judged = [
            vec![Judged::Right(Rung::Strict); right],
            vec![Judged::Wrong(Rung::LastResort); wrong],
            vec![Judged::Unparsed(Unparsed::Truncated); unparsed],
        ];
        Tally::of(judged.concat())
    }

    #[test]
    fn scores_have_bounds() {
        let tally = tally(60, 30, 10);
        assert_eq!((tally.rate(), tally.accuracy()), (Some(0.9), Some(0.6)));
        assert_eq!(tally.bounds(), Some(Interval { low: 0.6, high: 0.7 }));
        assert_eq!((tally.strict, tally.last_resort, tally.truncated), (60, 30, 10));
        assert!(tally.interval(0.95).unwrap().contains(0.6));
        assert_eq!(Tally::default().rate(), None);
        assert_eq!(Tally::default().bounds(), None);
    }

    #[test]
    fn nine_in_ten_is_the_least() {
        assert_eq!(tally(60, 30, 10).objection(), None);
        let objection = tally(60, 29, 11).objection().unwrap();
        assert!(objection.starts_with("an answer was found in 89.0 % of 100 responses only (0 empty, 11 cut off"));
    }

    #[test]
    fn reasons() {
        assert_eq!(Judged::of(Some((Rung::Flexible, true)), "4", false), Judged::Right(Rung::Flexible));
        assert_eq!(Judged::of(None, " \n", true), Judged::Unparsed(Unparsed::Empty));
        assert_eq!(Judged::of(None, "so", true), Judged::Unparsed(Unparsed::Truncated));
        assert_eq!(Judged::of(None, "so", false), Judged::Unparsed(Unparsed::NoAnswer));
    }
}
