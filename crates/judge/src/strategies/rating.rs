//! A grade of each output alone; the higher grade wins.
//!
//! **What it asks.** A whole number from 0 to 9 for each output, under the rules. The judge never sees both, so that there is no order;
//! equal grades are a tie.
//!
//! **Verdict format.** The only number of the answer; two numbers, or one out of range, are unparsed.
//!
//! **When to use it.** For many models, where pairs would be too many; on close pairs it ties often.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), appendix on rating.
//!
//! **Reference numbers.** A tie is half right.

use camelid_eval::judging::Output;
use camelid_records::Reply;

use super::replies::grades;
use super::wording::{alone, messages, parts};
use crate::case::Case;
use crate::parse;
use crate::strategy::{Expected, Grader, Question, Step, Strategy};

const GRADER: &str = "You grade how well an output of a chatbot carries out an instruction.";

const ASK: &str = "\
What counts first is whether the output does what the instruction says, honestly and to the letter: no more than was asked for and no \
less. Helpfulness, correctness, detail and harmlessness only count after that.

Grade the output from 0, the worst, to 9, the best. Answer with the whole number alone and give no reasons.";

/// Room for a number and marks around it.
const TOKENS: usize = 8;

pub(super) struct Rating;

impl Grader for Rating {
    fn question(&self, case: &Case, output: Output) -> Question {
        let mut all = alone(case, output);
        all.push(ASK.to_owned());
        Question { messages: messages(GRADER, parts(&all)), answer: Expected::text(TOKENS) }
    }

    fn read(&self, text: &str) -> Option<f64> {
        let [low, high] = self.range();
        parse::only_number(text, low, high).filter(|grade| grade.fract() == 0.0)
    }

    fn range(&self) -> [f64; 2] {
        [0.0, 9.0]
    }
}

impl Strategy for Rating {
    fn name(&self) -> &'static str {
        "rating"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        grades(self, case, rounds)
    }

    fn grader(&self) -> Option<&dyn Grader> {
        Some(self)
    }
}
