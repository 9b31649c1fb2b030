//! How a judge is asked: the seam between prompts and whoever answers them.

use std::fmt::Write as _;

use camelid_eval::judging::Output;
use camelid_records::{Assessment, Message, Reply};

use crate::case::Case;
use crate::error::UnknownStrategy;
use crate::strategies;

/// One question to a judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub messages: Vec<Message>,
    pub answer: Expected,
}

/// What kind of answer is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// A text; several samples where the strategy wants to know how far they differ.
    Text { max_tokens: usize, temperature: f32, samples: usize },
    /// One of these words, each of which a tokenizer writes as one token. Their log-probabilities decide where the answerer
    /// tells them, the text elsewhere.
    Choice(Vec<&'static str>),
}

impl Expected {
    /// The likeliest text.
    pub fn text(max_tokens: usize) -> Self {
        Self::Text { max_tokens, temperature: 0.0, samples: 1 }
    }
}

/// What a strategy does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Ask all of these; the replies come in their order.
    Ask(Vec<Question>),
    Done(Assessment),
}

/// A way of asking. Everything is a function of the case and of what was answered so far, so that prompts and verdicts are
/// tested without a model.
pub trait Strategy: Send + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// The next questions, or the assessment. `rounds` holds the replies to every earlier `Ask`, as many as were asked.
    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step;

    /// How it grades one output, if it grades each by itself: then there is no order, and both orders have one verdict.
    fn grader(&self) -> Option<&dyn Grader> {
        None
    }
}

/// A way of grading one output without seeing another.
pub trait Grader: Send + Sync {
    /// The question for a grade of one of the outputs.
    fn question(&self, case: &Case, output: Output) -> Question;

    /// The grade in an answer; `None` if it cannot be read.
    fn read(&self, text: &str) -> Option<f64>;

    /// The worst and the best grade.
    fn range(&self) -> [f64; 2];
}

/// Rounds that any strategy needs at most.
pub const MOST_ROUNDS: usize = 16;

/// A hash of everything a strategy says: it changes with its words and settings, never by itself. The strategy is led through
/// two made-up cases by made-up replies, one of which contradicts itself between the orders.
pub fn fingerprint(strategy: &dyn Strategy) -> String {
    let mut said = strategy.name().to_owned();
    let outputs = ["first".to_owned(), "second".to_owned()];
    let one = Case::single("probe", "instruction", outputs.clone());
    let dialogue = Case {
        turns: vec!["one".into(), "two".into()],
        outputs: outputs.map(|output| vec![output.clone(), output]),
        references: Some(vec!["right".into(), "right".into()]),
        ..one.clone()
    };
    for case in [&one, &dialogue] {
        // Always A: a contradiction, as the places are swapped.
        let mut rounds: Vec<Vec<Reply>> = Vec::new();
        while let (Step::Ask(questions), true) = (strategy.step(case, &rounds), rounds.len() < MOST_ROUNDS) {
            let _ = write!(said, "\n{questions:?}");
            let text = "Verdict: A".to_owned();
            rounds.push(
                questions.iter().map(|_| Reply::Answered { texts: vec![text.clone()], log_probs: None }).collect(),
            );
        }
    }
    blake3::hash(said.as_bytes()).to_hex()[..16].to_owned()
}

/// All strategies, in the order of the help text.
pub fn all() -> Vec<Box<dyn Strategy>> {
    strategies::all()
}

/// The strategy of that name.
pub fn by_name(name: &str) -> Result<Box<dyn Strategy>, UnknownStrategy> {
    let known = all().iter().map(|strategy| strategy.name()).collect::<Vec<_>>().join(", ");
    all()
        .into_iter()
        .find(|strategy| strategy.name() == name)
        .ok_or_else(|| UnknownStrategy { name: name.to_owned(), known })
}
