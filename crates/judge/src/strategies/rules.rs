//! Which output is better under three rules: the instruction first, neither more nor less than it asks, no regard to the order.
//!
//! **Verdict format.** As `vanilla`.
//!
//! **When to use it.** Always rather than `vanilla`: most of what better prompts gain comes from the rules.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), section 3.2, "Rules".
//!
//! **Reference numbers.** GPT-4, in the authors' words: Natural 95.5, Adversarial 80.8, agreement 91.0 there.

use camelid_records::Reply;

use super::replies::letters;
use super::wording::{LETTERS, RULES, letter_questions};
use crate::case::Case;
use crate::strategy::{Step, Strategy};

pub(super) struct Rules;

impl Strategy for Rules {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        match rounds {
            [] => Step::Ask(letter_questions(case, RULES, &[])),
            [replies, ..] => Step::Done(letters(replies, &LETTERS)),
        }
    }
}
