//! A language of letters and a reward for it.
//!
//! A prompt is a topic and two letters. Each topic has a random chain of letters of its own (which letter follows which), and
//! texts end with probability 1/10 after each letter. The gold reward of an answer is the mean over its letters of +1
//! for those that its topic likes, -1 for those it dislikes, 0 for the rest, a third of the letters each; an answer
//! that does not end within [`LONGEST`] letters, or says nothing, gets -1. Nothing but the topic tells what is liked.

use camelid_text::Encoded;
use camelid_train::{below, stream};
use rand_chacha::ChaCha8Rng;

pub(crate) const BOS: u32 = 0;
pub(crate) const EOS: u32 = 1;
pub(crate) const TOPICS: u32 = 6;
pub(crate) const LETTERS: u32 = 24;
pub(crate) const VOCABULARY: u32 = 2 + TOPICS + LETTERS;
pub(crate) const LONGEST: usize = 16;

const FIRST_LETTER: u32 = 2 + TOPICS;

/// Prompts that have nothing to do with one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    Training,
    Validation,
    Test,
}

/// BOS, topic, two letters. No prompt is in two splits: the sum of its letters decides.
pub(crate) fn prompts(seed: u64, split: Split, count: usize) -> Vec<Vec<u32>> {
    let mut random = stream(seed, &format!("prompts {split:?}"));
    let wanted = |sum: u32| match split {
        Split::Training => sum % 4 < 2,
        Split::Validation => sum % 4 == 2,
        Split::Test => sum % 4 == 3,
    };
    let mut prompts = Vec::with_capacity(count);
    while prompts.len() < count {
        let topic = below(&mut random, TOPICS as usize) as u32;
        let letters = [(); 2].map(|()| below(&mut random, LETTERS as usize) as u32);
        if wanted(letters.iter().sum()) {
            prompts.push(vec![BOS, 2 + topic, FIRST_LETTER + letters[0], FIRST_LETTER + letters[1]]);
        }
    }
    prompts
}

/// Four letters that may follow a letter in a topic; fixed for good.
fn followers(topic: u32, letter: u32) -> [u32; 4] {
    let mut random = stream(u64::from(topic * LETTERS + letter), "followers");
    [(); 4].map(|()| FIRST_LETTER + below(&mut random, LETTERS as usize) as u32)
}

fn next(prompt: &[u32], last: u32, random: &mut ChaCha8Rng) -> u32 {
    if below(random, 10) == 0 {
        return EOS;
    }
    followers(prompt[1] - 2, last - FIRST_LETTER)[below(random, 4)]
}

/// A text of the language after a prompt, with its end.
pub(crate) fn demonstration(prompt: &[u32], random: &mut ChaCha8Rng) -> Vec<u32> {
    let mut answer = Vec::new();
    let mut last = prompt[prompt.len() - 1];
    loop {
        let token = if answer.len() < LONGEST { next(prompt, last, random) } else { EOS };
        answer.push(token);
        if token == EOS {
            return answer;
        }
        last = token;
    }
}

/// The gold reward of an answer, its end included in `answer`.
pub(crate) fn reward(prompt: &[u32], answer: &[u32]) -> f64 {
    let Some((&EOS, letters)) = answer.split_last() else { return -1.0 };
    if letters.is_empty() || letters.iter().any(|&letter| letter < FIRST_LETTER) {
        return -1.0;
    }
    let opinion = |letter: u32| match (letter - FIRST_LETTER + prompt[1]) % 3 {
        0 => 1.0,
        1 => -1.0,
        _ => 0.0,
    };
    letters.iter().map(|&letter| opinion(letter)).sum::<f64>() / letters.len() as f64
}

/// Prompt and answer as tokens of which the answer is learned.
pub(crate) fn encode(prompt: &[u32], answer: &[u32], record: u32) -> Encoded {
    let weights = prompt.iter().map(|_| 0.0).chain(answer.iter().map(|_| 1.0)).collect();
    Encoded { tokens: [prompt, answer].concat(), weights, record }
}
