//! Whether a model was tuned on what it is tested on.
//!
//! **What counts.** A test item is leaked if a run of 13 of its words stands in the tuning data; one of 8 to 12 words, if all of it does;
//! shorter ones cannot be judged. Runs of 8 words are reported beside it: they find looser copies and more accidents. Words are
//! those of `windows`: lower case, no marks, Chinese by the character. A run that more than ten items share, or more than half of a
//! task's, is the task's own wording (instructions, examples in the prompt) and does not count.
//!
//! **Labels.** Test leaked: at least one test item is. Train split used: none is, but items of the task's train split are in the data, so
//! that the score is one within the distribution. Clean: neither.
//!
//! **Memory.** The items are indexed and the data passes by, so that memory does not grow with the data.
//!
//! **Source.** Brown 2020 (GPT-3, arXiv 2005.14165), appendix C: 13 words, 8 at least, runs that many documents share left out; coverage by
//! words as in Touvron 2023 (Llama 2, arXiv 2307.09288), section A.6.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::windows::Words;

/// Words of a run that makes a leak.
pub const LONG: usize = 13;
/// Words of the run that is reported beside it, and of the shortest item that can be judged.
pub const SHORT: usize = 8;
/// A run that more items share is common wording.
const COMMON: usize = 10;
/// An item is there verbatim if runs cover this share of its words.
const VERBATIM: f64 = 0.8;
/// Leaks shown with their words.
const EXAMPLES: usize = 5;
/// Characters of an example.
const EXCERPT: usize = 240;

/// Which part of a task an item is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    Test,
    Train,
}

/// Where a run was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub source: String,
    pub row: u64,
}

/// What is said of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    TestLeaked,
    TrainSplitUsed,
    Clean,
    /// All its items are too short to judge.
    Unknown,
}

impl Label {
    pub fn name(self) -> &'static str {
        match self {
            Self::TestLeaked => "test leaked",
            Self::TrainSplitUsed => "train split used",
            Self::Clean => "clean",
            Self::Unknown => "unknown",
        }
    }
}

/// What was found of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskContamination {
    pub task: String,
    pub label: Label,
    pub test: SplitCounts,
    pub train: SplitCounts,
    /// Names of the leaked test items.
    pub leaked: Vec<String>,
    /// The first leaks, those that cover most of an item first.
    pub examples: Vec<Example>,
}

/// Items of a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitCounts {
    pub items: usize,
    /// Of fewer than 8 words, or of common wording alone.
    pub unjudged: usize,
    /// With a run of 13 words in the data.
    pub leaked: usize,
    /// With runs that cover most of it.
    pub verbatim: usize,
    /// With a run of 8 words in the data, leaked ones included.
    pub near: usize,
}

/// A leak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    pub item: String,
    /// Share of its words that runs of 13 cover.
    pub coverage: f64,
    /// The longest stretch of it that is in the data, or the beginning of that.
    pub text: String,
    pub place: Place,
}

struct Entry {
    task: usize,
    split: Split,
    name: String,
    parts: Vec<Part>,
}

struct Part {
    text: String,
    words: Words,
    /// Length of the run that makes a leak; none where the part is too short.
    length: Option<usize>,
}

#[derive(Default)]
struct Run {
    /// Items that have it, up to one more than can make it common.
    sharers: usize,
    last_sharer: Option<usize>,
    found: Option<Place>,
}

/// The items whose copies are looked for.
#[derive(Default)]
pub struct Index {
    tasks: Vec<String>,
    entries: Vec<Entry>,
    runs: FxHashMap<u64, Run>,
    lengths: BTreeSet<usize>,
    rows: u64,
    buffer: Words,
}

impl Index {
    /// Adds an item: its text, in several parts where it stands in several fields.
    pub fn add<'t>(&mut self, task: &str, split: Split, name: &str, parts: impl IntoIterator<Item = &'t str>) {
        let task = self.tasks.iter().position(|known| known == task).unwrap_or_else(|| {
            self.tasks.push(task.to_owned());
            self.tasks.len() - 1
        });
        let index = self.entries.len();
        let mut entry = Entry { task, split, name: name.to_owned(), parts: Vec::new() };
        for text in parts {
            let mut words = Words::of(text);
            let length = (words.count() >= SHORT).then(|| words.count().min(LONG));
            for length in length.into_iter().chain(length.map(|_| SHORT)) {
                self.lengths.insert(length);
                for hash in words.windows(length) {
                    let run = self.runs.entry(hash).or_default();
                    if run.last_sharer != Some(index) {
                        (run.sharers, run.last_sharer) = (run.sharers + 1, Some(index));
                    }
                }
            }
            entry.parts.push(Part { text: text.to_owned(), words, length });
        }
        self.entries.push(entry);
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Rows of data that have passed.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Looks for the items' runs in a row of the tuning data, given as its texts.
    pub fn scan<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>, source: &str, row: u64) {
        self.rows += 1;
        for text in texts {
            self.buffer.read(text);
            for &length in &self.lengths {
                for hash in self.buffer.windows(length) {
                    if let Some(run) = self.runs.get_mut(&hash).filter(|run| run.found.is_none()) {
                        run.found = Some(Place { source: source.to_owned(), row });
                    }
                }
            }
        }
    }

    /// What was found so far, by task in the order in which tasks were added.
    pub fn report(&mut self) -> Vec<TaskContamination> {
        let mut sizes: BTreeMap<(usize, Split), usize> = BTreeMap::new();
        for entry in &self.entries {
            *sizes.entry((entry.task, entry.split)).or_default() += 1;
        }
        let mut reports: Vec<TaskContamination> = self
            .tasks
            .iter()
            .map(|task| TaskContamination {
                task: task.clone(),
                label: Label::Unknown,
                test: SplitCounts::default(),
                train: SplitCounts::default(),
                leaked: Vec::new(),
                examples: Vec::new(),
            })
            .collect();
        for entry in &mut self.entries {
            let size = sizes.get(&(entry.task, entry.split)).copied().unwrap_or_default();
            let most_sharers = COMMON.min((size / 2).max(2));
            let found = look_up(entry, &self.runs, most_sharers);
            let report = &mut reports[entry.task];
            let counts = match entry.split {
                Split::Test => &mut report.test,
                Split::Train => &mut report.train,
            };
            counts.items += 1;
            counts.unjudged += usize::from(!found.judged);
            counts.near += usize::from(found.near);
            if let Some(example) = found.leak {
                counts.leaked += 1;
                counts.verbatim += usize::from(example.coverage >= VERBATIM);
                if entry.split == Split::Test {
                    report.leaked.push(entry.name.clone());
                    report.examples.push(example);
                }
            }
        }
        for report in &mut reports {
            report.examples.sort_by(|a, b| b.coverage.total_cmp(&a.coverage));
            report.examples.truncate(EXAMPLES);
            report.label = match (&report.test, &report.train) {
                (test, _) if test.leaked > 0 => Label::TestLeaked,
                (_, train) if train.leaked > 0 => Label::TrainSplitUsed,
                (test, _) if test.items > test.unjudged => Label::Clean,
                _ => Label::Unknown,
            };
        }
        reports
    }
}

struct Found {
    judged: bool,
    near: bool,
    leak: Option<Example>,
}

fn look_up(entry: &mut Entry, runs: &FxHashMap<u64, Run>, most_sharers: usize) -> Found {
    let counted = |hash: &u64| runs.get(hash).filter(|run| run.sharers <= most_sharers);
    let mut found = Found { judged: false, near: false, leak: None };
    let (mut all, mut covered) = (0, 0);
    let mut longest: Option<(usize, String, Place)> = None;
    for part in &mut entry.parts {
        let Some(length) = part.length else { continue };
        found.near |= part.words.windows(SHORT).any(|hash| counted(&hash).is_some_and(|run| run.found.is_some()));
        let hits: Vec<Option<&Place>> = part
            .words
            .windows(length)
            .map(|hash| {
                let run = counted(&hash);
                found.judged |= run.is_some();
                run.and_then(|run| run.found.as_ref())
            })
            .collect();
        all += part.words.count();
        for (start, end, place) in stretches(&hits, length) {
            covered += end - start;
            if longest.as_ref().is_none_or(|(words, _, _)| *words < end - start) {
                let text = part.words.places.get(start).zip(part.words.places.get(end - 1));
                let text = text.map_or("", |(first, last)| &part.text[first.start..last.end]);
                longest = Some((end - start, text.chars().take(EXCERPT).collect(), place.clone()));
            }
        }
    }
    found.leak = longest.map(|(_, text, place)| Example {
        item: entry.name.clone(),
        coverage: covered as f64 / all as f64,
        text,
        place,
    });
    found
}

/// The stretches of words that runs of `length` cover, without overlap, each with where its first run was found.
fn stretches<'p>(hits: &[Option<&'p Place>], length: usize) -> Vec<(usize, usize, &'p Place)> {
    let mut stretches: Vec<(usize, usize, &Place)> = Vec::new();
    for (start, place) in hits.iter().enumerate().filter_map(|(start, hit)| Some((start, (*hit)?))) {
        match stretches.last_mut() {
            Some((_, end, _)) if start <= *end => *end = start + length,
            _ => stretches.push((start, start + length, place)),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &str =
        "Natalia sold clips to forty eight of her friends in April, and then she sold half as many in May.";

    fn filler(seed: usize, words: usize) -> String {
        let word = |word: usize| format!("w{}", (word * word * 31 + (seed + 7) * 977 * word + seed) % 10_007);
        (0..words).map(word).collect::<Vec<_>>().join(" ")
    }

    fn index(items: &[&str]) -> Index {
        let mut index = Index::default();
        for (number, item) in items.iter().enumerate() {
            index.add("t", Split::Test, &number.to_string(), [*item]);
        }
        index
    }

    #[test]
    fn a_planted_copy_is_found_whatever_its_case_and_marks() {
        let others: Vec<String> = (0..20).map(|seed| filler(seed, 30)).collect();
        let mut items = vec![ITEM];
        items.extend(others.iter().map(String::as_str));
        let mut index = index(&items);
        index.scan([filler(900, 500).as_str()], "a.jsonl", 1);
        assert_eq!(index.report()[0].label, Label::Clean);
        let copy =
            format!("{} {} {}", filler(901, 40), ITEM.to_uppercase().replace(", and", " -- AND"), filler(902, 40));
        index.scan(["short", copy.as_str()], "a.jsonl", 2);
        let report = &index.report()[0];
        assert_eq!((report.label, report.test.leaked, report.test.verbatim), (Label::TestLeaked, 1, 1));
        assert_eq!((report.test.items, report.test.near, report.leaked.as_slice()), (21, 1, &["0".to_owned()][..]));
        let example = &report.examples[0];
        assert_eq!((example.coverage, example.place.row), (1.0, 2));
        assert_eq!(example.text, ITEM.trim_end_matches('.'));
    }

    #[test]
    fn thirteen_words_leak_and_eight_are_near() {
        let words: Vec<&str> = ITEM.split(' ').collect();
        for (count, leaked, near) in [(13, 1, 1), (12, 0, 1), (8, 0, 1), (7, 0, 0)] {
            let mut index = index(&[ITEM]);
            let text = format!("{} {} {}", filler(1, 9), words[2..2 + count].join(" "), filler(2, 9));
            index.scan([text.as_str()], "a", 1);
            let counts = index.report()[0].test;
            assert_eq!((counts.leaked, counts.near), (leaked, near), "{count}");
        }
    }

    #[test]
    fn short_items_must_be_there_whole() {
        let item = "Which river flows through the middle of Prague today?";
        let mut index = index(&[item, "What is two plus two?"]);
        index.scan(["Tell me: which river flows through the middle of Prague?"], "a", 1);
        assert_eq!((index.report()[0].label, index.report()[0].test.unjudged), (Label::Clean, 1));
        index.scan(["(which river flows through the middle of prague today) what is two plus two"], "a", 2);
        assert_eq!((index.report()[0].label, index.report()[0].test.leaked), (Label::TestLeaked, 1));
    }

    #[test]
    fn chinese_counts_by_the_character() {
        let item = "下列关于计算机网络协议的描述中,哪一项是不正确的?";
        let mut index = index(&[item]);
        index.scan(["问题:关于计算机网络协议的描述中哪一项?"], "a", 1);
        assert_eq!(index.report()[0].test.leaked, 1);
        let mut index = super::tests::index(&[item]);
        index.scan(["关于计算机网络的协议有很多描述"], "a", 1);
        assert_eq!(index.report()[0].test.near, 0);
    }

    #[test]
    fn what_all_items_share_is_no_leak() {
        let wording =
            "Answer the following question and end with the letter of the choice that is right in your opinion";
        let items: Vec<String> = (0..30).map(|seed| format!("{wording}: {}", filler(seed, 20))).collect();
        let mut index = index(&items.iter().map(String::as_str).collect::<Vec<_>>());
        index.scan([wording], "a", 1);
        let report = &index.report()[0];
        assert_eq!((report.label, report.test.near), (Label::Clean, 0));
        index.scan([items[4].as_str()], "a", 2);
        assert_eq!(index.report()[0].leaked, ["4"]);
    }

    #[test]
    fn a_train_split_that_was_used_is_said() {
        let mut index = index(&[&filler(1, 30), &filler(2, 30)]);
        index.add("t", Split::Train, "train-1", [filler(3, 30).as_str()]);
        index.add("u", Split::Test, "u-1", ["too short"]);
        index.scan([filler(3, 30).as_str()], "a", 1);
        let report = index.report();
        assert_eq!((report[0].label, report[0].train.leaked, report[0].test.leaked), (Label::TrainSplitUsed, 1, 0));
        assert_eq!(report[1].label, Label::Unknown);
        assert_eq!(index.rows(), 1);
    }
}
