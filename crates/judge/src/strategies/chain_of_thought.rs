//! Reasons first, then a verdict.
//!
//! **Verdict format.** A last line `Verdict: A` or `Verdict: B`; the last one found counts.
//!
//! **When to use it.** Where reasons must be read. Reasoning made five of six recorded judges less accurate on LLMBar.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), section 3.2, `CoT`.
//!
//! **Reference numbers.** GPT-4, in the authors' words: Natural 94.5, Adversarial 76.6, agreement 87.6 there.

use camelid_records::Reply;

use super::replies::texts;
use super::wording::{COMPARER, REASONS, RULES, comparison, messages, parts};
use crate::case::{Case, Order};
use crate::parse;
use crate::strategy::{Expected, Question, Step, Strategy};

pub(super) const REASON: &str = "\
Say in a few sentences how well each output carries out the instruction. Then write a last line that is either \"Verdict: A\" or \
\"Verdict: B\"; there are no ties.";

/// Reasons and a verdict in both orders, under the rules.
pub(super) fn reasoned_questions(case: &Case) -> Vec<Question> {
    let ask = |order: Order| {
        let mut all = vec![RULES.to_owned()];
        all.extend(comparison(case, order));
        all.push(REASON.to_owned());
        Question { messages: messages(COMPARER, parts(&all)), answer: Expected::text(REASONS) }
    };
    Order::BOTH.map(ask).into()
}

pub(super) struct ChainOfThought;

impl Strategy for ChainOfThought {
    fn name(&self) -> &'static str {
        "cot"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        match rounds {
            [] => Step::Ask(reasoned_questions(case)),
            [replies, ..] => Step::Done(texts(replies, parse::verdict)),
        }
    }
}
