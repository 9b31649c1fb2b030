//! One reward from what a language model says an answer deserves (d-RLAIF).
//!
//! **What it optimises.** The rating that a judge expects to give, without a reward model between judge and policy: nothing goes stale
//! while the policy moves, and nothing is learned from the judge's own answers.
//!
//! **When to use it.** Where a judge that follows instructions is at hand and asking it for each answer is affordable. The policy
//! finds what the judge overlooks, so look at answers, and at their lengths.
//!
//! **Formula.** A judge is asked for a whole number from `low` to `high`. With `p_i` its probability of saying `i` where it says the
//! number, `e = Σ i p_i / Σ p_i` over the ratings that are told, or the number that it wrote where none are; the reward is
//! `2 (e - low) / (high - low) - 1`, from -1 to 1. Ratings have one digit, which is one token whatever the judge's vocabulary: of
//! `10` a place shows a `1` only.
//!
//! **Source.** Lee 2023 (RLAIF, arXiv 2309.00267), section 3.2.2, there with ratings from 1 to 10.
//!
//! **Reference numbers.** Even odds between two neighbours give the middle of their rewards. There, direct rewards were preferred to
//! those of a reward model trained on the same judge in 60 % of comparisons.

/// The ratings that a judge may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    low: u8,
    high: u8,
}

impl Scale {
    /// `None` unless `low < high` and both have one digit.
    pub fn new(low: u8, high: u8) -> Option<Self> {
        (low < high && high <= 9).then_some(Self { low, high })
    }

    pub fn low(self) -> u8 {
        self.low
    }

    pub fn high(self) -> u8 {
        self.high
    }

    /// From -1 for the lowest rating to 1 for the highest.
    pub fn reward(self, rating: f64) -> f64 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        2.0 * (rating - low) / (high - low) - 1.0
    }

    /// The rating that a token is, spaces around it aside.
    fn rating(self, token: &str) -> Option<u8> {
        // Byte-level and sentence-piece vocabularies write a space before a word in their own ways.
        let bare = token.trim_matches(|c: char| c.is_whitespace() || c == 'Ġ' || c == '▁');
        let rating: u8 = bare.parse().ok().filter(|_| bare.len() == 1)?;
        (self.low..=self.high).contains(&rating).then_some(rating)
    }
}

/// The tokens that could have stood at a place of a judge's answer, with natural log-probabilities, in any order.
pub type Place<'a> = Vec<(&'a str, f64)>;

/// The rating of one answer; `None` where no number on the scale can be read without a guess.
///
/// The text decides which number was meant. `places` sharpen it to the expected rating if they have that number at the first place
/// where a digit is likeliest; they may be empty.
pub fn rating(text: &str, places: &[Place<'_>], scale: Scale) -> Option<f64> {
    let written = number(text)?;
    if !(f64::from(scale.low)..=f64::from(scale.high)).contains(&written) {
        return None;
    }
    let likeliest = |place: &Place<'_>| {
        let best = place.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        scale.rating(best.0)
    };
    let said = places.iter().find_map(|place| Some((likeliest(place)?, place)));
    match said {
        Some((rating, place)) if f64::from(rating) == written => Some(expected(place, scale)),
        _ => Some(written),
    }
}

/// The mean of the ratings at a place by their probabilities. At least one must be there.
fn expected(place: &Place<'_>, scale: Scale) -> f64 {
    let (mut sum, mut mass) = (0.0, 0.0);
    for (rating, log_prob) in place.iter().filter_map(|(token, log_prob)| Some((scale.rating(token)?, log_prob))) {
        let probability = log_prob.exp();
        sum += f64::from(rating) * probability;
        mass += probability;
    }
    sum / mass
}

/// The one number of a text. A second one makes it ambiguous, unless it is the highest rating behind "7/" or "7 out of".
fn number(text: &str) -> Option<f64> {
    let (first, before, rest) = next_number(text)?;
    if before.ends_with('-') {
        return None;
    }
    let rest = match next_number(rest) {
        None => "",
        Some((_, between, rest)) if matches!(between.trim().trim_matches('*'), "/" | "out of" | "of") => rest,
        Some(_) => return None,
    };
    next_number(rest).is_none().then_some(first)
}

/// The first number of a text, what stands before and what behind it.
fn next_number(text: &str) -> Option<(f64, &str, &str)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let digits = &text[start..];
    let whole = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let fraction = digits[whole..]
        .strip_prefix('.')
        .map_or(0, |rest| rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    let end = if fraction > 0 { whole + 1 + fraction } else { whole };
    Some((digits[..end].parse().ok()?, &text[..start], &digits[end..]))
}

/// The ratings of answers, where those that could not be read get what changes least: the mean of the ratings of the same prompt's
/// answers, or of all where it has none, or the middle of the scale where nothing at all could be read. `prompts` says for each
/// answer which prompt it is to.
pub fn filled(ratings: &[Option<f64>], prompts: &[u32], scale: Scale) -> Vec<f64> {
    let mean = |of: &mut dyn Iterator<Item = f64>| {
        let (mut sum, mut count) = (0.0, 0.0);
        for rating in of {
            sum += rating;
            count += 1.0;
        }
        (count > 0.0).then_some(sum / count)
    };
    let middle = f64::midpoint(f64::from(scale.low), f64::from(scale.high));
    let of_all = mean(&mut ratings.iter().flatten().copied()).unwrap_or(middle);
    let of_prompt = |prompt: u32| {
        let pairs = ratings.iter().zip(prompts);
        mean(&mut pairs.filter(|(_, of)| **of == prompt).filter_map(|(rating, _)| *rating)).unwrap_or(of_all)
    };
    ratings.iter().zip(prompts).map(|(rating, &prompt)| rating.unwrap_or_else(|| of_prompt(prompt))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale() -> Scale {
        Scale::new(1, 9).unwrap()
    }

    #[test]
    fn a_scale_has_two_digits_in_order() {
        assert!(Scale::new(5, 5).is_none() && Scale::new(6, 5).is_none() && Scale::new(1, 10).is_none());
        assert_eq!([1.0, 5.0, 9.0].map(|rating| scale().reward(rating)), [-1.0, 0.0, 1.0]);
        assert_eq!(Scale::new(0, 4).unwrap().reward(1.0), -0.5);
    }

    #[test]
    fn numbers_are_read_without_a_guess() {
        for (text, found) in [
            ("7", Some(7.0)),
            (" 7.5.", Some(7.5)),
            ("Rating: 8", Some(8.0)),
            ("**6**/9", Some(6.0)),
            ("6 out of 9.", Some(6.0)),
            ("10", None),
            ("0", None),
            ("-3", None),
            ("3 or 4", None),
            ("3/9 or 4/9", None),
            ("between 3 and 5", None),
            ("seven", None),
            ("", None),
            ("99999999999999999999999999999999999999999", None),
            ("七 7 点", Some(7.0)),
        ] {
            assert_eq!(rating(text, &[], scale()), found, "{text:?}");
        }
    }

    #[test]
    fn probabilities_make_an_expectation() {
        let ln = |p: f64| p.ln();
        // 0.6 · 7 + 0.2 · 8 + 0.1 · 2 over 0.9; the word and the number beyond the scale have no rating.
        let place = vec![(" 8", ln(0.2)), ("7", ln(0.6)), ("Ġ2", ln(0.1)), ("good", ln(0.06)), ("0", ln(0.04))];
        let by_hand = (4.2 + 1.6 + 0.2) / 0.9;
        let before = vec![("Rating", ln(0.9)), ("7", ln(0.1))];
        let found = rating("Rating 7", &[before, place.clone()], scale()).unwrap();
        assert!((found - by_hand).abs() < 1e-12, "{found}");
        // Even odds between neighbours.
        let even = rating("3", &[vec![("3", ln(0.5)), ("4", ln(0.5 - 1e-9))]], scale()).unwrap();
        assert!((scale().reward(even) - 0.5 * (scale().reward(3.0) + scale().reward(4.0))).abs() < 1e-8);
        // The place is not the number that was written: `10` shows a 1, `7.5` a 7.
        assert_eq!(rating("10", &[vec![("1", -0.1)], vec![("0", -0.1)]], scale()), None);
        assert_eq!(rating("7.5", &[place], scale()), Some(7.5));
    }

    #[test]
    fn the_unreadable_get_what_changes_least() {
        let ratings = [Some(2.0), None, Some(4.0), None, Some(9.0)];
        assert_eq!(filled(&ratings, &[0, 0, 0, 1, 2], scale()), [2.0, 3.0, 4.0, 5.0, 9.0]);
        assert_eq!(filled(&[None, None], &[0, 1], scale()), [5.0, 5.0]);
        assert_eq!(filled(&[], &[], scale()), [0.0; 0]);
    }
}
