//! Words that several strategies share. A change here changes the fingerprint of each of them.

use camelid_eval::judging::Output;
use camelid_records::{Message, Role};

use crate::case::{Case, Order};
use crate::strategy::{Expected, Question};

/// Who the judge is.
pub(super) const COMPARER: &str =
    "You compare outputs that two chatbots wrote for one instruction and say which of them carries it out better.";

/// The three rules of LLMBar in our words: instruction first, neither more nor less, no regard to order.
pub(super) const RULES: &str = "\
Judge by these rules.
1. What counts first is whether an output does what the instruction says, honestly and to the letter. Helpfulness, \
correctness, detail and harmlessness only count after that.
2. An output that brings more than was asked for, or less, has not carried out the instruction.
3. Be impartial. The order in which you read the outputs means nothing: A and B are equally likely to be the better one.";

/// The letters of places A and B.
pub(super) const LETTERS: [&str; 2] = ["A", "B"];

pub(super) const ONE_LETTER: &str =
    "Which output is better? Answer with the letter alone, A or B, and give no reasons.";

/// Most tokens of reasons, of questions that matter and of an answer of the judge's own; the last two are LLMBar's.
pub(super) const REASONS: usize = 512;
pub(super) const METRICS: usize = 150;
pub(super) const REFERENCE: usize = 384;

pub(super) fn messages(system: &str, user: String) -> Vec<Message> {
    vec![Message::new(Role::System, system), Message::new(Role::User, user)]
}

/// A part of a prompt under its heading.
pub(super) fn part(heading: &str, text: &str) -> String {
    format!("# {heading}\n{}", text.trim_end())
}

/// Parts with an empty line between.
pub(super) fn parts(parts: &[String]) -> String {
    parts.join("\n\n")
}

/// The instruction and both outputs, as a judge reads them in this order.
pub(super) fn comparison(case: &Case, order: Order) -> Vec<String> {
    let [a, b] = order.places().map(|output| case.output(output));
    vec![part("Instruction", &case.instruction()), part("Output A", &a), part("Output B", &b)]
}

/// The instruction and one output.
pub(super) fn alone(case: &Case, output: Output) -> Vec<String> {
    vec![part("Instruction", &case.instruction()), part("Output", &case.output(output))]
}

/// The question for a letter in both orders: rules (if any), the comparison, what helps to judge it, the question.
pub(super) fn letter_questions(case: &Case, rules: &str, helps: &[String]) -> Vec<Question> {
    let ask = |order: Order| {
        let mut all: Vec<String> = Vec::new();
        all.extend(Some(rules).filter(|rules| !rules.is_empty()).map(str::to_owned));
        all.extend(comparison(case, order));
        all.extend(helps.iter().cloned());
        all.push(ONE_LETTER.to_owned());
        Question { messages: messages(COMPARER, parts(&all)), answer: Expected::Choice(LETTERS.to_vec()) }
    };
    Order::BOTH.map(ask).into()
}

/// The request for questions that matter for one instruction.
pub(super) fn metrics_question(case: &Case) -> Question {
    let system = "You prepare the judging of outputs that chatbots write for an instruction.";
    let ask = "Write at most three short questions that a judge should ask of an output for this instruction. Each must be about \
               this instruction, not about writing in general; together they must tell a good output from a bad one. Number them. \
               Write the questions only.";
    let user = parts(&[part("Instruction", &case.instruction()), ask.to_owned()]);
    Question { messages: messages(system, user), answer: Expected::text(METRICS) }
}

/// The request for an answer of the judge's own.
pub(super) fn reference_question(case: &Case) -> Question {
    let system = "You carry out instructions exactly: all that is asked for and nothing else.";
    Question { messages: messages(system, case.instruction()), answer: Expected::text(REFERENCE) }
}

/// How questions that matter are handed on.
pub(super) fn metrics_part(metrics: &str) -> String {
    part("Questions that matter for this instruction", metrics.trim())
}

/// How an answer of the judge's own is handed on.
pub(super) fn reference_part(reference: &str) -> String {
    part("An answer of a strong assistant, to compare with", reference.trim())
}
