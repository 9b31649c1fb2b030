//! Words and paragraphs, counted.

use std::sync::LazyLock;

use regex::Regex;

/// Letters, digits and underscores; marks that Indic scripts write around letters are none, so that such words count
/// several times, as they do in the published program.
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]+").expect("a valid pattern"));
static DIVIDER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\s?\*\*\*\s?").expect("a valid pattern"));
const ENDS_WORD: [char; 6] = ['.', ',', '?', '!', '\'', '"'];

pub(super) fn words(text: &str) -> usize {
    WORD.find_iter(text).count()
}

/// Paragraphs between `***`; `None` if one inside is empty.
pub(super) fn paragraphs(text: &str) -> Option<usize> {
    let parts: Vec<bool> = DIVIDER.split(text).map(|part| !part.trim().is_empty()).collect();
    let inner = parts.get(1..parts.len() - 1).unwrap_or_default();
    inner.iter().all(|&written| written).then(|| parts.iter().filter(|&&written| written).count())
}

/// Whether there are so many paragraphs between empty lines, and the nth of all, empty ones included, begins with the
/// word.
pub(super) fn nth_begins(text: &str, paragraphs: usize, nth: usize, first_word: &str) -> bool {
    let parts: Vec<&str> = text.split("\n\n").map(str::trim).collect();
    let written = parts.iter().filter(|part| !part.is_empty()).count();
    if nth == 0 || nth > written || written != paragraphs {
        return false;
    }
    let Some(word) = parts[nth - 1].split_whitespace().next() else { return false };
    let word = word.trim_start_matches('\'').trim_start_matches('"');
    let end = word.find(ENDS_WORD).unwrap_or(word.len());
    word[..end].to_lowercase() == first_word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        assert_eq!(words("It's 3.5 well-known words, u_v!"), 8);
        assert_eq!(paragraphs("one *** two\n***\nthree"), Some(3));
        assert_eq!(paragraphs("***\none\n***\n"), Some(1));
        assert_eq!(paragraphs("one *** *** two"), None);
    }

    #[test]
    fn the_nth_paragraph() {
        let text = "First one.\n\n\"Weekend!\" he said.\n\nThird.";
        assert!(nth_begins(text, 3, 2, "weekend"));
        assert!(
            !nth_begins(text, 3, 1, "weekend")
                && !nth_begins(text, 2, 2, "weekend")
                && !nth_begins(text, 3, 4, "third")
        );
        assert!(!nth_begins(text, 3, 0, "first") && !nth_begins("", 0, 1, ""));
        // An empty paragraph is counted as a place but not as a paragraph.
        assert!(!nth_begins("One.\n\n\n\nTwo.", 2, 2, "two"));
    }
}
