//! From preference records to examples: each response behind its prompt, compared as the recipe says.

use camelid_records::{PairChoice, PreferenceRecord, Provenance, RankedResponse, Record, Reject};
use camelid_text::{Encoded, EncodedSet, learn_where_they_differ};
use camelid_train::{Example, Label, Ranking};

/// What a loss takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Responses that are compared, by this choice of pairs; with the reference answers of their prompts, or without.
    Groups { pairs: PairChoice, reference_answers: bool },
    /// Single responses with a label.
    Single,
    /// Solutions with a label for each step.
    Steps,
}

/// The records of all responses, in one list, to be encoded together.
pub(crate) struct Responses {
    pub(crate) records: Vec<Record>,
    /// For each example, its part of `records`.
    parts: Vec<Part>,
}

struct Part {
    start: usize,
    count: usize,
    label: Label,
    implicit_prompt: bool,
    provenance: Provenance,
}

/// Lines up the responses of every record. `pick(record, n)` chooses one of `n` for random pairs.
pub(crate) fn line_up(
    records: Vec<PreferenceRecord>,
    wanted: Wanted,
    pick: &mut dyn FnMut(usize) -> usize,
    rejects: &mut Vec<Reject>,
) -> Responses {
    let mut lined = Responses { records: Vec::new(), parts: Vec::new() };
    for record in records {
        let provenance = record.provenance().clone();
        let refused = |reason: &str, fix: &str| Reject {
            provenance: provenance.clone(),
            reason: reason.to_owned(),
            fix: fix.to_owned(),
            row: String::new(),
        };
        match (record, wanted) {
            (PreferenceRecord::Ranked(preference), Wanted::Groups { pairs, reference_answers }) => {
                let pairs = preference.pairs(pairs, pick);
                let scores = preference.responses.iter().map(|response| response.score).collect();
                let reference = preference.reference.filter(|_| reference_answers);
                let ranking = Ranking {
                    pairs,
                    scores,
                    margin: preference.margin.unwrap_or(0.0),
                    has_reference_answer: reference.is_some(),
                    ..Ranking::default()
                };
                let responses = preference.responses.into_iter().map(|response| response.record);
                let responses = responses.chain(reference).collect();
                lined.push(responses, Label::Ranked(ranking), preference.implicit_prompt, provenance);
            }
            // The best of a list is good, those below it are not.
            (PreferenceRecord::Ranked(preference), Wanted::Single) if !preference.implicit_prompt => {
                let best = preference.responses.first().map_or(0, |response| response.rank);
                for RankedResponse { record, rank, .. } in preference.responses {
                    lined.push(vec![record], Label::Desirable(rank == best), false, provenance.clone());
                }
            }
            (PreferenceRecord::Ranked(_), Wanted::Single) => {
                rejects.push(refused("the prompt is not marked off from the responses", "add a `prompt` column"));
            }
            (PreferenceRecord::Unpaired(feedback), Wanted::Single) => {
                lined.push(vec![feedback.record], Label::Desirable(feedback.desirable), false, provenance);
            }
            (PreferenceRecord::Unpaired(_), Wanted::Groups { .. }) => {
                rejects.push(refused(
                    "a single response has nothing to be compared with",
                    "use loss = \"kto\" or \"bco\"",
                ));
            }
            (PreferenceRecord::Stepwise(solution), Wanted::Steps) => {
                lined.push(solution.prefixes(), Label::Steps(solution.labels), false, provenance);
            }
            (_, Wanted::Steps) => {
                rejects.push(refused("the solution's steps have no labels", "use loss = \"outcome\", or another file"));
            }
            (PreferenceRecord::Stepwise(_), _) => {
                let fix = "use a reward stage with loss = \"process\", or another file";
                rejects.push(refused("labels of steps train a process reward model only", fix));
            }
        }
    }
    lined
}

impl Responses {
    fn push(&mut self, records: Vec<Record>, label: Label, implicit_prompt: bool, provenance: Provenance) {
        let part = Part { start: self.records.len(), count: records.len(), label, implicit_prompt, provenance };
        self.records.extend(records);
        self.parts.push(part);
    }

    /// The examples all of whose responses can be trained on, numbered from `first`; with each, where it came from.
    pub(crate) fn examples(
        self,
        encoded: EncodedSet,
        first: usize,
        rejects: &mut Vec<Reject>,
    ) -> Vec<(Example, Provenance)> {
        let mut sequences: Vec<Option<Encoded>> = vec![None; self.records.len()];
        for sequence in encoded.sequences {
            let place = sequence.record as usize;
            sequences[place] = Some(sequence);
        }
        let mut examples = Vec::new();
        for Part { start, count, label, implicit_prompt, provenance } in self.parts {
            let group: Option<Vec<Encoded>> = sequences[start..start + count].iter_mut().map(Option::take).collect();
            let referenced = matches!(&label, Label::Ranked(ranking) if ranking.has_reference_answer);
            let which = |index: usize| match index + 1 {
                last if last == count && referenced => "the reference answer".to_owned(),
                number => format!("response {number}"),
            };
            let mut reject = |reason: String, fix: &str| {
                let row = serde_json::to_string(&self.records[start]).unwrap_or_default().chars().take(500).collect();
                rejects.push(Reject { provenance: provenance.clone(), reason, fix: fix.to_owned(), row });
            };
            let Some(mut group) = group else {
                let refused = encoded.rejects.iter().find(|(index, _)| (start..start + count).contains(index));
                if let Some((index, reason)) = refused {
                    let which = if count > 1 { which(index - start) + ": " } else { String::new() };
                    reject(format!("{which}{}", reason.reason), &reason.fix);
                }
                continue;
            };
            if implicit_prompt {
                learn_where_they_differ(&mut group);
            }
            if let Some(empty) = group.iter().position(|sequence| sequence.trained() == 0) {
                reject(format!("{}: adds no token to what all have in common", which(empty)), "remove the row");
                continue;
            }
            let same = (1..count).find(|&index| group[..index].iter().any(|other| other.tokens == group[index].tokens));
            if let (Some(same), Label::Ranked(_)) = (same, &label) {
                let reason = format!("{} has the same tokens as one before it", which(same));
                reject(reason, "remove it, or raise max_length if they differ further on");
                continue;
            }
            for sequence in &mut group {
                sequence.record = (first + examples.len()) as u32;
            }
            examples.push((Example { sequences: group, label }, provenance));
        }
        examples
    }
}
