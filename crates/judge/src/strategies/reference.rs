//! The judge first carries out the instruction itself and then judges with its own answer at hand.
//!
//! **What it asks.** Once for an answer (384 tokens), unless the data has a reference, then for a letter in both orders, under the
//! rules.
//!
//! **Verdict format.** As `vanilla`. Without an answer, an empty text, the pair is unparsed.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), section 3.2, "Self-Generated Reference".
//!
//! **Reference numbers.** GPT-4, in the authors' words: Natural 95.5, Adversarial 82.6, agreement 88.0 there.

use camelid_records::{Assessment, Reply};

use super::replies::{help, letters};
use super::wording::{LETTERS, RULES, letter_questions, reference_part, reference_question};
use crate::case::Case;
use crate::strategy::{Step, Strategy};

pub(super) struct Reference;

impl Strategy for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        let judge = |reference: &str| Step::Ask(letter_questions(case, RULES, &[reference_part(reference)]));
        match (case.reference(), rounds) {
            (None, []) => Step::Ask(vec![reference_question(case)]),
            (None, [reference]) => match help(reference.first()) {
                Ok(reference) => judge(reference),
                Err(failure) => Step::Done(Assessment::same(failure)),
            },
            (Some(reference), []) => judge(&reference),
            (Some(_), [replies, ..]) | (None, [_, replies, ..]) => Step::Done(letters(replies, &LETTERS)),
        }
    }
}
