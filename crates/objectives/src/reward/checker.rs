//! Rewards that need no model: an answer is compared with what it should be.
//!
//! **When to use it.** Where answers can be verified: arithmetic, extraction, classification (Lambert 2024, Tülu 3, arXiv
//! 2411.15124, section 6, calls it reinforcement learning with verifiable rewards).

/// How an answer is compared with the expected one. The reward is 1 or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checker {
    /// The last number in the answer is the last number in what is expected, whatever is written around either.
    #[default]
    Number,
    /// The same text, but for white space at the ends.
    Exact,
    /// The expected text stands somewhere in the answer.
    Contains,
}

impl Checker {
    /// As recipes and metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Exact => "exact",
            Self::Contains => "contains",
        }
    }

    pub fn reward(self, answer: &str, expected: &str) -> f64 {
        let right = match self {
            Self::Number => {
                last_number(answer).is_some_and(|said| last_number(expected).is_some_and(|right| same(said, right)))
            }
            Self::Exact => answer.trim() == expected.trim(),
            Self::Contains => answer.contains(expected.trim()),
        };
        f64::from(u8::from(right))
    }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1.0)
}

/// The last number in a text. Commas between digits are separators of thousands; a point needs a digit after it.
pub fn last_number(text: &str) -> Option<f64> {
    let characters: Vec<char> = text.chars().collect();
    let digit = |index: usize| characters.get(index).is_some_and(char::is_ascii_digit);
    let (mut found, mut index) = (None, 0);
    while index < characters.len() {
        if !digit(index) {
            index += 1;
            continue;
        }
        let start = index;
        let mut number = String::new();
        let mut has_point = false;
        while digit(index) || (matches!(characters.get(index), Some(',' | '.')) && digit(index + 1) && index > start) {
            match characters[index] {
                ',' => {}
                '.' if has_point => break,
                '.' => {
                    has_point = true;
                    number.push('.');
                }
                other => number.push(other),
            }
            index += 1;
        }
        // A dash between digits is a minus sign of nothing: 3-4 ends in 4.
        let negative =
            start > 0 && characters[start - 1] == '-' && !(start > 1 && characters[start - 2].is_alphanumeric());
        found = number.parse::<f64>().ok().map(|value| if negative { -value } else { value });
        // A second point ends the number and begins another.
        if characters.get(index) == Some(&'.') {
            index += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_however_they_are_written() {
        for (text, number) in [
            ("The answer is 1,234.50.", 1234.5),
            ("#### -7", -7.0),
            ("3-4", 4.0),
            ("so 12 apples, then 5.", 5.0),
            ("(x = 0.25)", 0.25),
            ("version 1.2.3", 3.0),
        ] {
            assert_eq!(last_number(text), Some(number), "{text}");
        }
        assert_eq!(last_number("none, really."), None);
    }

    #[test]
    fn answers_are_right_or_wrong() {
        assert_eq!(Checker::Number.reward("2 + 2 = 4.", "#### 4"), 1.0);
        assert_eq!(Checker::Number.reward("2 + 2 = 5.", "#### 4"), 0.0);
        assert_eq!(Checker::Number.reward("no idea", "no number either"), 0.0);
        assert_eq!(Checker::Exact.reward(" Yes\n", "Yes"), 1.0);
        assert_eq!(Checker::Exact.reward("Yes.", "Yes"), 0.0);
        assert_eq!(Checker::Contains.reward("It is Oslo, of course", "Oslo"), 1.0);
    }
}
