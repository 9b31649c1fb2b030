//! Words with the marks that belong to them, the material of the decision.

/// The type of all numbers.
pub(super) const NUMBER: &str = "##number##";

/// A word or a mark, with what is known of it.
pub(super) struct Token {
    pub(super) text: String,
    /// In lower case; numbers are one.
    kind: String,
    pub(super) ends_sentence: bool,
    pub(super) is_abbreviation: bool,
    pub(super) is_ellipsis: bool,
}

impl Token {
    fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        let kind = if is_number(&lower) { NUMBER.to_owned() } else { lower };
        Self { text: text.to_owned(), kind, ends_sentence: false, is_abbreviation: false, is_ellipsis: false }
    }

    pub(super) fn ends_in_period(&self) -> bool {
        self.text.ends_with('.')
    }

    pub(super) fn is_ellipsis(&self) -> bool {
        self.text.len() >= 2 && self.text.bytes().all(|byte| byte == b'.')
    }

    /// A letter and a full stop.
    pub(super) fn is_initial(&self) -> bool {
        let mut symbols = self.text.chars();
        let letter =
            symbols.next().is_some_and(|symbol| (symbol.is_alphanumeric() && !symbol.is_numeric()) || symbol == '_');
        letter && symbols.as_str() == "."
    }

    pub(super) fn kind_without_period(&self) -> &str {
        let shorter = self.kind.strip_suffix('.').filter(|rest| !rest.is_empty());
        shorter.unwrap_or(&self.kind)
    }

    /// Without the full stop if that ends the sentence.
    pub(super) fn kind_in_sentence(&self) -> &str {
        if self.ends_sentence { self.kind_without_period() } else { &self.kind }
    }

    pub(super) fn is_capitalised(&self) -> bool {
        self.text.starts_with(char::is_uppercase)
    }

    pub(super) fn is_lowercase(&self) -> bool {
        self.text.starts_with(char::is_lowercase)
    }
}

/// `-?[.,]?\d[\d,.-]*\.?`
fn is_number(word: &str) -> bool {
    let word = word.strip_prefix('-').unwrap_or(word);
    let word = word.strip_prefix(['.', ',']).unwrap_or(word);
    word.starts_with(char::is_numeric)
        && word.chars().all(|symbol| symbol.is_numeric() || matches!(symbol, ',' | '.' | '-'))
}

/// What cannot stand in a word.
pub(super) fn is_no_word(symbol: char) -> bool {
    matches!(symbol, ')' | '"' | ';' | '}' | ']' | '*' | ':' | '@' | '\'' | '(' | '{' | '[' | '?' | '!')
}

fn begins_word(symbol: char) -> bool {
    !matches!(symbol, '(' | '"' | '`' | '{' | '[' | ':' | ';' | '&' | '#' | '*' | '@' | ')' | '}' | ']' | '-' | ',')
}

/// The length of a dash of two or more, of dots, or of dots with spaces between, that begins a text.
fn long_mark(text: &str) -> Option<usize> {
    let run = |mark: char| text.len() - text.trim_start_matches(mark).len();
    if let Some(length) = [run('-'), run('.')].into_iter().find(|&length| length >= 2) {
        return Some(length);
    }
    let (mut dots, mut end, mut rest) = (0, 0, text);
    while let Some(after) = rest.strip_prefix('.') {
        (dots, end) = (dots + 1, text.len() - after.len());
        let Some(space) = after.chars().next().filter(|symbol| symbol.is_whitespace()) else { break };
        rest = &after[space.len_utf8()..];
    }
    (dots >= 3).then_some(end)
}

/// The length of the word or mark that begins a text.
fn token_length(text: &str) -> usize {
    if let Some(length) = long_mark(text) {
        return length;
    }
    let mut symbols = text.char_indices();
    let Some((_, first)) = symbols.next() else { return 0 };
    if !begins_word(first) {
        return first.len_utf8();
    }
    let ends = |rest: &str| {
        rest.chars().next().is_none_or(|symbol| symbol.is_whitespace() || is_no_word(symbol))
            || long_mark(rest).is_some()
    };
    let end = symbols.find(|&(at, _)| ends(&text[at..]) || text[at..].strip_prefix(',').is_some_and(ends));
    end.map_or(text.len(), |(at, _)| at)
}

/// The words and marks of a text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for line in text.split('\n') {
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let (token, after) = rest.split_at(token_length(rest));
            found.push(Token::new(token));
            rest = after.trim_start();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_marks() {
        let split = |text| tokens(text).into_iter().map(|token| token.text).collect::<Vec<_>>();
        assert_eq!(
            split("e.g., (one) --two... 3,000, four,five"),
            ["e.g.", ",", "(", "one", ")", "--", "two", "...", "3,000", ",", "four,five"]
        );
        assert_eq!(split("wait. . . what"), ["wait", ". . .", "what"]);
        assert_eq!(split("a. . b"), ["a.", ".", "b"]);
        assert_eq!(split(" \n x\ny?"), ["x", "y", "?"]);
    }

    #[test]
    fn kinds() {
        for (text, kind) in [("3.", NUMBER), ("-1,000.50", NUMBER), ("U.S.", "u.s."), ("1st", "1st"), (".", ".")] {
            assert_eq!(Token::new(text).kind, kind);
        }
        assert!(Token::new("J.").is_initial() && !Token::new("3.").is_initial() && !Token::new("Jo.").is_initial());
        assert_eq!(Token::new("U.S.").kind_without_period(), "u.s");
        assert_eq!(Token::new(".").kind_without_period(), ".");
    }
}
