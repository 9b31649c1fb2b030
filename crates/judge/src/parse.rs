//! Verdicts in texts. What none of these finds is unparsed, never a tie and never a guess.

use std::sync::LazyLock;

use regex::Regex;

/// What a text says of places A and B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    A,
    B,
    Tie,
}

fn pattern(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

static NAMED: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(?i)\b(?:output|response|answer|assistant|option|summary)\s*[\(\[*]*([ab12])\b"));
static VERDICT: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(?i)\bverdict\b[\s\*_]*[:=][\s\*_\(\[]*(?:(?:output|assistant)\s*[\(\[]?)?(a|b|tie)\b"));
static BRACKETS: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\[\[\s*([ABCabc])\s*\]\]"));
static GRADE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]"));
static SCORE: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(?i)\bscore\s*[\(\[]?([ab])\b[\)\]]?[\s\*_]*[:=][\s\*_]*(\d+(?:\.\d+)?)"));
static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\d+(?:\.\d+)?"));

fn place(letter: &str) -> Option<Place> {
    match letter.to_ascii_lowercase().as_str() {
        "a" => Some(Place::A),
        "b" => Some(Place::B),
        "c" | "tie" => Some(Place::Tie),
        _ => None,
    }
}

/// Which of two single-character choices a short answer is: it is one (quotes, brackets and a full stop aside), or it starts with one
/// that stands alone, or names exactly one of "output A" and "output B". With `m` and `M` case tells them apart.
pub(crate) fn choice(text: &str, choices: &[&str]) -> Option<usize> {
    let bare = text.trim().trim_matches(|c: char| "\"'`*_()[]{}.:".contains(c)).trim();
    let same_case = choices.iter().any(|a| choices.iter().any(|b| a != b && a.eq_ignore_ascii_case(b)));
    let equal = |word: &str, choice: &str| if same_case { word == choice } else { word.eq_ignore_ascii_case(choice) };
    if let Some(found) = choices.iter().position(|choice| equal(bare, choice)) {
        return Some(found);
    }
    // "A better answer" starts with an article; so a letter counts only before a mark or a line's end.
    let head = bare.lines().next().unwrap_or_default();
    let word = head.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let after = head.strip_prefix(word).and_then(|rest| rest.chars().next());
    if after.is_none_or(|mark| ".,:;)]*".contains(mark))
        && let Some(found) = choices.iter().position(|choice| equal(word, choice))
    {
        return Some(found);
    }
    let letters = NAMED.as_ref()?.captures_iter(text).filter_map(|found| found.get(1));
    let mut named: Vec<usize> = letters
        .filter_map(|letter| {
            choices.iter().position(|choice| !same_case && letter.as_str().eq_ignore_ascii_case(choice))
        })
        .collect();
    named.dedup();
    match named[..] {
        [only] => Some(only),
        _ => None,
    }
}

/// The last `Verdict: A`, `Verdict: B` or `Verdict: tie`.
pub(crate) fn verdict(text: &str) -> Option<Place> {
    VERDICT.as_ref()?.captures_iter(text).last().and_then(|found| place(found.get(1)?.as_str()))
}

/// The last `[[A]]`, `[[B]]` or `[[C]]`, the last of which is a tie.
pub(crate) fn bracketed(text: &str) -> Option<Place> {
    BRACKETS.as_ref()?.captures_iter(text).last().and_then(|found| place(found.get(1)?.as_str()))
}

/// The last `[[7]]`, if it lies in `low ..= high`.
pub(crate) fn bracketed_grade(text: &str, low: f64, high: f64) -> Option<f64> {
    let found = GRADE.as_ref()?.captures_iter(text).last()?;
    found.get(1)?.as_str().parse().ok().filter(|grade| (low..=high).contains(grade))
}

/// The last `Score A: 7` and the last `Score B: 5`, if both lie in `low ..= high`.
pub(crate) fn scores(text: &str, low: f64, high: f64) -> Option<[f64; 2]> {
    let (mut a, mut b) = (None, None);
    for found in SCORE.as_ref()?.captures_iter(text) {
        let value: Option<f64> = found.get(2).and_then(|number| number.as_str().parse().ok());
        match found.get(1).map(|letter| letter.as_str().to_ascii_lowercase()).as_deref() {
            Some("a") => a = value,
            _ => b = value,
        }
    }
    Some([a?, b?]).filter(|scores| scores.iter().all(|score| (low..=high).contains(score)))
}

/// The only number of a short answer, if it lies in `low ..= high`; `7/9` and "between 3 and 5" are not one number.
pub(crate) fn only_number(text: &str, low: f64, high: f64) -> Option<f64> {
    let mut numbers = NUMBER.as_ref()?.find_iter(text);
    let (first, more) = (numbers.next()?, numbers.next());
    let negative = text[..first.start()].ends_with('-');
    first.as_str().parse().ok().filter(|number| more.is_none() && !negative && (low..=high).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_in_texts() {
        for (text, found) in [
            ("A", Some(0)),
            (" b.\n", Some(1)),
            ("(a)", Some(0)),
            ("**B**", Some(1)),
            ("Output (b)", Some(1)),
            ("Output A is better, since it is short", Some(0)),
            ("A.\nIt is short", Some(0)),
            ("B) because", Some(1)),
            ("A better answer would be shorter", None),
            ("Output A is good but output B is better", None),
            ("neither", None),
            ("", None),
            ("   ", None),
        ] {
            assert_eq!(choice(text, &["A", "B"]), found, "{text}");
        }
        assert_eq!([choice("m", &["m", "M"]), choice("M", &["m", "M"])], [Some(0), Some(1)]);
        assert_eq!([choice(" 2", &["1", "2"]), choice("12", &["1", "2"])], [Some(1), None]);
    }

    #[test]
    fn verdicts_in_texts() {
        for (text, found) in [
            ("Both are short.\nVerdict: B", Some(Place::B)),
            ("Verdict: A? No.\n**Verdict:** b", Some(Place::B)),
            ("verdict: Output (a)", Some(Place::A)),
            ("Verdict: tie", Some(Place::Tie)),
            ("Verdict: A and B are alike\nVerdict: Tie.", Some(Place::Tie)),
            ("the verdict is open", None),
            ("Verdict: neither", None),
            ("Verdict: Better", None),
            ("", None),
        ] {
            assert_eq!(verdict(text), found, "{text}");
        }
        for (text, found) in
            [("so [[A]]", Some(Place::A)), ("[[A]] or [[B]]: [[C]]", Some(Place::Tie)), ("[A]", None), ("[[D]]", None)]
        {
            assert_eq!(bracketed(text), found, "{text}");
        }
    }

    #[test]
    fn grades_in_texts() {
        assert_eq!(bracketed_grade("Rating: [[7]]", 1.0, 10.0), Some(7.0));
        assert_eq!(bracketed_grade("[[3]] then [[8.5]]", 1.0, 10.0), Some(8.5));
        assert_eq!([bracketed_grade("[[11]]", 1.0, 10.0), bracketed_grade("7", 1.0, 10.0)], [None; 2]);
        assert_eq!(scores("Score A: 7\nScore B: 6.5", 1.0, 10.0), Some([7.0, 6.5]));
        assert_eq!(scores("**Score (b)**: 2\nScore A = 9", 1.0, 10.0), Some([9.0, 2.0]));
        assert_eq!([scores("Score A: 7", 1.0, 10.0), scores("Score A: 7, Score B: 70", 1.0, 10.0)], [None; 2]);
        for (text, found) in
            [("8", Some(8.0)), (" 3.", Some(3.0)), ("7/9", None), ("10", None), ("-3", None), ("", None)]
        {
            assert_eq!(only_number(text, 0.0, 9.0), found, "{text}");
        }
    }
}
