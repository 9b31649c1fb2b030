//! Demonstrations that say how good they are: a label in front of the prompt, to be put there again when the best is wanted.
//!
//! Good and bad prefixes follow Korbak 2023 (arXiv 2302.08582) and `AlpacaFarm`'s binary reward conditioning (Dubois 2023,
//! arXiv 2305.14387); bins of a score are Quark's (Lu 2022, arXiv 2205.13636), section 2; classes of sources, each with its
//! label and its weight, are `OpenChat`'s C-RLFT (Wang 2023, arXiv 2309.11235), section 3.

use serde::{Deserialize, Serialize};

use crate::{Feedback, Message, Preference, PreferenceRecord, RankedResponse, Record, Reject, Role, Stepwise};

/// What decides a response's label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionBy {
    /// Its place among the responses to its prompt: the best gets the last label, the worst the first.
    #[default]
    Rank,
    /// Its score's quantile among all responses.
    Score,
}

/// Labels from worst to best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    pub labels: Vec<String>,
    #[serde(default)]
    pub by: ConditionBy,
}

/// `record` with `label` in front of what the user says last, of the prompt, or of the text.
pub fn conditioned(record: Record, label: &str) -> Record {
    match record {
        Record::Conversation(mut conversation) => {
            condition_messages(&mut conversation.messages, label);
            Record::Conversation(conversation)
        }
        Record::Completion { prompt, completion, provenance } => {
            Record::Completion { prompt: format!("{label}{prompt}"), completion, provenance }
        }
        Record::Text { text, provenance } => Record::Text { text: format!("{label}{text}"), provenance },
    }
}

/// Puts `label` in front of what the user says last.
pub fn condition_messages(messages: &mut [Message], label: &str) {
    if let Some(message) = messages.iter_mut().rev().find(|message| message.role == Role::User) {
        message.content.insert_str(0, label);
    }
}

impl Condition {
    /// Every response as a demonstration behind its label; feedback that cannot have one is refused.
    pub fn apply(&self, records: Vec<PreferenceRecord>) -> (Vec<Record>, Vec<Reject>) {
        let bins = Bins::new(&records, self.labels.len());
        let (mut demonstrations, mut rejects) = (Vec::new(), Vec::new());
        for record in records {
            let provenance = record.provenance().clone();
            match self.demonstrations(record, &bins) {
                Ok(conditioned) => demonstrations.extend(conditioned),
                Err((reason, fix)) => rejects.push(Reject {
                    provenance,
                    reason: reason.to_owned(),
                    fix: fix.to_owned(),
                    row: String::new(),
                }),
            }
        }
        (demonstrations, rejects)
    }

    fn demonstrations(
        &self,
        record: PreferenceRecord,
        bins: &Bins,
    ) -> Result<Vec<Record>, (&'static str, &'static str)> {
        let last = self.labels.len() - 1;
        let with = |record, label: usize| conditioned(record, &self.labels[label.min(last)]);
        match record {
            PreferenceRecord::Ranked(Preference { implicit_prompt: true, .. }) => {
                Err(("the prompt is not marked off from the responses", "add a `prompt` column"))
            }
            PreferenceRecord::Ranked(Preference { responses, .. }) => {
                let mut ranks: Vec<u32> = responses.iter().map(|response| response.rank).collect();
                ranks.sort_unstable();
                ranks.dedup();
                let label = |RankedResponse { record, rank, score }| match (self.by, score) {
                    (ConditionBy::Rank, _) => {
                        let worse = ranks.iter().filter(|other| **other > rank).count();
                        Ok(with(record, (worse * last).div_ceil(ranks.len().saturating_sub(1).max(1))))
                    }
                    (ConditionBy::Score, Some(score)) => Ok(with(record, bins.of(score))),
                    (ConditionBy::Score, None) => Err(("a response has no score", "add scores, or condition by rank")),
                };
                responses.into_iter().map(label).collect()
            }
            PreferenceRecord::Unpaired(Feedback { record, desirable, .. }) if self.by == ConditionBy::Rank => {
                Ok(vec![with(record, if desirable { last } else { 0 })])
            }
            PreferenceRecord::Unpaired(_) => Err(("a rated response has no score", "condition by rank")),
            PreferenceRecord::Stepwise(Stepwise { .. }) => {
                Err(("labels of steps are no demonstrations", "use a reward stage with loss = \"process\""))
            }
        }
    }
}

/// Quantiles of all scores. Equal scores share a bin.
struct Bins {
    ascending: Vec<f64>,
    count: usize,
}

impl Bins {
    fn new(records: &[PreferenceRecord], count: usize) -> Self {
        let scores = |record: &PreferenceRecord| match record {
            PreferenceRecord::Ranked(preference) => preference.responses.iter().filter_map(|r| r.score).collect(),
            _ => Vec::new(),
        };
        let mut ascending: Vec<f64> = records.iter().flat_map(scores).collect();
        ascending.sort_by(f64::total_cmp);
        Self { ascending, count }
    }

    fn of(&self, score: f64) -> usize {
        let below = self.ascending.partition_point(|other| *other < score);
        below * self.count / self.ascending.len().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Provenance;

    fn completion(text: &str) -> Record {
        let provenance = Provenance { source: "s".into(), row: 1 };
        Record::Completion { prompt: "p".into(), completion: text.into(), provenance }
    }

    fn ranked(responses: &[(u32, Option<f64>)]) -> PreferenceRecord {
        let response = |(index, &(rank, score)): (usize, &(u32, Option<f64>))| RankedResponse {
            record: completion(&index.to_string()),
            rank,
            score,
        };
        PreferenceRecord::Ranked(Preference {
            responses: responses.iter().enumerate().map(response).collect(),
            reference: None,
            margin: None,
            confidence: None,
            implicit_prompt: false,
            provenance: Provenance { source: "s".into(), row: 1 },
        })
    }

    fn labels(records: &[Record]) -> Vec<char> {
        let label = |record: &Record| match record {
            Record::Completion { prompt, .. } => prompt.chars().next().unwrap(),
            _ => '?',
        };
        records.iter().map(label).collect()
    }

    fn condition(labels: &[&str], by: ConditionBy) -> Condition {
        Condition { labels: labels.iter().map(|label| (*label).to_owned()).collect(), by }
    }

    #[test]
    fn the_best_gets_the_last_label_and_the_worst_the_first() {
        let by_rank = condition(&["-", "+"], ConditionBy::Rank);
        let (records, rejects) = by_rank.apply(vec![ranked(&[(0, None), (1, None)])]);
        assert_eq!((labels(&records), rejects.len()), (vec!['+', '-'], 0));
        let three = condition(&["a", "b", "c"], ConditionBy::Rank);
        let (records, _) = three.apply(vec![ranked(&[(0, None), (1, None), (1, None), (2, None)])]);
        assert_eq!(labels(&records), ['c', 'b', 'b', 'a']);
        let feedback = |desirable| {
            let provenance = Provenance { source: "s".into(), row: 1 };
            PreferenceRecord::Unpaired(Feedback { record: completion("x"), desirable, provenance })
        };
        assert_eq!(labels(&three.apply(vec![feedback(true), feedback(false)]).0), ['c', 'a']);
    }

    #[test]
    fn scores_fall_into_quantiles_and_ties_stay_together() {
        let quarters = condition(&["1", "2", "3", "4"], ConditionBy::Score);
        let scores: Vec<(u32, Option<f64>)> = (0..8).map(|index| (index, Some(f64::from(8 - index)))).collect();
        assert_eq!(labels(&quarters.apply(vec![ranked(&scores)]).0), ['4', '4', '3', '3', '2', '2', '1', '1']);
        let tied = [(0, Some(5.0)), (1, Some(1.0)), (1, Some(1.0)), (1, Some(1.0))];
        assert_eq!(labels(&quarters.apply(vec![ranked(&tied)]).0), ['4', '1', '1', '1']);
        let (records, rejects) = quarters.apply(vec![ranked(&[(0, Some(1.0)), (1, None)])]);
        assert_eq!((records.len(), rejects[0].reason.as_str()), (0, "a response has no score"));
    }

    #[test]
    fn a_conversation_is_conditioned_where_the_user_speaks_last() {
        let provenance = Provenance { source: "s".into(), row: 1 };
        let message = crate::Message::new;
        let messages = vec![
            message(Role::User, "one"),
            message(Role::Assistant, "two"),
            message(Role::User, "three"),
            message(Role::Assistant, "four"),
        ];
        let template_arguments = serde_json::Map::new();
        let record =
            Record::Conversation(crate::Conversation { messages, tools: None, template_arguments, provenance });
        let Record::Conversation(conversation) = conditioned(record, "good: ") else { panic!("a conversation") };
        let contents: Vec<&str> = conversation.messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents, ["one", "two", "good: three", "four"]);
    }
}
