//! Capital and small letters.

use super::language::is_in;
use super::words::words;

fn has_cased(text: &str, upper: bool) -> bool {
    text.chars().any(|symbol| if upper { symbol.is_uppercase() } else { symbol.is_lowercase() })
}

/// English, with a capital letter and no small one.
pub(super) fn is_all_capital(text: &str) -> bool {
    is_capital(text) && is_in(text, "en")
}

/// English, with a small letter and no capital one.
pub(super) fn is_all_lowercase(text: &str) -> bool {
    has_cased(text, false) && !has_cased(text, true) && is_in(text, "en")
}

fn is_capital(text: &str) -> bool {
    has_cased(text, true) && !has_cased(text, false)
}

/// Words written in capitals; "I" is one, and so is each part of "I'M".
pub(super) fn capital_words(text: &str) -> usize {
    words(text).iter().filter(|word| is_capital(word)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases() {
        let english = "THIS IS WITHOUT ANY DOUBT AN ENGLISH SENTENCE WITH THE NUMBER 3.";
        assert!(is_all_capital(english) && !is_all_lowercase(english));
        assert!(is_all_lowercase(&english.to_lowercase()) && !is_all_capital(&english.to_lowercase()));
        assert!(!is_all_capital("DAS HIER IST ABER SICHER KEIN ENGLISCHER SATZ, SONDERN EIN DEUTSCHER."));
        assert!(!is_all_capital("123"));
    }

    #[test]
    fn words_in_capitals() {
        assert_eq!(capital_words("I saw NASA and the U.S. (FBI) -- \"HELLO\", it's A-1. DON'T!"), 8);
        assert_eq!(capital_words("none"), 0);
    }
}
