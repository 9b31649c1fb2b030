//! Three judges of different roles talk about the outputs, then vote.
//!
//! **What it asks.** A reader from the public, a critic and a specialist of the subject speak one after another, twice each; each sees
//! what was said before it. The vote is the verdict of each one's last turn, and the majority decides; two ties and one verdict, or one
//! of each, are a tie. Both orders have a talk of their own.
//!
//! **Verdict format.** A last line `Verdict: A`, `Verdict: B` or `Verdict: tie`. Votes that cannot be read are no votes; with fewer than
//! two the order is unparsed.
//!
//! **When to use it.** Where one judge's habits matter more than twelve calls.
//!
//! **Source.** Chan 2023 (arXiv 2308.07201, `ChatEval`), one-by-one communication with diverse roles.

use camelid_records::{Assessment, Opinion, Reply, Verdict};

use super::replies::{text, verdict};
use super::wording::{REASONS, comparison, messages, part, parts};
use crate::case::{Case, Order};
use crate::parse;
use crate::strategy::{Expected, Question, Step, Strategy};

/// Name and task of each role, in the order in which they speak.
const ROLES: [(&str, &str); 3] = [
    (
        "Reader",
        "a reader from the public who will use the output and asks whether it serves the one who gave the instruction",
    ),
    ("Critic", "a critic who checks word by word whether an output does what was asked, no more and no less"),
    ("Specialist", "a specialist of the subject who checks whether what an output says is true and complete"),
];

const TURNS: usize = 2;

const ASK: &str = "\
It is your turn. Answer what the others said, if anybody spoke, say in a few sentences what speaks for which output, and do not let the \
order of the outputs or their length sway you. Then write a last line that is \"Verdict: A\", \"Verdict: B\" or \"Verdict: tie\".";

pub(super) struct Panel;

impl Panel {
    fn question(case: &Case, order: Order, rounds: &[Vec<Reply>]) -> Question {
        let (name, task) = ROLES[rounds.len() % ROLES.len()];
        let system = format!(
            "You are one of three judges who discuss which of two outputs carries out an instruction better. You are the {name}: {task}."
        );
        let mut all = comparison(case, order);
        let place = usize::from(order == Order::Swapped);
        let said = rounds.iter().enumerate().map(|(turn, replies)| {
            let (name, _) = ROLES[turn % ROLES.len()];
            format!("{name}: {}", text(replies.get(place)).unwrap_or_default().trim())
        });
        let said: Vec<String> = said.collect();
        if !said.is_empty() {
            all.push(part("What was said so far", &said.join("\n\n")));
        }
        all.push(ASK.to_owned());
        Question { messages: messages(&system, parts(&all)), answer: Expected::text(REASONS) }
    }

    fn vote(rounds: &[Vec<Reply>], order: Order) -> Opinion {
        let place = usize::from(order == Order::Swapped);
        let last = &rounds[rounds.len().saturating_sub(ROLES.len())..];
        let votes: Result<Vec<Verdict>, Verdict> = last
            .iter()
            .map(|replies| text(replies.get(place)).map(|text| verdict(parse::verdict(text), order)))
            .collect();
        let votes = match votes {
            Ok(votes) => votes,
            Err(failure) => return failure.into(),
        };
        let count = |wanted: Verdict| votes.iter().filter(|&&vote| vote == wanted).count();
        let (first, second, ties) = (count(Verdict::First), count(Verdict::Second), count(Verdict::Tie));
        match first + second + ties {
            0 | 1 => Verdict::Unparsed.into(),
            read if 2 * first > read => Verdict::First.into(),
            read if 2 * second > read => Verdict::Second.into(),
            _ => Verdict::Tie.into(),
        }
    }
}

impl Strategy for Panel {
    fn name(&self) -> &'static str {
        "panel"
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        let failed = rounds.last().is_some_and(|replies| replies.iter().all(|reply| matches!(reply, Reply::Failed(_))));
        if failed {
            return Step::Done(Assessment::same(Verdict::Failed));
        }
        if rounds.len() < ROLES.len() * TURNS {
            return Step::Ask(Order::BOTH.map(|order| Self::question(case, order, rounds)).into());
        }
        let [as_given, swapped] = Order::BOTH.map(|order| Self::vote(rounds, order));
        Step::Done(Assessment::of(as_given, swapped))
    }
}
