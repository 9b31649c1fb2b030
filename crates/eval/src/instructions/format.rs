//! Forms that are seen in the text: JSON, sections, lists, highlights, titles.

use std::sync::LazyLock;

use regex::Regex;

const OPTIONS: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

static STARS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)^\s*\*[^*].*$").expect("a valid pattern"));
static DASHES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)^\s*-.*$").expect("a valid pattern"));
static HIGHLIGHT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\*[^\n*]*\*").expect("a valid pattern"));
static BOLD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\*\*[^\n*]*\*\*").expect("a valid pattern"));
static TITLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<<[^\n]+>>").expect("a valid pattern"));

/// Whether one of the three answers is in the text.
pub(super) fn is_constrained(text: &str) -> bool {
    OPTIONS.iter().any(|option| text.contains(option))
}

/// Whether all of it is JSON, perhaps between fences.
pub(super) fn is_json(text: &str) -> bool {
    let mut inside = text.trim();
    for fence in ["```json", "```Json", "```JSON", "```"] {
        inside = inside.strip_prefix(fence).unwrap_or(inside);
    }
    let inside = inside.strip_suffix("```").unwrap_or(inside).trim();
    serde_json::from_str::<serde_json::Value>(inside).is_ok()
}

/// Markers with a number behind them.
pub(super) fn sections(text: &str, marker: &str) -> usize {
    let pattern = Regex::new(&format!(r"{}\s?\d+", regex::escape(marker)));
    pattern.map_or(0, |pattern| pattern.find_iter(text).count())
}

/// Lines that begin with one asterisk, and lines that begin with a dash.
pub(super) fn bullets(text: &str) -> usize {
    STARS.find_iter(text).count() + DASHES.find_iter(text).count()
}

/// Texts between asterisks; those between two on each side once more.
pub(super) fn highlights(text: &str) -> usize {
    let written = |found: &regex::Match<'_>| !found.as_str().trim_matches('*').trim().is_empty();
    HIGHLIGHT.find_iter(text).filter(written).count() + BOLD.find_iter(text).filter(written).count()
}

/// Whether something stands between double angle brackets.
pub(super) fn has_title(text: &str) -> bool {
    TITLE.find_iter(text).any(|title| !title.as_str().trim_start_matches('<').trim_end_matches('>').trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json() {
        for text in ["{\"a\": [1, null]}", "```json\n{}\n```", " ``` [] ``` ", "3"] {
            assert!(is_json(text), "{text}");
        }
        for text in ["", "Here: {}", "{'a': 1}", "```json\n{}\n``` done"] {
            assert!(!is_json(text), "{text}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(sections("SECTION 1\na\nSECTION 2\nb\nSECTION X", "SECTION"), 2);
        assert_eq!(bullets("* one\n  * two\n** bold\n- three\n-- four\ntext * no"), 4);
        assert_eq!(highlights("*one* and *two* but not ** or *a\nb*"), 2);
        assert_eq!(highlights("**bold**"), 1);
    }

    #[test]
    fn titles_and_options() {
        assert!(has_title("<<joy>>") && !has_title("<< >>") && !has_title("<joy>") && !has_title("<<a\nb>>"));
        assert!(is_constrained("Well. My answer is no.") && !is_constrained("My answer is no"));
    }
}
