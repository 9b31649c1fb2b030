//! Sentences as NLTK's English Punkt model finds them, which published counts rest on.
//!
//! A full stop, question or exclamation mark is a candidate where closing punctuation or white space with another word
//! follows. The words around it decide: abbreviations do not end a sentence unless the next word looks like a
//! beginning, initials and ordinals do not where it does not.
//!
//! **Source.** Kiss and Strunk 2006, section 4; the classes of characters are those of NLTK 3.8.

mod words;

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::ops::Range;
use std::sync::LazyLock;

use serde_json::Value;

use words::Token;

/// Where and how a type of word was seen in training; the bits of the file.
const MIDDLE_UPPER: u64 = 1 << 2;
const BEGINNING_LOWER: u64 = 1 << 4;
const ANY_UPPER: u64 = 1 << 1 | 1 << 2 | 1 << 3;
const ANY_LOWER: u64 = 1 << 4 | 1 << 5 | 1 << 6;

struct Model {
    abbreviations: HashSet<String>,
    sentence_starters: HashSet<String>,
    collocations: HashSet<(String, String)>,
    contexts: HashMap<String, u64>,
}

static ENGLISH: LazyLock<Model> = LazyLock::new(|| {
    let mut text = String::new();
    let read = flate2::read::GzDecoder::new(&include_bytes!("english.json.gz")[..]).read_to_string(&mut text);
    read.expect("the file that was compiled in is whole");
    let file: Value = serde_json::from_str(&text).expect("the file that was compiled in is JSON");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |key: &str| file[key].as_array().into_iter().flatten();
    let contexts = file["ortho_context"].as_object().into_iter().flatten();
    Model {
        abbreviations: list("abbrev_types").map(word).collect(),
        sentence_starters: list("sent_starters").map(word).collect(),
        collocations: list("collocations").map(|pair| (word(&pair[0]), word(&pair[1]))).collect(),
        contexts: contexts.map(|(word, bits)| (word.clone(), bits.as_u64().unwrap_or_default())).collect(),
    }
});

/// Whether a word begins a sentence, by how it is written.
#[derive(PartialEq)]
enum Beginning {
    Yes,
    No,
    Unknown,
}

impl Model {
    /// First what a word's type says, then what its neighbour does. Whether a sentence ends before the last word.
    fn has_break(&self, tokens: &mut [Token]) -> bool {
        for token in &mut *tokens {
            self.by_type(token);
        }
        for at in 1..tokens.len() {
            let (before, after) = tokens.split_at_mut(at);
            self.by_neighbour(&mut before[at - 1], &after[0]);
            if before[at - 1].ends_sentence {
                return true;
            }
        }
        false
    }

    fn by_type(&self, token: &mut Token) {
        if matches!(token.text.as_str(), "." | "?" | "!") {
            token.ends_sentence = true;
        } else if token.is_ellipsis() {
            token.is_ellipsis = true;
        } else if token.ends_in_period() && !token.text.ends_with("..") {
            let word = token.text[..token.text.len() - 1].to_lowercase();
            let last_part = word.rsplit('-').next().unwrap_or_default();
            if self.abbreviations.contains(&word) || self.abbreviations.contains(last_part) {
                token.is_abbreviation = true;
            } else {
                token.ends_sentence = true;
            }
        }
    }

    fn by_neighbour(&self, token: &mut Token, next: &Token) {
        if !token.ends_in_period() {
            return;
        }
        let pair = (token.kind_without_period().to_owned(), next.kind_in_sentence().to_owned());
        if self.collocations.contains(&pair) {
            (token.ends_sentence, token.is_abbreviation) = (false, true);
            return;
        }
        let (kind, next_kind) = pair;
        let (beginning, initial) = (self.beginning(next), token.is_initial());
        if (token.is_abbreviation || token.is_ellipsis) && !initial {
            let starter = next.is_capitalised() && self.sentence_starters.contains(&next_kind);
            if beginning == Beginning::Yes || starter {
                token.ends_sentence = true;
                return;
            }
        }
        if initial || kind == words::NUMBER {
            // J. Bach: a name that is never written small.
            let name = beginning == Beginning::Unknown
                && initial
                && next.is_capitalised()
                && self.context(&next_kind) & ANY_LOWER == 0;
            if beginning == Beginning::No || name {
                (token.ends_sentence, token.is_abbreviation) = (false, true);
            }
        }
    }

    fn context(&self, kind: &str) -> u64 {
        self.contexts.get(kind).copied().unwrap_or_default()
    }

    fn beginning(&self, token: &Token) -> Beginning {
        if matches!(token.text.as_str(), ";" | ":" | "," | "." | "!" | "?") {
            return Beginning::No;
        }
        let context = self.context(token.kind_in_sentence());
        if token.is_capitalised() && context & ANY_LOWER != 0 && context & MIDDLE_UPPER == 0 {
            Beginning::Yes
        } else if token.is_lowercase() && (context & ANY_UPPER != 0 || context & BEGINNING_LOWER == 0) {
            Beginning::No
        } else {
            Beginning::Unknown
        }
    }
}

/// A mark that may end a sentence.
struct Candidate {
    /// Where the mark stands; it is one byte.
    mark: usize,
    /// Where the word before it begins.
    word: usize,
    /// Where the context after it ends.
    end: usize,
    /// Where the next word begins, if white space comes before it.
    next: Option<usize>,
}

/// Every mark with something behind it that lets a sentence end; of several in one word the last.
fn candidates(text: &str) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut pending: Option<Candidate> = None;
    for (mark, _) in text.match_indices(['.', '?', '!']) {
        let after = &text[mark + 1..];
        let Some(first) = after.chars().next() else { continue };
        let (end, next) = if words::is_no_word(first) {
            (mark + 1 + first.len_utf8(), None)
        } else {
            let word = after.trim_start();
            if !first.is_whitespace() || word.is_empty() {
                continue;
            }
            let length = word.find(char::is_whitespace).unwrap_or(word.len());
            let next = text.len() - word.len();
            (next + length, Some(next))
        };
        let (from, word) = pending.as_ref().map_or((0, 0), |before| (before.mark, before.word));
        // White space right at the start of what lies between is not seen.
        let space = text[from..mark].rfind(|symbol: char| symbol.is_ascii_whitespace() || symbol == '\u{b}');
        let word = space.filter(|&space| space > 0).map_or(word, |space| from + space + 1);
        if let Some(before) = pending.take_if(|before| before.mark <= word) {
            found.push(before);
        }
        pending = Some(Candidate { mark, word, end, next });
    }
    found.extend(pending);
    found
}

/// The sentences of a text, by place.
pub(crate) fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    for Candidate { mark, word, end, next } in candidates(text) {
        if ENGLISH.has_break(&mut words::tokens(&text[word..end])) {
            parts.push(start..mark + 1);
            start = next.unwrap_or(mark + 1);
        }
    }
    parts.push(start..text.trim_end().len().max(start));
    with_closing_marks(text, &parts)
}

/// Quotes and brackets that follow a full stop belong to the sentence before.
fn with_closing_marks(text: &str, parts: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    let mut taken = 0;
    for (at, part) in parts.iter().enumerate() {
        let start = (part.start + taken).min(part.end);
        taken = 0;
        let mut end = part.end;
        if let Some((marks, with_space)) = parts.get(at + 1).and_then(|next| closing_marks(&text[next.clone()])) {
            end = parts[at + 1].start + marks;
            taken = with_space;
        }
        if taken > 0 || start < end {
            sentences.push(start..end);
        }
    }
    sentences
}

/// The length of the closing marks that begin a part, without and with the white space behind them: the fewest that
/// white space, a dash or the end of the line follows.
fn closing_marks(part: &str) -> Option<(usize, usize)> {
    let count = part.bytes().take_while(|mark| b"\"')]}".contains(mark)).count();
    (1..=count).find_map(|marks| {
        let rest = &part[marks..];
        let space = rest.len() - rest.trim_start().len();
        (space > 0 || rest.is_empty() || rest.starts_with("--")).then_some((marks, marks + space))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn what_ends_a_sentence() {
        for (text, expected) in [
            ("Hello there. How are you? Fine!", vec!["Hello there.", "How are you?", "Fine!"]),
            (
                "Mr. Smith met Dr. Who in Washington. They left.",
                vec!["Mr. Smith met Dr. Who in Washington.", "They left."],
            ),
            ("(It works.) So does \"this.\" And that.", vec!["(It works.)", "So does \"this.\"", "And that."]),
            ("Very bad acting!!! I promise.", vec!["Very bad acting!!!", "I promise."]),
            ("It cost 3.50 dollars. J. Bach paid.", vec!["It cost 3.50 dollars.", "J. Bach paid."]),
            ("no end", vec!["no end"]),
            ("", vec![]),
            (" \n ", vec![]),
        ] {
            assert_eq!(split(text), expected);
        }
    }

    #[test]
    fn odd_texts_do_no_harm() {
        for text in ["...", ". . . .", "?!?!", "\"", ".\" )", "a.\u{e9}. \u{2019}", "! \n\n!", "x.--y", ".\n.\n."] {
            split(text);
        }
    }
}
