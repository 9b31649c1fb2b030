//! Which of two models people would prefer, weighted by how sure the judge is.
//!
//! **What it asks.** Instruction and the outputs of the models `m` and `M`; the answer is the name of the better one. Unlike the
//! published evaluator, which draws one order for each item, both orders are asked.
//!
//! **Verdict format.** `m` or `M`. The preference of an order is the share of the two probabilities, and the combined preference is the
//! mean of both orders; without log-probabilities it is the mean of the verdicts.
//!
//! **Source.** Li 2023 (AlpacaEval) and Dubois 2024 (arXiv 2404.04475): the weighted evaluator of AlpacaEval 2.

use camelid_records::{Assessment, Reply};

use super::replies::letters;
use super::wording::{messages, part, parts};
use crate::case::{Case, Order};
use crate::strategy::{Expected, Question, Step, Strategy};

const JUDGE: &str = "\
You rank language models by the quality of their outputs, and your ranking should be that of people who gave the instruction.";

const ASK: &str = "Which model's output would people prefer? Answer with the model's name alone: m or M.";

pub(super) const NAMES: [&str; 2] = ["m", "M"];

pub(super) struct AlpacaEval;

/// The mean of the two orders' probabilities, where both are told.
pub(super) fn soft(mut assessment: Assessment) -> Assessment {
    let both = assessment.as_given.preference.zip(assessment.swapped.preference);
    assessment.combined = both.map(|(as_given, swapped)| as_given.midpoint(swapped)).or(assessment.combined);
    assessment
}

impl Strategy for AlpacaEval {
    fn name(&self) -> &'static str {
        "alpaca-eval"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        let ask = |order: Order| {
            let [a, b] = order.places().map(|output| case.output(output));
            let all = [
                part("Instruction", &case.instruction()),
                part("Output of model m", &a),
                part("Output of model M", &b),
                ASK.to_owned(),
            ];
            Question { messages: messages(JUDGE, parts(&all)), answer: Expected::Choice(NAMES.to_vec()) }
        };
        match rounds {
            [] => Step::Ask(Order::BOTH.map(ask).into()),
            [replies, ..] => Step::Done(soft(letters(replies, &NAMES))),
        }
    }
}
