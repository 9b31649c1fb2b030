//! From replies to opinions.

use camelid_eval::judging::Output;
use camelid_records::{Assessment, Opinion, Reply, Verdict};

use crate::case::{Case, Order};
use crate::parse::{self, Place};
use crate::strategy::{Grader, Step, Strategy};

/// The only text of a reply. The error is what to report where there is none.
pub(super) fn text(reply: Option<&Reply>) -> Result<&str, Verdict> {
    match reply {
        Some(Reply::Answered { texts, .. }) => Ok(texts.first().map_or("", String::as_str)),
        Some(Reply::Failed(_)) | None => Err(Verdict::Failed),
    }
}

/// As [`text`], where an empty text is of no use: a help to judge by.
pub(super) fn help(reply: Option<&Reply>) -> Result<&str, Verdict> {
    text(reply).and_then(|text| if text.trim().is_empty() { Err(Verdict::Unparsed) } else { Ok(text) })
}

/// A place in the prompt as a verdict about the data.
pub(super) fn verdict(place: Option<Place>, order: Order) -> Verdict {
    let [a, b] = order.places();
    let of = |output| if output == Output::First { Verdict::First } else { Verdict::Second };
    match place {
        Some(Place::A) => of(a),
        Some(Place::B) => of(b),
        Some(Place::Tie) => Verdict::Tie,
        None => Verdict::Unparsed,
    }
}

/// The verdict that a reader finds in a reply.
pub(super) fn read(reply: Option<&Reply>, order: Order, reader: impl Fn(&str) -> Option<Place>) -> Opinion {
    match text(reply) {
        Ok(text) => verdict(reader(text), order).into(),
        Err(failure) => failure.into(),
    }
}

/// The opinion in a reply to a question for one of two words: from log-probabilities, `p = e^a/(e^a + e^b)`, else from the text.
/// Equal log-probabilities are a tie.
pub(super) fn chosen(reply: Option<&Reply>, order: Order, choices: &[&str]) -> Opinion {
    let Some(Reply::Answered { texts, log_probs }) = reply else { return Verdict::Failed.into() };
    if let Some([a, b]) = log_probs.as_deref()
        && a.max(*b).is_finite()
    {
        let shares = [1.0 / (1.0 + (b - a).exp()), 1.0 / (1.0 + (a - b).exp())];
        let preference = order.back(shares)[0];
        return Opinion {
            verdict: Verdict::of(preference),
            preference: Some(preference),
            mass: Some((a.exp() + b.exp()).min(1.0)),
        };
    }
    let found = parse::choice(texts.first().map_or("", String::as_str), choices);
    verdict(found.map(|found| [Place::A, Place::B][found.min(1)]), order).into()
}

/// Both orders of a question for a letter.
pub(super) fn letters(replies: &[Reply], choices: &[&str]) -> Assessment {
    let [as_given, swapped] = [0, 1].map(|place| chosen(replies.get(place), Order::BOTH[place], choices));
    Assessment::of(as_given, swapped)
}

/// Both orders of a question whose verdict a reader finds.
pub(super) fn texts(replies: &[Reply], reader: impl Fn(&str) -> Option<Place>) -> Assessment {
    let [as_given, swapped] = [0, 1].map(|place| read(replies.get(place), Order::BOTH[place], &reader));
    Assessment::of(as_given, swapped)
}

/// Grades of both outputs, each read alone: the higher one wins in both orders.
pub(super) fn grades(grader: &dyn Grader, case: &Case, rounds: &[Vec<Reply>]) -> Step {
    let [replies, ..] = rounds else {
        return Step::Ask([Output::First, Output::Second].map(|output| grader.question(case, output)).into());
    };
    let grade = |place: usize| text(replies.get(place)).map(|text| grader.read(text));
    let grades = match [grade(0), grade(1)] {
        [Ok(Some(first)), Ok(Some(second))] => [first, second],
        [Err(failure), _] | [_, Err(failure)] => return Step::Done(Assessment::same(failure)),
        _ => return Step::Done(Assessment::same(Verdict::Unparsed)),
    };
    let verdict = Verdict::of(0.5 + (grades[0] - grades[1]).clamp(-0.5, 0.5));
    Step::Done(Assessment { ratings: Some(grades), ..Assessment::same(verdict) })
}

/// A grader that is asked about the first output only. The grade stands in both places of `ratings`; the verdict is a tie.
pub struct Alone<'g>(pub &'g dyn Strategy);

impl Strategy for Alone<'_> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn step(&self, case: &Case, rounds: &[Vec<Reply>]) -> Step {
        // A strategy that does not grade single outputs has nothing to say of one.
        let Some(grader) = self.0.grader() else { return Step::Done(Assessment::same(Verdict::Unparsed)) };
        let [replies, ..] = rounds else { return Step::Ask(vec![grader.question(case, Output::First)]) };
        let assessment = match text(replies.first()).map(|text| grader.read(text)) {
            Ok(Some(grade)) => Assessment { ratings: Some([grade; 2]), ..Assessment::same(Verdict::Tie) },
            Ok(None) => Assessment::same(Verdict::Unparsed),
            Err(failure) => Assessment::same(failure),
        };
        Step::Done(assessment)
    }
}
