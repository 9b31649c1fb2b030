//! Rules and two worked examples, then a letter.
//!
//! **What it asks.** As `rules`, after two examples as earlier turns: in one the short output A is right where B adds what nobody asked
//! for, in the other B does what was asked where A only looks better. The right letters differ, so that no place is suggested.
//!
//! **Verdict format.** As `vanilla`.
//!
//! **When to use it.** With base models and small ones, which learn the format of the answer from examples.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), appendix on few-shot judges; Zheng 2023 (arXiv 2306.05685), section 4 (consistency
//! of GPT-4 from 65.0 to 77.5 %).

use camelid_records::{Message, Reply, Role};

use super::replies::letters;
use super::wording::{COMPARER, LETTERS, ONE_LETTER, RULES, comparison, parts};
use crate::case::{Case, Order};
use crate::strategy::{Expected, Question, Step, Strategy};

/// Instruction, outputs A and B, the right letter.
const EXAMPLES: [(&str, &str, &str, &str); 2] = [
    (
        "Translate \"good night\" into French. Give the translation only.",
        "Bonne nuit",
        "In French one says \"bonne nuit\". It is used before going to bed, whereas \"bonsoir\" is a greeting in the evening.",
        "A",
    ),
    (
        "List three fruits that are not red.",
        "A colourful choice for a healthy day:\n1. Strawberries, full of vitamin C\n2. Bananas, rich in potassium\n3. Cherries, sweet \
         and juicy",
        "Bananas, blueberries, limes",
        "B",
    ),
];

pub(super) struct FewShot;

impl FewShot {
    fn user(case: &Case, order: Order, first: bool) -> Message {
        let mut all = Vec::new();
        all.extend(first.then(|| RULES.to_owned()));
        all.extend(comparison(case, order));
        all.push(ONE_LETTER.to_owned());
        Message::new(Role::User, parts(&all))
    }

    fn question(case: &Case, order: Order) -> Question {
        let mut messages = vec![Message::new(Role::System, COMPARER)];
        for (place, (instruction, a, b, letter)) in EXAMPLES.into_iter().enumerate() {
            let example = Case::single("example", instruction, [a.to_owned(), b.to_owned()]);
            messages.push(Self::user(&example, Order::AsGiven, place == 0));
            messages.push(Message::new(Role::Assistant, letter));
        }
        messages.push(Self::user(case, order, false));
        Question { messages, answer: Expected::Choice(LETTERS.to_vec()) }
    }
}

impl Strategy for FewShot {
    fn name(&self) -> &'static str {
        "few-shot"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        match rounds {
            [] => Step::Ask(Order::BOTH.map(|order| Self::question(case, order)).into()),
            [replies, ..] => Step::Done(letters(replies, &LETTERS)),
        }
    }
}
