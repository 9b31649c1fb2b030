//! Placeholders and postscripts.

use std::sync::LazyLock;

use regex::Regex;

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[.*?\]").expect("a valid pattern"));
static POSTSCRIPT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"p\.\s?s\.").expect("a valid pattern"));
static SECOND_POSTSCRIPT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"p\.\s?p\.\s?s").expect("a valid pattern"));

/// Square brackets, each within a line.
pub(super) fn placeholders(text: &str) -> usize {
    PLACEHOLDER.find_iter(text).count()
}

/// Whether the marker is anywhere; the published program asks for no more.
pub(super) fn has_postscript(text: &str, marker: &str) -> bool {
    let text = text.to_lowercase();
    match marker {
        "P.S." => POSTSCRIPT.is_match(&text),
        "P.P.S" => SECOND_POSTSCRIPT.is_match(&text),
        other => text.contains(&other.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets() {
        assert_eq!(placeholders("Dear [name], meet me at [place] [] [not\nthis]"), 3);
    }

    #[test]
    fn markers() {
        assert!(has_postscript("Bye.\np. s. I forgot", "P.S.") && has_postscript("P.P.S. more", "P.P.S"));
        assert!(!has_postscript("PS: no stops", "P.S.") && !has_postscript("P.S. one", "P.P.S"));
        assert!(has_postscript("postscriptum: x", "Postscriptum"));
    }
}
