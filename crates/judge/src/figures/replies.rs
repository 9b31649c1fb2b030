//! What came of the questions themselves.

use std::collections::BTreeMap;

use camelid_records::{Judgement, Reply};

/// Counts over all questions of some judgements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    pub asked: usize,
    /// Answered with nothing but white space.
    pub empty: usize,
    /// Without an answer, by the kind of failure.
    pub failed: BTreeMap<String, usize>,
}

impl Replies {
    pub fn of<'j>(judgements: impl IntoIterator<Item = &'j Judgement>) -> Self {
        let mut all = Self::default();
        for reply in judgements.into_iter().flat_map(|judgement| judgement.rounds.iter().flatten()) {
            all.asked += 1;
            match reply {
                Reply::Answered { texts, log_probs: None } => {
                    all.empty += usize::from(texts.iter().all(|text| text.trim().is_empty()));
                }
                Reply::Answered { .. } => {}
                Reply::Failed(reason) => {
                    let kind = reason.split_once(": ").map_or("other", |(kind, _)| kind);
                    *all.failed.entry(kind.to_owned()).or_default() += 1;
                }
            }
        }
        all
    }
}
