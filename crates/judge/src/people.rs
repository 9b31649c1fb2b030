//! Cases for a person: a file to fill in, and what it says when it is filled in.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::path::Path;

use camelid_eval::judging::Output;
use camelid_records::{Judgement, Verdict};
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::error::FileError;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForPerson {
    pub key: String,
    pub id: String,
    /// In nats; `null` where the judge gave no verdict in one of the orders.
    pub entropy: Option<f64>,
    pub instruction: String,
    pub first: String,
    pub second: String,
    /// To be filled in: `first`, `second` or `tie`.
    pub verdict: Option<Verdict>,
}

/// Which judgements a person should decide: all without a combined verdict, then those with the highest entropy, until `share` of all
/// is reached; among equals the earlier. Strategies without an entropy give those that contradict themselves.
pub fn queue(judgements: &[Judgement], share: f64) -> Vec<usize> {
    let urgency = |judgement: &Judgement| {
        let assessment = &judgement.assessment;
        if assessment.combined.is_none() {
            return f64::INFINITY;
        }
        let contradicts = assessment.as_given.verdict != assessment.swapped.verdict;
        assessment.entropy.unwrap_or(if contradicts { std::f64::consts::LN_2 } else { 0.0 })
    };
    let mut order: Vec<usize> = (0..judgements.len()).collect();
    order.sort_by(|&a, &b| urgency(&judgements[b]).total_cmp(&urgency(&judgements[a])));
    let open = judgements.iter().filter(|judgement| judgement.assessment.combined.is_none()).count();
    order.truncate(((judgements.len() as f64 * share.clamp(0.0, 1.0)).round() as usize).max(open));
    order
}

impl ForPerson {
    pub fn new(case: &Case, judgement: &Judgement) -> Self {
        Self {
            key: judgement.key.clone(),
            id: case.id.clone(),
            entropy: judgement.assessment.entropy,
            instruction: case.instruction(),
            first: case.output(Output::First),
            second: case.output(Output::Second),
            verdict: None,
        }
    }
}

/// What people decided, by key. Lines that are not filled in are left out.
pub fn read_decisions(path: &Path) -> Result<HashMap<String, Verdict>, FileError> {
    let fix = "fill in `verdict` with \"first\", \"second\" or \"tie\" and leave the rest as it was written";
    let text = std::fs::read_to_string(path)
        .map_err(|error| FileError::new(path, None, error.to_string(), "name the file that --for-people wrote"))?;
    let mut decided = HashMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |reason: String| FileError::new(path, Some(index + 1), reason, fix);
        let line: ForPerson = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        match line.verdict {
            None => {}
            Some(verdict) if verdict.preference().is_some() => {
                decided.insert(line.key, verdict);
            }
            Some(_) => return Err(wrong("`verdict` is not a decision".into())),
        }
    }
    Ok(decided)
}

/// Puts a person's decisions in place of the judge's combined ones; returns how many there were. What the judge said in the two orders
/// stays, since it is the judge's.
pub fn decide<S: BuildHasher>(judgements: &mut [Judgement], decisions: &HashMap<String, Verdict, S>) -> usize {
    let mut decided = 0;
    for judgement in judgements {
        if let Some(preference) = decisions.get(&judgement.key).and_then(|verdict| verdict.preference()) {
            judgement.assessment.combined = Some(preference);
            decided += 1;
        }
    }
    decided
}
