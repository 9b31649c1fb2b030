//! Numbers that answer a word problem (GSM8K, MGSM, SVAMP).
//!
//! **Ladder.** Strict: the number after the last `####`, or a last line `A: x`. Flexible: the number after the last
//! "answer is", "answer:" (or the words for it in the languages of MGSM) or in the last `\boxed{}`; where that line
//! goes on to an equation, its right side. Last resort: the last number.
//!
//! **Known faults of others that this avoids.** `(-?[$0-9.,]{2,})|(-?[0-9]+)` of lm-evaluation-harness also matches
//! "..." and "$,"; its strict form takes the *first* `####`, which is a recited example's; a comma kept in `1,234` made
//! about 50 of 130 "wrong" answers of OpenCompass right ones; "18." is not 18.
//!
//! **Source.** Cobbe 2021 (arXiv 2110.14168) for `####`; Wei 2022 (arXiv 2201.11903) for "The answer is".

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::boxed::last_boxed;
use super::{Extracted, Rung, line_from};

/// A decimal number in one spelling: no separators of thousands, no zeros that say nothing. Equality is exact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number(String);

impl Number {
    /// From digits that may have a point.
    fn new(negative: bool, digits: &str) -> Self {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let mut number = if whole.is_empty() { "0".to_owned() } else { whole.to_owned() };
        if !fraction.is_empty() {
            number = number + "." + fraction;
        }
        Self(if negative && number != "0" { format!("-{number}") } else { number })
    }

    /// The number that a reference answer states: its `####` or, without one, its last.
    pub fn expected(reference: &str) -> Option<Self> {
        extract(reference).map(|found| found.answer)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

static HASHES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"####").expect("a valid pattern"));
static LAST_LINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:^|\n)A: *[^\n]*\s*$").expect("a valid pattern"));
static STATEMENT: LazyLock<Regex> = LazyLock::new(|| {
    let english = r"\banswer\b[*_]*\s*(?:is\b|:|=)|\banswer to [^\n.]{1,80} is\b";
    let others = r"\b(?:antwort|respuesta|réponse|ответ|jibu)\b|答え|答案|উত্তর|సమాధానం|คำตอบ";
    Regex::new(&format!("(?i){english}|{others}")).expect("a valid pattern")
});

/// The number that a response answers with.
pub fn extract(text: &str) -> Option<Extracted<Number>> {
    let hashes = HASHES.find_iter(text).last().and_then(|mark| first_number(text, mark.end()));
    let last_line =
        || LAST_LINE.find(text).and_then(|line| first_number(text, line.start() + line.as_str().find(':')?));
    if let Some((answer, span)) = hashes.or_else(last_line) {
        return Some(Extracted::new(answer, Rung::Strict, span));
    }
    let marks: Vec<Range<usize>> = STATEMENT.find_iter(text).map(|mark| mark.range()).collect();
    let stated = (0..marks.len()).rev().find_map(|at| {
        let end = marks.get(at + 1).map_or(text.len(), |next| next.start);
        stated_number(&text[..end], marks[at].end)
    });
    let boxed = || {
        last_boxed(text).and_then(|span| numbers(&text[span.clone()]).last().map(|found| shifted(found, span.start)))
    };
    if let Some((answer, span)) = stated.or_else(boxed) {
        return Some(Extracted::new(answer, Rung::Flexible, span));
    }
    numbers(text).last().map(|(answer, span)| Extracted::new(answer, Rung::LastResort, span))
}

fn shifted((number, span): (Number, Range<usize>), by: usize) -> (Number, Range<usize>) {
    (number, span.start + by..span.end + by)
}

fn first_number(text: &str, start: usize) -> Option<(Number, Range<usize>)> {
    numbers(line_from(text, start)).next().map(|found| shifted(found, start))
}

/// What a statement from `start` to the end of the text says: of "5 + 3 = 8" the 8, of "8 apples, 3 more than before"
/// the 8.
fn stated_number(text: &str, start: usize) -> Option<(Number, Range<usize>)> {
    let line = line_from(text, start);
    let sentence = line.find(". ").map_or(line, |end| &line[..end]);
    let right_side = sentence.rfind('=').map_or(start, |sign| start + sign + 1);
    first_number(text, right_side).or_else(|| first_number(text, start))
}

/// All numbers of a text with their places. Commas are separators only between groups of three digits, a point needs a
/// digit after it, a minus sign belongs to a number only where nothing stands before it that it could subtract from.
pub fn numbers(text: &str) -> impl Iterator<Item = (Number, Range<usize>)> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let run = move |start: usize| (start..bytes.len()).take_while(|&at| digit(at)).count();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !digit(at) && !(bytes[at] == b'.' && digit(at + 1)) {
            at += 1;
        }
        if at >= bytes.len() {
            return None;
        }
        let start = at;
        let mut digits = String::new();
        at += run(start);
        digits.push_str(&text[start..at]);
        if (1..=3).contains(&(at - start)) {
            while bytes.get(at) == Some(&b',') && run(at + 1) == 3 {
                digits.push_str(&text[at + 1..at + 4]);
                at += 4;
            }
        }
        if bytes.get(at) == Some(&b'.') && digit(at + 1) {
            let end = at + 1 + run(at + 1);
            digits.push_str(&text[at..end]);
            at = end;
        }
        let before = text[..start].trim_end_matches(['$', '€', '£', '¥']);
        let unsigned = before.strip_suffix(['-', '−', '–']);
        let sign =
            unsigned.filter(|before| !before.ends_with(|before: char| before.is_alphanumeric() || before == ')'));
        let first =
            if sign.is_some() { before.len() - before.chars().next_back().map_or(0, char::len_utf8) } else { start };
        Some((Number::new(sign.is_some(), &digits), first..at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, answer: &str, rung: Rung) {
        let found = extract(text).unwrap();
        assert_eq!(
            (found.answer.to_string().as_str(), found.rung),
            (answer, rung),
            "{text:?} {:?}",
            &text[found.span.clone()]
        );
    }

    #[test]
    fn the_ladder() {
        check("3 + 4 = 7\n#### 7", "7", Rung::Strict);
        check("So she makes $18.\nA: 18", "18", Rung::Strict);
        check("So the answer is 12 apples, 3 more than before.", "12", Rung::Flexible);
        check("**Answer:** $1,250.00", "1250", Rung::Flexible);
        check("The answer is 5 + 3 = 8 apples.", "8", Rung::Flexible);
        check("The answer to the question is 8.", "8", Rung::Flexible);
        check(r"Hence \boxed{42}. That was 2 steps.", "42", Rung::Flexible);
        check("Die Antwort ist 11. Das sind 3 Schritte.", "11", Rung::Flexible);
        check("所以答案是 1,024。共 2 步", "1024", Rung::Flexible);
        check("She has 5, then 6 apples.", "6", Rung::LastResort);
        assert_eq!(extract("I do not know the answer."), None);
        assert_eq!(extract(""), None);
    }

    #[test]
    fn the_faults_of_others() {
        // Matches of `[$0-9.,]{2,}` that are no numbers.
        check("It costs 7 dollars ... or so, $, I think", "7", Rung::LastResort);
        // The first #### is the example's that the model recites.
        check("Q: 1 + 1?\n#### 2\n\nQ: 2 + 3?\n#### 5", "5", Rung::Strict);
        // Commas and full stops.
        check("#### 1,234", "1234", Rung::Strict);
        check("#### 18.", "18", Rung::Strict);
        check("The total is 10,000.", "10000", Rung::LastResort);
        check("The answer is $ 70,000.00.", "70000", Rung::Flexible);
    }

    #[test]
    fn numbers_in_texts() {
        for (text, expected) in [
            ("1,234,567.80", vec!["1234567.8"]),
            ("[1,2,3]", vec!["1", "2", "3"]),
            ("1,2345", vec!["1", "2345"]),
            ("1234,567", vec!["1234", "567"]),
            ("-5, −6 and -$7.50", vec!["-5", "-6", "-7.5"]),
            ("3-4 and (2)-1", vec!["3", "4", "2", "1"]),
            (".5 or 0.50 or 007", vec!["0.5", "0.5", "7"]),
            ("-0", vec!["0"]),
            ("٣ ... , $", vec![]),
        ] {
            let found: Vec<String> = numbers(text).map(|(number, _)| number.to_string()).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn spans_are_the_number() {
        for text in ["so €−12.50 it is", "#### -3", r"\boxed{x = 19}", "the answer is 4."] {
            let found = extract(text).unwrap();
            let again: Vec<Number> = numbers(&text[found.span.clone()]).map(|(number, _)| number).collect();
            assert_eq!(again, [found.answer], "{text}");
        }
    }
}
