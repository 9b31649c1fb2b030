//! A comparison with reasons, and with a right answer where there is one to be known.
//!
//! **What it asks.** Instruction and outputs, reasons, then one of three verdicts; each order once, and a contradiction is a tie. Of a
//! dialogue both sides are shown turn by turn, and the last turn is what counts. `mt-bench-reference` also shows a right answer: that
//! of the data, else one that the judge writes first (for mathematics, code and reasoning, where judges are misled by wrong outputs).
//!
//! **Verdict format.** `[[A]]`, `[[B]]`, or `[[C]]` for a tie; the last one counts.
//!
//! **Source.** Zheng 2023 (arXiv 2306.05685), section 3 and appendix A.
//!
//! **Reference numbers.** GPT-4 agrees with people on 85 % of pairs without ties; wrong gradings of mathematics 14 of 20 plain, 3 of 20
//! with a reference.

use camelid_records::{Assessment, Reply};

use super::replies::{help, texts};
use super::wording::{REASONS, messages, part, parts, reference_question};
use crate::case::{Case, Order};
use crate::parse;
use crate::strategy::{Expected, Question, Step, Strategy};

const JUDGE: &str = "\
You are an impartial judge of two assistants who answered the same user. What counts is which of them did what the user wanted, and how \
helpful, relevant, accurate, deep and creative its answer is. Neither the order of the assistants, nor the length of their answers, nor \
their names may sway you.";

const ASK: &str = "\
Compare the two in a few sentences. Then end with your verdict in exactly this form: [[A]] if assistant A is better, [[B]] if assistant \
B is better, [[C]] if neither is.";

const LAST_TURN: &str = "Judge how the assistants answered the user's last turn.";
const WITH_REFERENCE: &str = "Compare both with the right answer, and find the mistakes of each, before you decide.";

/// `mt-bench`, or `mt-bench-reference`.
pub(super) struct MtBench {
    pub(super) with_reference: bool,
}

/// The dialogue of one assistant.
fn dialogue(case: &Case, answers: &[String], name: &str) -> String {
    let turns = case.turns.iter().zip(answers).map(|(user, answer)| format!("User: {user}\n\n{name}: {answer}"));
    turns.collect::<Vec<_>>().join("\n\n")
}

impl MtBench {
    fn questions(case: &Case, reference: Option<&str>) -> Vec<Question> {
        let ask = |order: Order| {
            let [a, b] = order.places().map(|output| case.turns_of(output));
            let several = case.turns.len() > 1;
            let mut all = if several {
                let [a, b] = [dialogue(case, a, "Assistant A"), dialogue(case, b, "Assistant B")];
                vec![part("Dialogue with assistant A", &a), part("Dialogue with assistant B", &b)]
            } else {
                let [a, b] = order.places().map(|output| case.output(output));
                vec![part("What the user asked", &case.instruction()), part("Assistant A", &a), part("Assistant B", &b)]
            };
            if let Some(reference) = reference {
                all.push(part("A right answer", reference));
                all.push(WITH_REFERENCE.to_owned());
            }
            all.extend(several.then(|| LAST_TURN.to_owned()));
            all.push(ASK.to_owned());
            Question { messages: messages(JUDGE, parts(&all)), answer: Expected::text(REASONS) }
        };
        Order::BOTH.map(ask).into()
    }
}

impl Strategy for MtBench {
    fn name(&self) -> &'static str {
        if self.with_reference { "mt-bench-reference" } else { "mt-bench" }
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        let known = case.reference();
        let asks_first = self.with_reference && known.is_none();
        match (asks_first, rounds) {
            (true, []) => Step::Ask(vec![reference_question(case)]),
            (true, [reference]) => match help(reference.first()) {
                Ok(reference) => Step::Ask(Self::questions(case, Some(reference))),
                Err(failure) => Step::Done(Assessment::same(failure)),
            },
            (false, []) => Step::Ask(Self::questions(case, known.as_deref().filter(|_| self.with_reference))),
            (true, [_, replies, ..]) | (false, [replies, ..]) => Step::Done(texts(replies, parse::bracketed)),
        }
    }
}
