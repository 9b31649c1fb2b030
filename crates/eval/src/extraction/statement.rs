//! Short answers of any kind (BIG-Bench Hard).
//!
//! **Ladder.** Strict: what follows the first "the answer is " to the end of its line, less a final stop; this is the
//! rule of the published scores. Flexible: what follows the last "answer is" or "answer:" in any spelling, without
//! marks of emphasis. Last resort: the last line that is not empty.
//!
//! **Source.** Suzgun 2022 (arXiv 2210.09261).
//!
//! **Reference numbers.** code-davinci-002 with chains of thought, strict, mean over 23 tasks: 73.93.

use std::sync::LazyLock;

use regex::Regex;

use super::{Extracted, Rung, line_from, span_of};

const MARK: &str = "the answer is ";
static STATEMENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)\banswer\b[*_]*\s*(?:is\b|:)[:*_\s]*").expect("a valid pattern"));

/// The answer that a response states.
pub fn extract(text: &str) -> Option<Extracted<String>> {
    let found = |rung, part: &str| {
        let part = part.trim();
        (!part.is_empty()).then(|| Extracted::new(part.to_owned(), rung, span_of(text, part)))
    };
    let without_stop = |line: &str| line.strip_suffix('.').map_or(line.len(), str::len);
    if let Some(at) = text.find(MARK) {
        let line = line_from(text, at + MARK.len());
        return found(Rung::Strict, &line[..without_stop(line)]);
    }
    if let Some(mark) = STATEMENT.find_iter(text).last() {
        let line = line_from(text, mark.end()).trim().trim_end_matches(['*', '_']);
        return found(Rung::Flexible, line[..without_stop(line)].trim_end_matches(['*', '_']));
    }
    found(Rung::LastResort, text.trim().lines().next_back()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder() {
        for (text, answer, rung) in [
            ("Let us see. So the answer is (B).\n\nQ: and the answer is (C).", "(B)", Rung::Strict),
            ("So the answer is ] ) >.", "] ) >", Rung::Strict),
            ("**Answer:** valid.", "valid", Rung::Flexible),
            ("The Answer is: **No.**", "No", Rung::Flexible),
            ("First this\nthen\nTrue\n\n", "True", Rung::LastResort),
        ] {
            let found = extract(text).unwrap();
            assert_eq!((found.answer.as_str(), found.rung), (answer, rung), "{text}");
            assert_eq!(&text[found.span], answer);
        }
        assert_eq!(extract(" \n "), None);
        assert_eq!(extract("the answer is ."), None);
    }
}
