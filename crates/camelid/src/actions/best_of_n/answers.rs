//! The answers of a stage as a file, a line each, which an attempt that was cut off goes on with.

use std::path::Path;

use anyhow::{Context, bail};
use camelid_train::Example;
use serde::{Deserialize, Serialize};

pub(crate) const FILE: &str = "answers.jsonl";

/// An answer with its scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Counted from 0, among the prompts that were not refused.
    pub(crate) prompt: usize,
    /// Hash of the prompt's tokens.
    pub(crate) asked: String,
    pub(crate) sample: usize,
    pub(crate) text: String,
    /// Whether it ended by itself.
    pub(crate) ended: bool,
    /// With the token that ended it.
    pub(crate) tokens: Vec<u32>,
    /// Of all its tokens together, in nats.
    pub(crate) log_prob: f64,
    pub(crate) reward: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gold: Option<f64>,
}

/// Tells prompts apart, whatever their files are called.
pub(crate) fn asked(example: &Example) -> String {
    let mut hasher = blake3::Hasher::new();
    for token in example.sequences.first().map(|sequence| sequence.tokens.as_slice()).unwrap_or_default() {
        hasher.update(&token.to_le_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Answers in the order in which they are drawn: so many prompts at a time, and of each so many samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rounds {
    pub(crate) prompts: usize,
    pub(crate) samples: usize,
}

/// What is drawn together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OneRound {
    pub(crate) prompts: std::ops::Range<usize>,
    pub(crate) samples: std::ops::Range<usize>,
}

/// Samples of a prompt that are drawn together at most, and samples of all prompts together.
const PIECE: usize = 64;
const TOGETHER: usize = 256;

impl Rounds {
    pub(crate) fn list(self) -> Vec<OneRound> {
        let at_once = (TOGETHER / self.samples.min(PIECE)).max(1);
        let chunks = (0..self.prompts).step_by(at_once).map(|first| first..(first + at_once).min(self.prompts));
        let of_chunk = |prompts: std::ops::Range<usize>| {
            let pieces = (0..self.samples).step_by(PIECE);
            pieces.map(move |first| OneRound {
                prompts: prompts.clone(),
                samples: first..(first + PIECE).min(self.samples),
            })
        };
        chunks.flat_map(of_chunk).collect()
    }
}

impl OneRound {
    /// (prompt, sample) of each of its answers.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let samples = self.samples.clone();
        self.prompts.clone().flat_map(move |prompt| samples.clone().map(move |sample| (prompt, sample)))
    }

    pub(crate) fn len(&self) -> usize {
        self.prompts.len() * self.samples.len()
    }
}

/// The answers of the first rounds that a file has whole; what follows them was cut off and is drawn again. Nothing if there is no
/// file.
pub(crate) fn whole_rounds(path: &Path, rounds: &[OneRound], asked: &[String]) -> Vec<Answer> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut lines = text.lines().map_while(|line| serde_json::from_str::<Answer>(line).ok());
    let mut answers = Vec::new();
    for round in rounds {
        let before = answers.len();
        for (prompt, sample) in round.places() {
            match lines.next() {
                Some(answer) if answer.is_of(prompt, sample, asked) => answers.push(answer),
                _ => {
                    answers.truncate(before);
                    return answers;
                }
            }
        }
    }
    answers
}

impl Answer {
    fn is_of(&self, prompt: usize, sample: usize, asked: &[String]) -> bool {
        (self.prompt, self.sample) == (prompt, sample) && asked.get(prompt) == Some(&self.asked)
    }
}

/// What another stage drew, which must be for these prompts and at least as many samples.
pub(crate) fn drawn_elsewhere(path: &Path, asked: &[String], samples: usize) -> anyhow::Result<Vec<Vec<Answer>>> {
    let file = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    let place = file.display();
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{place} cannot be read\n  fix: name the directory of a finished best-of-n stage"))?;
    let mut groups: Vec<Vec<Option<Answer>>> = vec![vec![None; samples]; asked.len()];
    for (index, line) in text.lines().enumerate() {
        let answer: Answer = serde_json::from_str(line).with_context(|| {
            format!(
                "{place}, line {}: is no answer\n  fix: name the directory of a finished best-of-n stage",
                index + 1
            )
        })?;
        if asked.get(answer.prompt) != Some(&answer.asked) {
            bail!(
                "{place}, line {}: answers another prompt than number {} of `data`\n  fix: give this stage the `data`, model \
                 and `max_length` of the stage that drew them",
                index + 1,
                answer.prompt + 1
            );
        }
        if let Some(place) = groups[answer.prompt].get_mut(answer.sample) {
            *place = Some(answer);
        }
    }
    let whole = |group: Vec<Option<Answer>>| group.into_iter().collect::<Option<Vec<Answer>>>();
    let Some(groups) = groups.into_iter().map(whole).collect() else {
        bail!(
            "{place} has not {samples} answers to each prompt\n  fix: finish the stage that draws them, or lower `samples`"
        );
    };
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(prompt: usize, sample: usize) -> Answer {
        Answer {
            prompt,
            asked: format!("p{prompt}"),
            sample,
            text: "a\nb".into(),
            ended: true,
            tokens: vec![1, 2],
            log_prob: -0.1,
            reward: 0.1 + 0.2,
            gold: (sample == 0).then_some(1.0),
        }
    }

    #[test]
    fn rounds_have_every_answer_once() {
        for (prompts, samples) in [(1, 2), (7, 3), (5, 64), (3, 100), (2, 129), (400, 2)] {
            let rounds = Rounds { prompts, samples }.list();
            let mut places: Vec<(usize, usize)> = rounds.iter().flat_map(OneRound::places).collect();
            assert!(rounds.iter().all(|round| round.samples.len() <= PIECE && round.len() <= TOGETHER));
            places.sort_unstable();
            let expected: Vec<_> = (0..prompts).flat_map(|p| (0..samples).map(move |s| (p, s))).collect();
            assert_eq!(places, expected);
        }
    }

    #[test]
    fn what_was_cut_off_is_drawn_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let asked: Vec<String> = (0..3).map(|prompt| format!("p{prompt}")).collect();
        let rounds: Vec<OneRound> =
            (0..3).map(|prompt| OneRound { prompts: prompt..prompt + 1, samples: 0..2 }).collect();
        assert_eq!(whole_rounds(&path, &rounds, &asked), []);
        let all: Vec<Answer> = rounds.iter().flat_map(OneRound::places).map(|(p, s)| answer(p, s)).collect();
        let text: String = all.iter().map(|answer| serde_json::to_string(answer).unwrap() + "\n").collect();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(whole_rounds(&path, &rounds, &asked), all);
        std::fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert_eq!(whole_rounds(&path, &rounds, &asked), all[..4]);
        // Another prompt stands where the second was.
        let changed = ["p0", "other", "p2"].map(str::to_owned);
        assert_eq!(whole_rounds(&path, &rounds, &changed), all[..2]);

        std::fs::write(&path, &text).unwrap();
        assert_eq!(drawn_elsewhere(folder.path(), &asked, 2).unwrap()[1], all[2..4]);
        assert_eq!(drawn_elsewhere(&path, &asked, 1).unwrap()[2], all[4..5]);
        let error = drawn_elsewhere(&path, &asked, 3).unwrap_err().to_string();
        assert!(error.contains("has not 3 answers"), "{error}");
        let error = drawn_elsewhere(&path, &changed, 2).unwrap_err().to_string();
        assert!(error.contains("line 3: answers another prompt than number 2"), "{error}");
    }
}
