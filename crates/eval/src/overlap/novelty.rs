//! Which model-written instructions are worth keeping: Self-Instruct's filter.
//!
//! **Formula.** Kept are 4 to 150 words, split at white space, that begin with an ASCII letter or digit, do not begin
//! with "Write a program", name nothing that a language model cannot see or make (a picture, a file, a map), and whose
//! ROUGE-L F₁ with each instruction of the pool is at most 0.7.
//!
//! **Source.** Wang 2022 (arXiv 2212.10560), section 2.2, and the program published with it.
//!
//! **Reference numbers.** 0.70 is kept, 0.7001 is dropped.

use super::rouge_l::{Words, rouge_l};

/// The most that a new instruction may share with an old one.
pub const MOST_SIMILAR: f64 = 0.7;
const FEWEST_WORDS: usize = 4;
const MOST_WORDS: usize = 150;
const UNSUITABLE: [&str; 13] = [
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "go to",
];

/// Why an instruction is dropped.
#[derive(Clone, Debug, PartialEq)]
pub enum Dropped {
    /// Too short or too long, in words.
    Length(usize),
    /// It is about what is not text.
    Unsuitable(&'static str),
    /// "Write a program", which models put before any task.
    Program,
    /// It begins with a mark or another script.
    Beginning,
    /// This instruction of the pool says the same.
    Similar { index: usize, f1: f64 },
}

/// The instructions so far.
#[derive(Clone, Debug, Default)]
pub struct Pool(Vec<Words>);

impl Pool {
    pub fn of<'t>(instructions: impl IntoIterator<Item = &'t str>) -> Self {
        Self(instructions.into_iter().map(Words::of).collect())
    }

    pub fn add(&mut self, instruction: &str) {
        self.0.push(Words::of(instruction));
    }

    /// Whether a new instruction may join; of several that it resembles, the one it resembles most is named.
    pub fn admits(&self, instruction: &str) -> Result<(), Dropped> {
        let instruction = instruction.trim();
        let count = instruction.split_whitespace().count();
        if !(FEWEST_WORDS..=MOST_WORDS).contains(&count) {
            return Err(Dropped::Length(count));
        }
        if !instruction.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return Err(Dropped::Beginning);
        }
        let lower = instruction.to_lowercase();
        if lower.starts_with("write a program") {
            return Err(Dropped::Program);
        }
        if let Some(word) = UNSUITABLE.into_iter().find(|word| has_word(&lower, word)) {
            return Err(Dropped::Unsuitable(word));
        }
        let words = Words::of(instruction);
        let scores = self.0.iter().map(|old| rouge_l(&words, old).f1).enumerate();
        match scores.max_by(|(_, a), (_, b)| a.total_cmp(b)) {
            Some((index, f1)) if f1 > MOST_SIMILAR => Err(Dropped::Similar { index, f1 }),
            _ => Ok(()),
        }
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, _)| {
        let is_part = |symbol: char| symbol.is_alphanumeric() || symbol == '_';
        !text[..start].ends_with(is_part) && !text[start + word.len()..].starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: usize) -> String {
        (0..count).map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ")
    }

    /// O16.
    #[test]
    fn seven_tenths_is_kept() {
        // 7 of 10 words in order: 14/20.
        let pool = Pool::of(["w0 w1 w2 w3 w4 w5 w6 x y z"]);
        assert_eq!(pool.admits(&numbered(10)), Ok(()));
        assert!(matches!(pool.admits(&numbered(9)), Err(Dropped::Similar { index: 0, f1 }) if f1 == 14.0 / 19.0));
        // 146 words within 271: 292/417 = 0.7002, the closest above that 150 words allow; 280/400 = 0.7.
        let above = Pool::of(["something else", numbered(271).as_str()]);
        assert!(matches!(above.admits(&numbered(146)), Err(Dropped::Similar { index: 1, f1 }) if f1 < 0.700_3));
        assert_eq!(Pool::of([numbered(260).as_str()]).admits(&numbered(140)), Ok(()));
    }

    #[test]
    fn lengths_are_bounded() {
        let pool = Pool::default();
        for (words, result) in
            [(3, Err(Dropped::Length(3))), (4, Ok(())), (150, Ok(())), (151, Err(Dropped::Length(151)))]
        {
            assert_eq!(pool.admits(&numbered(words)), result);
        }
    }

    #[test]
    fn what_models_cannot_do() {
        let mut pool = Pool::default();
        assert_eq!(pool.admits("Describe the Picture in words"), Err(Dropped::Unsuitable("picture")));
        assert_eq!(pool.admits("Profile the mapmaker of today"), Ok(()));
        assert_eq!(pool.admits("Write a program that sorts"), Err(Dropped::Program));
        assert_eq!(pool.admits("\"Quote this line to me"), Err(Dropped::Beginning));
        assert_eq!(pool.admits("\u{7ffb} this line to me"), Err(Dropped::Beginning));
        pool.add("Name three rivers of Norway");
        assert!(matches!(pool.admits("Name four rivers of Norway."), Err(Dropped::Similar { index: 0, .. })));
    }
}
