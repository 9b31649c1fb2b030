//! Items that need no data: a value to be found again in a long text.
//!
//! Lines `line NAME: the value is <NUMBER>` follow one another until the text has the stated length; one line's value is asked
//! for. What is hard about it is the length and the place, both of which are stated.
//!
//! **Source.** The line retrieval of Li et al. 2023 (`LongChat`); places as Liu et al. 2023 (arXiv 2307.03172) vary them.

use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::json;

use super::{Item, Task};
use crate::random::{below, stream};

/// How many items of which lengths.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// Lengths of the text in characters; a group each.
    pub characters: Vec<usize>,
    /// Places of the line that is asked for, evenly from the first line to the last.
    pub places: usize,
    /// Items of each length and place.
    pub items: usize,
}

/// Words that make up names of lines; none begins another.
const WORDS: [&str; 32] = [
    "amber", "basket", "canal", "dragon", "engine", "fabric", "garden", "hammer", "island", "jacket", "kettle",
    "ladder", "magnet", "needle", "orange", "pepper", "quartz", "ribbon", "silver", "tunnel", "umbrella", "velvet",
    "window", "yellow", "zipper", "anchor", "bridge", "candle", "dinner", "flower", "guitar", "hotel",
];

impl Task {
    /// The items of a task that makes them up, the same for the same seed: `text`, `name` and `answer`.
    pub fn made_up(&self, seed: u64) -> Vec<Item> {
        let Some(retrieval) = &self.definition.retrieval else { return Vec::new() };
        let mut items = Vec::new();
        for &characters in &retrieval.characters {
            for place in 0..retrieval.places {
                for number in 0..retrieval.items {
                    let id = format!("{characters}-{place}-{number}");
                    let mut random = stream(seed, &format!("retrieval/{}/{id}", self.name()));
                    let share = place as f64 / (retrieval.places.max(2) - 1) as f64;
                    let (text, name, answer) = lines(characters, share, &mut random);
                    let fields = json!({ "text": text, "name": name, "answer": answer, "characters": characters, "depth": share });
                    let group = Some(format!("{characters} characters"));
                    items.push(Item {
                        id,
                        cluster: None,
                        group,
                        fields: fields.as_object().cloned().unwrap_or_default(),
                    });
                }
            }
        }
        items
    }
}

/// Lines up to a length, the name of the line at a share of them, and its value.
fn lines(characters: usize, share: f64, random: &mut ChaCha8Rng) -> (String, String, String) {
    let (mut known, mut lines, mut length) = (std::collections::HashSet::new(), Vec::new(), 0);
    loop {
        let number = 10_000 + below(random, 90_000);
        let [first, second] = [(); 2].map(|()| WORDS[below(random, WORDS.len())]);
        // Enough words for long texts, and few enough that each name looks like others.
        let name = format!("{first}-{second}-{}", 1 + below(random, 99));
        if !known.insert(name.clone()) {
            continue;
        }
        let line = format!("line {name}: the value is <{number}>\n");
        length += line.len();
        if length > characters && !lines.is_empty() {
            break;
        }
        lines.push((line, name, number.to_string()));
    }
    let asked = (share * (lines.len() - 1) as f64).round() as usize;
    let text: String = lines.iter().map(|(line, ..)| line.as_str()).collect();
    let (_, name, value) = lines.swap_remove(asked.min(lines.len() - 1));
    (text, name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_is_asked_for_stands_where_it_should_and_lengths_are_kept() {
        for share in [0.0, 0.5, 1.0] {
            let (text, name, value) = lines(2000, share, &mut stream(7, "test"));
            assert!(text.len() <= 2000 && text.len() > 1940, "{}", text.len());
            let found: Vec<usize> =
                text.lines().enumerate().filter(|(_, l)| l.contains(&format!(" {name}:"))).map(|(i, _)| i).collect();
            assert_eq!(found.len(), 1);
            let count = text.lines().count() as f64 - 1.0;
            assert_eq!(found[0], (share * count).round() as usize);
            assert!(text.lines().nth(found[0]).unwrap().ends_with(&format!("<{value}>")));
        }
    }

    #[test]
    fn one_seed_gives_one_text() {
        assert_eq!(lines(500, 0.3, &mut stream(1, "a")), lines(500, 0.3, &mut stream(1, "a")));
        assert_ne!(lines(500, 0.3, &mut stream(1, "a")), lines(500, 0.3, &mut stream(2, "a")));
    }
}
