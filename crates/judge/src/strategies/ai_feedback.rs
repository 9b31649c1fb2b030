//! Soft labels for training, from the probabilities of the two choices.
//!
//! **What it asks.** Which of two responses is better, in both orders.
//!
//! **Formula.** In each order `p = e^{l_1}/(e^{l_1} + e^{l_2})` from the log-probabilities of `1` and `2`; the label is the mean over both
//! orders, so that a preference for a place cancels.
//!
//! **Verdict format.** `1` or `2`. Without log-probabilities labels are hard, and a contradiction is a half.
//!
//! **When to use it.** To label pairs for a reward model or a preference stage; the label is `combined`.
//!
//! **Source.** Lee 2023 (arXiv 2309.00267, RLAIF), section 3.1; Bai 2022 (arXiv 2212.08073), section 4.1.

use camelid_records::Reply;

use super::alpaca_eval::soft;
use super::replies::letters;
use super::wording::{messages, part, parts};
use crate::case::{Case, Order};
use crate::strategy::{Expected, Question, Step, Strategy};

const JUDGE: &str = "\
A good response is helpful to the one who asked, true in what it says, and harmless to everyone. You are given a conversation and two \
responses to it, and you tell which one is better.";

const ASK: &str = "Which response is better, 1 or 2? Answer with the number alone.";

const NUMBERS: [&str; 2] = ["1", "2"];

pub(super) struct AiFeedback;

impl Strategy for AiFeedback {
    fn name(&self) -> &'static str {
        "ai-feedback"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        let ask = |order: Order| {
            let [a, b] = order.places().map(|output| case.output(output));
            let all = [
                part("Conversation", &case.instruction()),
                part("Response 1", &a),
                part("Response 2", &b),
                ASK.to_owned(),
            ];
            Question { messages: messages(JUDGE, parts(&all)), answer: Expected::Choice(NUMBERS.to_vec()) }
        };
        match rounds {
            [] => Step::Ask(Order::BOTH.map(ask).into()),
            [replies, ..] => Step::Done(soft(letters(replies, &NUMBERS))),
        }
    }
}
