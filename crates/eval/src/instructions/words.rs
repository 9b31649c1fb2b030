//! Words as NLTK's tokenizer cuts them, after the rules of the Penn Treebank.
//!
//! **Source.** MacIntyre 1995, the tokenizer of the Penn Treebank; NLTK 3.8 for quotes beyond ASCII. Left out is what
//! splits a quote from the word after it, as no count here depends on it.

use std::sync::LazyLock;

use regex::Regex;

use super::punkt::sentences;

/// Patterns and what is put in their place, in this order. Words end up between spaces.
const BEFORE_PADDING: [(&str, &str); 16] = [
    ("[«“‘„]|`+", " $0 "),
    ("^\"", "``"),
    ("``", " $0 "),
    (r#"([ (\[{<])("|'{2})"#, "$1 `` "),
    (r#"([^.])(\.)([\])}>"'»”’ ]*)\s*$"#, "$1 $2 $3 "),
    (r"([:,])([^\d])", " $1 $2"),
    ("[:,]$", " $0 "),
    (r"\.{2,}", " $0 "),
    ("[;@#$%&]", " $0 "),
    (r"[\u{2012}-\u{2015}]", " $0 "),
    (r#"([^.])(\.)([\])}>"']*)\s*$"#, "$1 $2$3 "),
    ("[?!]", " $0 "),
    ("([^'])' ", "$1 ' "),
    (r"\*", " $0 "),
    (r"[\]\[(){}<>]", " $0 "),
    ("--", " -- "),
];
/// The rest, once there is a space before and behind.
const AFTER_PADDING: [(&str, &str); 16] = [
    ("[»”’]", " $0 "),
    ("''", " '' "),
    ("\"", " '' "),
    (r"\s+", " "),
    ("([^' ])('[sS]|'[mM]|'[dD]|') ", "$1 $2 "),
    ("([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "),
    (r"(?i)\b(can)(not)\b", " $1 $2 "),
    (r"(?i)\b(d)('ye)\b", " $1 $2 "),
    (r"(?i)\b(gim)(me)\b", " $1 $2 "),
    (r"(?i)\b(gon)(na)\b", " $1 $2 "),
    (r"(?i)\b(got)(ta)\b", " $1 $2 "),
    (r"(?i)\b(lem)(me)\b", " $1 $2 "),
    (r"(?i)\b(more)('n)\b", " $1 $2 "),
    (r"(?i)\b(wan)(na)\s", " $1 $2 "),
    (r"(?i) ('t)(is)\b", " $1 $2 "),
    (r"(?i) ('t)(was)\b", " $1 $2 "),
];

type Rules = Vec<(Regex, &'static str)>;

fn compiled(rules: &[(&str, &'static str)]) -> Rules {
    rules.iter().map(|(pattern, put)| (Regex::new(pattern).expect("a valid pattern"), *put)).collect()
}

static BEFORE: LazyLock<Rules> = LazyLock::new(|| compiled(&BEFORE_PADDING));
static AFTER: LazyLock<Rules> = LazyLock::new(|| compiled(&AFTER_PADDING));

fn apply(rules: &Rules, text: String) -> String {
    rules.iter().fold(text, |text, (pattern, put)| pattern.replace_all(&text, *put).into_owned())
}

/// The words and marks of a text.
pub(super) fn words(text: &str) -> Vec<String> {
    let of_sentence = |sentence: &str| {
        let cut = apply(&AFTER, format!(" {} ", apply(&BEFORE, sentence.to_owned())));
        cut.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    sentences(text).into_iter().flat_map(|span| of_sentence(&text[span])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_in_the_treebank() {
        assert_eq!(
            words("Good muffins cost $3.88 (roughly 3,36 euros)\nin New York.  Please buy me two of them.\nThanks."),
            [
                "Good", "muffins", "cost", "$", "3.88", "(", "roughly", "3,36", "euros", ")", "in", "New", "York", ".",
                "Please", "buy", "me", "two", "of", "them", ".", "Thanks", "."
            ]
        );
        assert_eq!(
            words("They'll save, DON'T they? \"I cannot,\" he said..."),
            [
                "They", "'ll", "save", ",", "DO", "N'T", "they", "?", "``", "I", "can", "not", ",", "''", "he", "said",
                "..."
            ]
        );
    }
}
