//! Words and letters that must or must not be there.

use regex::{Regex, RegexBuilder};

fn without_case(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).case_insensitive(true).build().ok()
}

/// How often a keyword occurs, in other words too.
pub(super) fn occurrences(text: &str, keyword: &str) -> usize {
    without_case(&regex::escape(keyword)).map_or(0, |pattern| pattern.find_iter(text).count())
}

/// Whether it occurs as a word of its own.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    without_case(&format!(r"\b{}\b", regex::escape(word))).is_some_and(|pattern| pattern.is_match(text))
}

/// How often a letter occurs, in either case.
pub(super) fn letters(text: &str, letter: char) -> usize {
    let letter: Vec<char> = letter.to_lowercase().collect();
    text.chars().flat_map(char::to_lowercase).filter(|symbol| letter[..] == [*symbol]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_parts_of_words() {
        assert_eq!(occurrences("Rocks rock. A ROCKET!", "rock"), 3);
        assert!(has_word("Rock!", "rock") && !has_word("rocks", "rock"));
        assert_eq!(occurrences("a.b axb", "a.b"), 1);
        assert_eq!((letters("Anna #1 #2", 'A'), letters("Anna #1 #2", '#')), (2, 2));
    }
}
