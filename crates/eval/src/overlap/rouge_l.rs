//! ROUGE-L: the longest sequence of words that two texts have in common, in order.
//!
//! **Formula.** With `l` the length of that sequence: precision `l/|candidate|`, recall `l/|reference|`, `F₁ =
//! 2l/(|candidate| + |reference|)`. Words are runs of `a` to `z` and `0` to `9` in lower case; there is no stemming.
//!
//! **When to use it.** To find near copies, and where a benchmark is defined by it. It sees nothing of scripts beyond
//! ASCII, and does not tell good answers from bad ones.
//!
//! **Source.** Lin 2004, section 3.1; words as in Google's `rouge-score`.
//!
//! **Reference numbers.** 1 for the same words, 0 where one text has none.

/// A text in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    pub fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let words = lower.split(|symbol: char| !symbol.is_ascii_lowercase() && !symbol.is_ascii_digit());
        Self(words.filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Precision, recall and their harmonic mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RougeL {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// ROUGE-L of a candidate against a reference. Time is the product of their lengths.
pub fn rouge_l(candidate: &Words, reference: &Words) -> RougeL {
    let common = longest_common_subsequence(&candidate.0, &reference.0) as f64;
    let share = |part: f64, whole: usize| if whole > 0 { part / whole as f64 } else { 0.0 };
    RougeL {
        precision: share(common, candidate.count()),
        recall: share(common, reference.count()),
        // Not from precision and recall, whose rounding would move a score off a threshold that it meets.
        f1: share(2.0 * common, candidate.count() + reference.count()),
    }
}

/// One row of the table at a time.
fn longest_common_subsequence<T: PartialEq>(first: &[T], second: &[T]) -> usize {
    let mut row = vec![0; second.len() + 1];
    for a in first {
        let mut diagonal = 0;
        for (at, b) in second.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if a == b { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row[second.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // "police the gunman" shares "police ... the gunman" with both.
        let score = rouge_l(&Words::of("The police killed the gunman!"), &Words::of("police ended (the) gunman"));
        assert_eq!((score.precision, score.recall, score.f1), (3.0 / 5.0, 3.0 / 4.0, 6.0 / 9.0));
        assert_eq!(rouge_l(&Words::of("?!"), &Words::of("a")).f1, 0.0);
        assert_eq!(rouge_l(&Words::of(""), &Words::of("")).f1, 0.0);
    }

    #[test]
    fn the_row_is_the_table() {
        let text = |seed: usize, length: usize| (0..length).map(|i| (i * i * seed + i * 3) % 5).collect::<Vec<_>>();
        for seed in 1..20 {
            let (a, b) = (text(seed, 8), text(seed + 3, 9));
            // Every subsequence of `a`, looked for in `b`.
            let is_in = |part: &[usize]| {
                part.iter().try_fold(0, |from, x| Some(from + b[from..].iter().position(|y| x == y)? + 1)).is_some()
            };
            let longest = (0..1_u32 << 8)
                .map(|bits| (0..8).filter(|i| bits >> i & 1 == 1).map(|i| a[i]).collect::<Vec<_>>())
                .filter(|part| is_in(part))
                .map(|part| part.len())
                .max();
            assert_eq!(Some(longest_common_subsequence(&a, &b)), longest);
        }
    }
}
