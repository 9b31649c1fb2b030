//! Text from tokens, as soon as it is certain.

use camelid_text::Text;

/// Decodes a growing list of tokens and gives out each character once.
///
/// A token can end in the middle of a character, and some tokenizers decode a token differently after another; so the
/// whole tail is decoded again and what is new and complete is given out.
#[derive(Default)]
pub struct Stream {
    tokens: Vec<u32>,
    /// Tokens before this one are given out and never decoded again, but for one token of context.
    settled: usize,
    /// Bytes of `decode(tokens[settled..])` already given out.
    printed: usize,
}

/// Decode at most about this many tokens each time.
const TAIL: usize = 16;

impl Stream {
    /// Adds a token and returns the text that became certain, often empty or a word.
    pub fn push(&mut self, token: u32, text: &Text) -> String {
        self.tokens.push(token);
        let tail = text.decode(&self.tokens[self.settled..]);
        // U+FFFD at the end stands for bytes that wait for their rest.
        let certain = tail.trim_end_matches('\u{fffd}');
        let new = certain.get(self.printed..).unwrap_or("").to_owned();
        self.printed = self.printed.max(certain.len());
        if self.tokens.len() - self.settled > TAIL && certain.len() == tail.len() && self.printed == tail.len() {
            self.settled = self.tokens.len() - 1;
            self.printed = text.decode(&self.tokens[self.settled..]).len();
        }
        new
    }

    /// All tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }
}
