//! The judge first writes questions that matter for this instruction, then judges by them.
//!
//! **What it asks.** Once for at most three questions (150 tokens), then for a letter in both orders, under the rules.
//!
//! **Verdict format.** As `vanilla`. Without questions, an empty answer, the pair is unparsed.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), section 3.2, "Self-Generated Evaluation Metrics".
//!
//! **Reference numbers.** GPT-4, in the authors' words: Natural 93.0, Adversarial 82.0, agreement 88.3 there.

use camelid_records::{Assessment, Reply};

use super::replies::{help, letters};
use super::wording::{LETTERS, RULES, letter_questions, metrics_part, metrics_question};
use crate::case::Case;
use crate::strategy::{Step, Strategy};

pub(super) struct Metrics;

impl Strategy for Metrics {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        match rounds {
            [] => Step::Ask(vec![metrics_question(case)]),
            [metrics] => match help(metrics.first()) {
                Ok(metrics) => Step::Ask(letter_questions(case, RULES, &[metrics_part(metrics)])),
                Err(failure) => Step::Done(Assessment::same(failure)),
            },
            [_, replies, ..] => Step::Done(letters(replies, &LETTERS)),
        }
    }
}
