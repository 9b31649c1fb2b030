//! Letters that answer a question with options (MMLU, ARC, C-Eval, BBH's and the rest).
//!
//! **Ladder.** Strict: the response is a letter ("B", "(B).", "B) Paris"), or the last statement is of one ("answer is
//! (B)", "answer: B", "答案是B", "故选B"); where that names two options, or one that there is not, nothing is found.
//! Flexible: only one letter stands in brackets, bold or a box, or only one option's text occurs. Last resort: the last
//! capital that stands alone and is no article or pronoun.
//!
//! **Known faults of others that this avoids.** A search for `[A-D]` finds the A of "A dog"; a pattern for "(B)" scores
//! 0 where the examples taught "B." (lm-evaluation-harness #3404).

use std::sync::LazyLock;

use regex::Regex;

use super::{Extracted, Rung};

static WHOLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[\s*_(（\[$]*([A-Z])(?:[\s*_)）\].:,。$]*$|[)）\].:：]+[*_]*\s|、)").expect("a valid pattern")
});
static STATEMENT: LazyLock<Regex> = LazyLock::new(|| {
    let says = r"(?i:\banswer\b(?:\s+is)?|\b(?:option|choice)\s+is|答案(?:是|为|選|选)?|[故应]?选(?:择|项)?)";
    let opens = r"[:：\s*_$]*(?i:option\s+)?(?:\\boxed\{|\\text\{)*[(\[（$*]*";
    Regex::new(&format!("{says}{opens}([A-Z])(?:$|[^A-Za-z'’])")).expect("a valid pattern")
});
static ANOTHER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^[)）\]}*_$]*,?\s*(?:&|/|和|或|、|(?i:and|or)\b)\s*(?i:option\s+)?[(（\[*_$]*[A-Z]\b")
        .expect("a valid pattern")
});
static MARKED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[(（]([A-Z])[)）]|\*\*([A-Z])[.):]?\*\*|\\boxed\{(?:\\text\{)?\(?([A-Z])\)?\}")
        .expect("a valid pattern")
});
static ALONE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b([A-Z])\b").expect("a valid pattern"));

/// The option that a response chooses, by number from 0. `options` are their texts.
pub fn extract(text: &str, options: &[&str]) -> Option<Extracted<usize>> {
    let option = |letter: regex::Match<'_>| {
        let index = usize::from(letter.as_str().as_bytes()[0] - b'A');
        (index < options.len()).then(|| (index, letter.range()))
    };
    let alone = || ALONE.find_iter(text).filter(|letter| !is_word(text, letter.start())).filter_map(option);
    // "(A) no, (B) yes" begins with a letter and does not choose it.
    let whole = WHOLE
        .captures(text)
        .and_then(|captures| option(captures.get(1)?))
        .filter(|(index, _)| alone().all(|(other, _)| other == *index));
    if let Some((index, span)) = whole {
        return Some(Extracted::new(index, Rung::Strict, span));
    }
    let letters = STATEMENT.captures_iter(text).filter_map(|captures| captures.get(1));
    if let Some(letter) = letters.filter(|letter| !is_word(text, letter.start())).last() {
        // A statement of two options, or of none of these, is an answer that no guess may replace.
        let (index, span) = option(letter).filter(|(_, span)| !ANOTHER.is_match(&text[span.end..]))?;
        return Some(Extracted::new(index, Rung::Strict, span));
    }
    let marked = MARKED.captures_iter(text).filter_map(|captures| option(captures.iter().skip(1).flatten().next()?));
    if let Some((index, span)) = only_one(marked).or_else(|| only_one(occurrences(text, options))) {
        return Some(Extracted::new(index, Rung::Flexible, span));
    }
    alone().last().map(|(index, span)| Extracted::new(index, Rung::LastResort, span))
}

/// The last, if all are the same option.
fn only_one<S>(mut found: impl Iterator<Item = (usize, S)>) -> Option<(usize, S)> {
    let first = found.next()?;
    found.try_fold(first, |last, next| (last.0 == next.0).then_some(next))
}

/// Where the options' texts stand, each counted only outside of longer options that contain it.
fn occurrences(text: &str, options: &[&str]) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let mut found: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    for (index, option) in options.iter().enumerate().filter(|(_, option)| !option.trim().is_empty()) {
        let option = option.trim();
        let bounded = |start: usize, end: usize| {
            !text[..start].ends_with(char::is_alphanumeric) && !text[end..].starts_with(char::is_alphanumeric)
        };
        found.extend(
            text.match_indices(option)
                .map(|(start, _)| (index, start..start + option.len()))
                .filter(|(_, span)| bounded(span.start, span.end)),
        );
    }
    // A longer option begins no later and comes first; what ends within the one that reaches farthest is inside it.
    found.sort_by_key(|(_, span)| (span.start, std::cmp::Reverse(span.end)));
    let mut farthest = 0..0;
    found.retain(|(_, span)| {
        let inside = span.end <= farthest.end && span.len() < farthest.len();
        if span.end > farthest.end {
            farthest = span.clone();
        }
        !inside
    });
    found.into_iter()
}

/// "A dog", "I think": a capital that begins a phrase.
fn is_word(text: &str, start: usize) -> bool {
    let mut rest = text[start..].chars();
    let letter = rest.next();
    matches!(letter, Some('A' | 'I'))
        && match rest.next() {
            Some('\'' | '’') => true,
            Some(' ') => rest.next().is_some_and(char::is_alphabetic),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CITIES: [&str; 4] = ["Oslo", "Paris", "New York", "York"];

    #[track_caller]
    fn check(text: &str, index: usize, rung: Rung) {
        let found = extract(text, &CITIES).unwrap_or_else(|| panic!("{text}"));
        assert_eq!((found.answer, found.rung), (index, rung), "{text}");
    }

    #[test]
    fn the_ladder() {
        for text in [
            "B",
            " (B)",
            "B.",
            "B) Paris",
            "**B**",
            "B. Paris is right",
            "The answer is (B).",
            "Answer: B",
            "So the correct answer is **B**.",
        ] {
            check(text, 1, Rung::Strict);
        }
        check("First I thought the answer is A. On reflection, the answer is C.", 2, Rung::Strict);
        for text in ["答案是D。", "答案：D", "综上，故选D。", "（D）", "D、北京"] {
            check(text, 3, Rung::Strict);
        }
        check(r"The answer is $\boxed{\text{D}}$", 3, Rung::Strict);
        check("Of all these (B) fits best.", 1, Rung::Flexible);
        check("It must be Paris", 1, Rung::Flexible);
        check("It must be New York", 2, Rung::Flexible);
        check("(A) no, (B) no, so C", 2, Rung::LastResort);
        check("Not option A, nor option B: C", 2, Rung::LastResort);
        check("Neither Oslo nor Paris, rather D", 3, Rung::LastResort);
    }

    #[test]
    fn words_are_no_letters() {
        for text in
            ["A dog would know.", "I think so", "The answer is A dog", "E", "(E)", "", "none of them", "Yorkshire"]
        {
            assert_eq!(extract(text, &CITIES), None, "{text}");
        }
    }

    #[test]
    fn spans_are_the_letter() {
        let text = "The answer is (C), as York is old.";
        assert_eq!(&text[extract(text, &CITIES).unwrap().span], "C");
    }
}
