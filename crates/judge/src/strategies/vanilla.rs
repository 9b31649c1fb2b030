//! Which output is better, without any help.
//!
//! **What it asks.** Instruction, both outputs, and one letter; each order once.
//!
//! **Verdict format.** `A` or `B`: the more likely letter where log-probabilities are told, the letter of the text elsewhere.
//!
//! **When to use it.** As the baseline of other strategies: of two outputs judges without rules like the fluent one.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), section 3.2, "Vanilla" without rules.
//!
//! **Reference numbers.** GPT-4, in the authors' words: Natural 93.5, Adversarial 73.1, agreement 89.0 there.

use camelid_records::Reply;

use super::replies::letters;
use super::wording::{LETTERS, letter_questions};
use crate::case::Case;
use crate::strategy::{Step, Strategy};

pub(super) struct Vanilla;

impl Strategy for Vanilla {
    fn name(&self) -> &'static str {
        "vanilla"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        match rounds {
            [] => Step::Ask(letter_questions(case, "", &[])),
            [replies, ..] => Step::Done(letters(replies, &LETTERS)),
        }
    }
}
