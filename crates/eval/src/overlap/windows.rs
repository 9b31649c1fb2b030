//! Texts as sequences of hashed words, and the hash of each run of so many of them.
//!
//! Words are runs of letters and digits in lower case; marks and white space part them. Chinese, Japanese kana and other scripts
//! without spaces count by the character. A window's hash is a polynomial over its words' hashes modulo 2⁶⁴, so that windows of every
//! length come from one pass.

use std::ops::Range;

/// The words of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Words {
    /// A hash each.
    pub(super) hashes: Vec<u64>,
    /// Where each stands in the text, in bytes.
    pub(super) places: Vec<Range<usize>>,
    /// Of what stands before each word, and at last of all.
    prefixes: Vec<u64>,
    /// `BASEⁿ` for `n` from 0.
    powers: Vec<u64>,
}

/// Odd, so that it has an inverse, and without a pattern: the fraction of the golden ratio.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let mut words = Self::default();
        words.read(text);
        words
    }

    /// Reads another text, in the memory of the last one.
    pub(super) fn read(&mut self, text: &str) {
        self.hashes.clear();
        self.places.clear();
        let mut open: Option<(usize, u64)> = None;
        for (at, symbol) in text.char_indices() {
            let stands_alone = is_unspaced(symbol);
            if (!symbol.is_alphanumeric() || stands_alone)
                && let Some((start, hash)) = open.take()
            {
                self.push(start..at, hash);
            }
            if stands_alone {
                self.push(at..at + symbol.len_utf8(), extend(SEED, symbol));
            } else if symbol.is_alphanumeric() {
                let (start, mut hash) = open.unwrap_or((at, SEED));
                for lower in symbol.to_lowercase() {
                    hash = extend(hash, lower);
                }
                open = Some((start, hash));
            }
        }
        if let Some((start, hash)) = open {
            self.push(start..text.len(), hash);
        }
        self.prefixes.clear();
        self.prefixes.push(0);
        let mut prefix = 0_u64;
        for &hash in &self.hashes {
            prefix = prefix.wrapping_mul(BASE).wrapping_add(hash);
            self.prefixes.push(prefix);
        }
    }

    fn push(&mut self, place: Range<usize>, hash: u64) {
        self.hashes.push(mix(hash));
        self.places.push(place);
    }

    pub(super) fn count(&self) -> usize {
        self.hashes.len()
    }

    /// The hashes of all runs of `length` words, in order.
    pub(super) fn windows(&mut self, length: usize) -> impl Iterator<Item = u64> {
        while self.powers.len() <= length {
            let last = self.powers.last().map_or(1, |power| power.wrapping_mul(BASE));
            self.powers.push(last);
        }
        let power = self.powers[length];
        let count = (self.count() + 1).saturating_sub(length.max(1));
        let starts = self.prefixes.iter().zip(self.prefixes.iter().skip(length)).take(count);
        // The length is part of it: runs of different lengths are never the same.
        starts.map(move |(before, after)| mix(after.wrapping_sub(before.wrapping_mul(power)) ^ (length as u64) << 56))
    }
}

/// FNV-1a's.
const SEED: u64 = 0xcbf2_9ce4_8422_2325;

fn extend(hash: u64, symbol: char) -> u64 {
    (hash ^ u64::from(u32::from(symbol))).wrapping_mul(0x0100_0000_01b3)
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood 2014).
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Han, kana, bopomofo, Thai, Lao, Khmer and Burmese, which put no spaces between words.
fn is_unspaced(symbol: char) -> bool {
    matches!(u32::from(symbol),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3100..=0x312f | 0x31a0..=0x31bf
        | 0x31f0..=0x31ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
        && symbol.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<&str> {
        Words::of(text).places.into_iter().map(|place| &text[place]).collect()
    }

    #[test]
    fn words_and_characters() {
        assert_eq!(shown("The U.S. paid $3,500 (net)…"), ["The", "U", "S", "paid", "3", "500", "net"]);
        assert_eq!(shown("北京有2022个fans。"), ["北", "京", "有", "2022", "个", "fans"]);
        assert_eq!(shown("Größe naïve"), ["Größe", "naïve"]);
        assert_eq!(Words::of("THE größe").hashes, Words::of("the Größe!").hashes);
        assert_ne!(Words::of("ab c").hashes, Words::of("a bc").hashes);
    }

    /// Against hashing each run by itself.
    #[test]
    fn windows_depend_on_their_words_alone() {
        let text = "a b c a b c d a b";
        let all: Vec<u64> = Words::of(text).windows(3).collect();
        assert_eq!(all.len(), 7);
        let parts: Vec<&str> = text.split(' ').collect();
        for (at, &hash) in all.iter().enumerate() {
            let alone: Vec<u64> = Words::of(&parts[at..at + 3].join("-")).windows(3).collect();
            assert_eq!(alone, [hash], "{at}");
        }
        assert_eq!(all[0], all[3]);
        assert_ne!(all[0], all[1]);
        assert_eq!(Words::of("a b").windows(3).count(), 0);
        assert_eq!(Words::of("").windows(1).count(), 0);
        assert_ne!(Words::of("a").windows(1).next(), Words::of("a b").windows(2).next());
    }
}
