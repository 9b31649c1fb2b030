//! Both orders are judged with reasons; if they contradict each other, the judge reviews both and decides.
//!
//! **What it asks.** Reasons and a verdict in both orders, under the rules. The same verdict twice is the verdict. Else a review reads
//! both outputs and both reasons, in both orders, and answers with a letter (`swap`) or with reasons (`swap-cot`). An order that cannot be
//! read contradicts nothing: then there is no review, and the pair keeps one verdict and one failure.
//!
//! **Verdict format.** `Verdict: A` in the first round; in the review a letter or `Verdict: A`.
//!
//! **When to use it.** Where contradictions between the orders cost most: it raises agreement, hardly accuracy.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), section 3.2, "Swap and Synthesize".
//!
//! **Reference numbers.** GPT-4, in the authors' words: `swap` Adversarial 80.1 with agreement 96.0, `swap-cot` 80.3 with 96.8.

use camelid_records::Reply;

use super::chain_of_thought::reasoned_questions;
use super::replies::{letters, text, texts};
use super::wording::{LETTERS, ONE_LETTER, REASONS, RULES, comparison, messages, part, parts};
use crate::case::{Case, Order};
use crate::parse;
use crate::strategy::{Expected, Question, Step, Strategy};

const REVIEWER: &str = "\
Two judges compared the outputs that two chatbots wrote for one instruction, and they disagree. You review what they say and decide.";

const REVIEW: &str = "\
Check what each judge says against the outputs themselves, in a few sentences. Then write a last line that is either \"Verdict: A\" or \
\"Verdict: B\"; there are no ties.";

/// `swap`, or `swap-cot` where the review gives reasons.
pub(super) struct Swap {
    pub(super) reasoned: bool,
}

impl Swap {
    /// The review in both orders. A judge's reasons name places, so each order shows first the reasons that were written in it.
    fn review(&self, case: &Case, replies: &[Reply]) -> Vec<Question> {
        let reasons = |order: Order| {
            let place = usize::from(order == Order::Swapped);
            text(replies.get(place)).unwrap_or_default()
        };
        let ask = |order: Order| {
            let other = if order == Order::AsGiven { Order::Swapped } else { Order::AsGiven };
            let mut all = vec![RULES.to_owned()];
            all.extend(comparison(case, order));
            all.push(part("What the first judge says", reasons(order)));
            let note = "(This judge read the outputs in the other order: where it says A, it means B here, and the other way round.)";
            all.push(part("What the second judge says", &format!("{note}\n{}", reasons(other))));
            let (ask, answer) = if self.reasoned {
                (REVIEW, Expected::text(REASONS))
            } else {
                (ONE_LETTER, Expected::Choice(LETTERS.to_vec()))
            };
            all.push(ask.to_owned());
            Question { messages: messages(REVIEWER, parts(&all)), answer }
        };
        Order::BOTH.map(ask).into()
    }
}

impl Strategy for Swap {
    fn name(&self) -> &'static str {
        if self.reasoned { "swap-cot" } else { "swap" }
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        match rounds {
            [] => Step::Ask(reasoned_questions(case)),
            [replies] => {
                let found = texts(replies, parse::verdict);
                let contradicts = found.as_given.verdict != found.swapped.verdict && found.combined.is_some();
                if contradicts { Step::Ask(self.review(case, replies)) } else { Step::Done(found) }
            }
            [_, replies, ..] if self.reasoned => Step::Done(texts(replies, parse::verdict)),
            [_, replies, ..] => Step::Done(letters(replies, &LETTERS)),
        }
    }
}
