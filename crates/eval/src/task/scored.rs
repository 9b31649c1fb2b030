//! What an item's answer is worth.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::definition::Scoring;
use super::{CodeRunner, Failure, Item, Reply, Task};
use crate::extraction::Rung;
use crate::extraction::rate::{Judged, Unparsed};
use crate::results::Status;

/// A judged answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// What the model said; of choices, the one that it prefers.
    pub answer: String,
    pub reference: String,
    pub extracted: Option<String>,
    pub rung: Option<Rung>,
    /// `None` where there is no reply.
    pub score: Option<f64>,
    /// What the score counts for in the task's mean: 1, or bytes.
    pub weight: f64,
    pub status: Status,
    /// Other figures: the sums of a numerator and a denominator over items give each.
    pub also: BTreeMap<&'static str, (f64, f64)>,
    pub details: Map<String, Json>,
}

impl Scored {
    pub(super) fn new(reference: String) -> Self {
        Self {
            answer: String::new(),
            reference,
            extracted: None,
            rung: None,
            score: None,
            weight: 1.0,
            status: Status::Ok,
            also: BTreeMap::new(),
            details: Map::new(),
        }
    }

    /// Of an item without a reply.
    pub(super) fn failed(reference: String, failure: &Failure) -> Self {
        let mut scored = Self { status: Status::Error, ..Self::new(reference) };
        scored.details.insert("error".into(), json!({ "kind": failure.kind, "message": failure.message }));
        scored
    }

    /// Sets score, rung and status of an answer that was looked for in a text.
    pub(super) fn judge(&mut self, found: Option<(Rung, bool)>, truncated: bool) {
        let judged = Judged::of(found, &self.answer, truncated);
        self.rung = found.map(|(rung, _)| rung);
        self.score = Some(f64::from(u8::from(matches!(judged, Judged::Right(_)))));
        self.status = match judged {
            Judged::Right(_) | Judged::Wrong(_) => Status::Ok,
            Judged::Unparsed(Unparsed::Empty) => Status::Empty,
            Judged::Unparsed(Unparsed::Truncated) => Status::Truncated,
            Judged::Unparsed(Unparsed::NoAnswer) => Status::Unparsed,
        };
    }
}

/// The word for a rung in results.
pub(super) fn rung_name(rung: Rung) -> &'static str {
    match rung {
        Rung::Strict => "strict",
        Rung::Flexible => "flexible",
        Rung::LastResort => "last-resort",
    }
}

impl Task {
    /// Judges what came of an item. Programs need a runner.
    pub fn score(
        &self,
        item: &Item,
        reply: &Result<Reply, Failure>,
        runner: Option<&mut (dyn CodeRunner + '_)>,
    ) -> Scored {
        match reply {
            Err(failure) => Scored::failed(self.reference(item), failure),
            Ok(Reply::Likelihoods(likelihoods)) => self.score_likelihoods(item, likelihoods),
            Ok(Reply::Answer(answer)) => self.score_answer(item, answer, runner),
        }
    }

    /// The right answer, for people.
    pub(super) fn reference(&self, item: &Item) -> String {
        let right = || item.fields.get("answer").and_then(Json::as_u64).map(|answer| answer as usize);
        let choice = || item.texts("choices").and_then(|choices| choices.into_iter().nth(right()?));
        let text = match &self.definition.score {
            Scoring::Choices { .. } => choice(),
            Scoring::Generation { .. } => choice().or_else(|| item.text("answer")),
            Scoring::TruthSets { .. } => {
                let labels = item.texts("labels").unwrap_or_default();
                let choices = item.texts("choices").unwrap_or_default();
                let right = choices.into_iter().zip(labels).filter(|(_, label)| is_true(label));
                Some(right.map(|(choice, _)| choice).collect::<Vec<_>>().join("; "))
            }
            Scoring::RougeL { .. } => item.texts("references").map(|texts| texts.join("; ")),
            Scoring::Program { .. } => item.text("test"),
            Scoring::Instructions { .. } => item.texts("instruction_id_list").map(|ids| ids.join(", ")),
            Scoring::Perplexity {} => None,
            Scoring::Answers { .. } => item.texts("references").map(|texts| texts.join("\n\n")),
        };
        text.unwrap_or_default()
    }
}

pub(super) fn is_true(label: &str) -> bool {
    matches!(label, "1" | "1.0" | "true")
}
