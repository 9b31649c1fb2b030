//! How friendly a text is, by a lexicon: a reward that needs no model and no reference.
//!
//! **When to use it.** Where a true reward must be known exactly: controlled-sentiment experiments (Rafailov 2023, section 6.1, has a
//! classifier in its place), in which it is the gold reward that learned ones are compared with. Optimised hard it is met by texts
//! that nobody would write; that is what such experiments show.
//!
//! **Formula.** Words are runs of letters, digits, `'` and `-`, in lower case. The valence `v` of a word that the lexicon has, and
//! that is neither an intensifier nor a negation, is its entry, changed by each of the three words before it, the nearest first:
//! an intensifier at distance `d` adds `0.293 (1, 0.95, 0.9)[d]` in the direction of `v` (a diminisher takes it away), a
//! negation multiplies by `-0.74`; words with a valence of their own change nothing. With `s` the sum of the valences, the sentiment
//! is `s / √(s² + 15)`, which lies between -1 and 1; a text without such words has 0.
//!
//! **Source.** Hutto and Gilbert 2014 (VADER, ICWSM): lexicon, constants, reach and the normalisation.
//!
//! **Reference numbers.** Equal to `vaderSentiment` 3.3.2 on lower-case text without what is left out here: capitals, exclamation and
//! question marks, `but`, `least`, `no`, `so` and `this` after `never`, `without doubt`, idioms, emoticons, intensifiers
//! of two words. There, punctuation between spaces counts as a word before another; here it does not.

use std::collections::HashMap;
use std::fmt;

/// What an intensifier adds.
const INTENSIFIED: f64 = 0.293;
/// How much of it is left one, two and three words away.
const REACH: [f64; 3] = [1.0, 0.95, 0.9];
/// What a negation multiplies with.
const NEGATED: f64 = -0.74;
/// About the largest square of a sum in practice.
const NORMALISER: f64 = 15.0;

const INTENSIFIERS: [&str; 51] = [
    "absolutely",
    "amazingly",
    "awfully",
    "completely",
    "considerable",
    "considerably",
    "decidedly",
    "deeply",
    "enormous",
    "enormously",
    "entirely",
    "especially",
    "exceptional",
    "exceptionally",
    "extreme",
    "extremely",
    "fabulously",
    "fully",
    "greatly",
    "highly",
    "hugely",
    "incredible",
    "incredibly",
    "intensely",
    "major",
    "majorly",
    "more",
    "most",
    "particularly",
    "purely",
    "quite",
    "really",
    "remarkably",
    "so",
    "substantially",
    "thoroughly",
    "total",
    "totally",
    "tremendous",
    "tremendously",
    "uber",
    "unbelievably",
    "unusually",
    "utter",
    "utterly",
    "very",
    "hella",
    "effing",
    "fricking",
    "frigging",
    "flipping",
];

const DIMINISHERS: [&str; 18] = [
    "almost",
    "barely",
    "hardly",
    "kinda",
    "less",
    "little",
    "marginal",
    "marginally",
    "occasional",
    "occasionally",
    "partly",
    "scarce",
    "scarcely",
    "slight",
    "slightly",
    "somewhat",
    "sorta",
    "kind-of",
];

/// Besides every word with `n't` in it.
const NEGATIONS: [&str; 15] = [
    "cannot", "despite", "neither", "never", "no", "none", "nope", "nor", "not", "nothing", "nowhere", "rarely",
    "seldom", "without", "uh-uh",
];

/// What a word does to the valences after it.
#[derive(Clone, Copy)]
enum Role {
    /// Pushes away from 0, or with a negative sign towards it.
    Intensifies(f64),
    Negates,
}

fn role(word: &str) -> Option<Role> {
    if INTENSIFIERS.contains(&word) {
        Some(Role::Intensifies(INTENSIFIED))
    } else if DIMINISHERS.contains(&word) {
        Some(Role::Intensifies(-INTENSIFIED))
    } else if NEGATIONS.contains(&word) || word.contains("n't") {
        Some(Role::Negates)
    } else {
        None
    }
}

/// A line that is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexiconError {
    /// Counted from 1.
    pub line: usize,
    pub reason: String,
}

impl fmt::Display for LexiconError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fix = "write a word in lower case, a tab and its valence, such as good<TAB>1.9";
        write!(formatter, "line {}: {}\n  fix: {fix}", self.line, self.reason)
    }
}

impl std::error::Error for LexiconError {}

/// Words with their valence, above 0 for friendly ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Lexicon {
    valences: HashMap<String, f64>,
}

impl Lexicon {
    /// Reads lines of a word, a tab and a number; further columns and empty lines are skipped.
    pub fn parse(text: &str) -> Result<Self, LexiconError> {
        let mut valences = HashMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |reason: String| LexiconError { line: index + 1, reason };
            let mut columns = line.split('\t').map(str::trim);
            let (Some(word), Some(number)) = (columns.next(), columns.next()) else {
                return Err(wrong(format!("there is no tab in {line:?}")));
            };
            if words(word).collect::<Vec<_>>() != [word] {
                return Err(wrong(format!("{word:?} is not one word in lower case")));
            }
            let valence = number.parse().ok().filter(|valence: &f64| valence.is_finite());
            let Some(valence) = valence else { return Err(wrong(format!("{number:?} is not a number"))) };
            if valences.insert(word.to_owned(), valence).is_some() {
                return Err(wrong(format!("{word:?} stands there twice")));
            }
        }
        if valences.is_empty() {
            return Err(LexiconError { line: 1, reason: "the lexicon is empty".into() });
        }
        Ok(Self { valences })
    }

    /// How many words it knows.
    pub fn len(&self) -> usize {
        self.valences.len()
    }

    /// Never: an empty lexicon is not read.
    pub fn is_empty(&self) -> bool {
        self.valences.is_empty()
    }

    /// From -1 to 1; 0 for a text without a word of the lexicon.
    pub fn sentiment(&self, text: &str) -> f64 {
        let words: Vec<String> = words(text).collect();
        let sum: f64 = (0..words.len()).map(|place| self.valence(&words, place)).sum();
        sum / (sum * sum + NORMALISER).sqrt()
    }

    /// The valence of a word where it stands.
    fn valence(&self, words: &[String], place: usize) -> f64 {
        let Some(&entry) = self.valences.get(&words[place]).filter(|_| role(&words[place]).is_none()) else {
            return 0.0;
        };
        let before = words[..place].iter().rev().zip(REACH);
        before.fold(entry, |valence, (word, reach)| match role(word) {
            Some(Role::Intensifies(by)) => valence + by * reach * if valence < 0.0 { -1.0 } else { 1.0 },
            Some(Role::Negates) => valence * NEGATED,
            None => valence,
        })
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '\'' || c == '-';
    let trimmed = move |word: &str| word.trim_matches(['\'', '-']).to_lowercase();
    text.split(move |c: char| !is_part(c)).map(trimmed).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon() -> Lexicon {
        Lexicon::parse("bad\t-2.5\ngood\t1.9\t0.9\n\nfun\t2.3\nmore\t1.0\n").unwrap()
    }

    fn normalised(sum: f64) -> f64 {
        sum / (sum * sum + 15.0).sqrt()
    }

    #[test]
    fn valences_add_up_and_are_changed_by_the_words_before() {
        let lexicon = lexicon();
        for (text, sum) in [
            ("a film", 0.0),
            ("Good, GOOD!", 3.8),
            ("very good", 1.9 + 0.293),
            ("really a good", 1.9 + 0.95 * 0.293),
            ("very bad", -2.5 - 0.293),
            ("slightly good", 1.9 - 0.293),
            ("not good", -0.74 * 1.9),
            ("isn't very good", -0.74 * (1.9 + 0.293)),
            ("very not good", -0.74 * 1.9 - 0.95 * 0.293),
            ("not in the least bit good", 1.9),
            // The two have no valence of their own, whatever the lexicon says.
            ("more", 0.0),
            ("good fun", 1.9 + 2.3),
        ] {
            assert!((lexicon.sentiment(text) - normalised(sum)).abs() < 1e-12, "{text}");
        }
    }

    #[test]
    fn sentiment_is_bounded_and_only_words_count() {
        let lexicon = lexicon();
        assert!(lexicon.sentiment(&"good ".repeat(10_000)) <= 1.0);
        assert!(lexicon.sentiment(&"bad ".repeat(10_000)) >= -1.0);
        assert_eq!(lexicon.sentiment("-good'. "), normalised(1.9));
        assert_eq!(lexicon.sentiment(""), 0.0);
        assert_eq!(lexicon.sentiment("goods"), 0.0);
    }

    #[test]
    fn lines_that_are_no_entries_are_named() {
        for (text, expected) in [
            ("good\t1\nbad", "line 2: there is no tab"),
            ("good\tmuch", "\"much\" is not a number"),
            ("good\tNaN", "is not a number"),
            ("Good\t1", "not one word in lower case"),
            ("of course\t1", "not one word"),
            ("good\t1\ngood\t2", "line 2: \"good\" stands there twice"),
            ("\n", "the lexicon is empty"),
        ] {
            let error = Lexicon::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("fix: "), "{error}");
        }
    }

    /// The shipped lexicon, against `vaderSentiment` 3.3.2 where the rules are the same.
    #[test]
    fn vader_says_the_same() {
        let lexicon = Lexicon::parse(include_str!("../../../../data/sentiment/lexicon.tsv")).unwrap();
        for (text, compound) in RECORDED {
            // It rounds to four digits.
            assert!((lexicon.sentiment(text) - compound).abs() <= 0.5001e-4, "{text}: {}", lexicon.sentiment(text));
        }
    }

    /// Sentences of the sentence polarity data set without their punctuation, and VADER's `compound`.
    const RECORDED: [(&str, f64); 12] = [
        ("unfortunately neither sendak nor the directors are particularly engaging or articulate", 0.0754),
        ("while the glass slipper doesn't quite fit pumpkin is definitely a unique modern fairytale", 0.0959),
        ("just because it really happened to you honey doesn't mean that it's interesting to anyone else", 0.4019),
        ("the big ending surprise almost saves the movie it's too bad that the rest isn't more compelling", -0.5078),
        ("an enormously entertaining movie like nothing we've ever seen before and yet completely familiar", 0.7146),
        ("those who aren't put off by the film's austerity will find it more than capable of rewarding them", 0.7414),
        ("a loud witless mess that has none of the charm and little of the intrigue from the tv series", -0.5801),
        ("nothing more substantial than a fitfully clever doodle", 0.294),
        ("there ain't a lot more painful than an unfunny movie that thinks it's hilarious", -0.1263),
        ("a good piece of work more often than not", 0.4404),
        ("it's not hateful it's simply stupid irrelevant and deeply truly bottomlessly cynical", -0.1136),
        ("i'll go out on a limb it isn't quite one of the worst movies of the year it's just merely very bad", -0.8357),
    ];
}
