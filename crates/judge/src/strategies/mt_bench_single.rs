//! A grade of each output alone, with reasons.
//!
//! **What it asks.** Reasons, then a grade from 1 to 10, for each output by itself and with the reference of the data where there is one.
//! Equal grades are a tie; there is no order.
//!
//! **Verdict format.** `[[7]]`; the last one counts, and one out of range is unparsed.
//!
//! **Source.** Zheng 2023 (arXiv 2306.05685), section 3 and appendix A, single answer grading.

use camelid_eval::judging::Output;
use camelid_records::Reply;

use super::replies::grades;
use super::wording::{REASONS, alone, messages, part, parts};
use crate::case::Case;
use crate::parse;
use crate::strategy::{Expected, Grader, Question, Step, Strategy};

const JUDGE: &str = "\
You are an impartial judge of an assistant's answer. What counts is whether it does what the user wanted, and how helpful, relevant, \
accurate, deep and creative it is; its length does not.";

const ASK: &str = "\
Discuss the answer in a few sentences. Then grade it from 1, the worst, to 10, the best, in exactly this form: [[5]].";

pub(super) struct MtBenchSingle;

impl Grader for MtBenchSingle {
    fn question(&self, case: &Case, output: Output) -> Question {
        let mut all = alone(case, output);
        all.extend(case.reference().map(|reference| part("A right answer", &reference)));
        all.push(ASK.to_owned());
        Question { messages: messages(JUDGE, parts(&all)), answer: Expected::text(REASONS) }
    }

    fn read(&self, text: &str) -> Option<f64> {
        let [low, high] = self.range();
        parse::bracketed_grade(text, low, high)
    }

    fn range(&self) -> [f64; 2] {
        [1.0, 10.0]
    }
}

impl Strategy for MtBenchSingle {
    fn name(&self) -> &'static str {
        "mt-bench-single"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        grades(self, case, rounds)
    }

    fn grader(&self) -> Option<&dyn Grader> {
        Some(self)
    }
}
