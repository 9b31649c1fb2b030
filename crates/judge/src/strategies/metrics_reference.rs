//! Questions that matter and an answer of the judge's own, then a verdict with both at hand.
//!
//! **What it asks.** Once for at most three questions, once for an answer (unless the data has a reference), then for a letter in both
//! orders, under the rules.
//!
//! **Verdict format.** As `vanilla`. Where a help is missing or empty the pair has no verdict.
//!
//! **When to use it.** The default: the best of LLMBar's strategies for its best judge.
//!
//! **Source.** Zeng 2023 (arXiv 2310.07641), section 3.2, "Metrics+Reference".
//!
//! **Reference numbers.** GPT-4, in the authors' words: Natural 96.0, Adversarial 82.8, agreement 88.2 there; over `rules` alone the
//! gain is not significant (16 against 8 items right in both orders).

use camelid_records::{Assessment, Reply};

use super::replies::{help, letters};
use super::wording::{
    LETTERS, RULES, letter_questions, metrics_part, metrics_question, reference_part, reference_question,
};
use crate::case::Case;
use crate::strategy::{Step, Strategy};

pub(super) struct MetricsReference;

impl Strategy for MetricsReference {
    fn name(&self) -> &'static str {
        "metrics-reference"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        let known = case.reference();
        match rounds {
            [] => {
                let mut questions = vec![metrics_question(case)];
                questions.extend(known.is_none().then(|| reference_question(case)));
                Step::Ask(questions)
            }
            [helps] => {
                let metrics = match help(helps.first()) {
                    Ok(metrics) => metrics,
                    Err(failure) => return Step::Done(Assessment::same(failure)),
                };
                let reference = match &known {
                    Some(known) => known.as_str(),
                    None => match help(helps.get(1)) {
                        Ok(reference) => reference,
                        Err(failure) => return Step::Done(Assessment::same(failure)),
                    },
                };
                Step::Ask(letter_questions(case, RULES, &[metrics_part(metrics), reference_part(reference)]))
            }
            [_, replies, ..] => Step::Done(letters(replies, &LETTERS)),
        }
    }
}
