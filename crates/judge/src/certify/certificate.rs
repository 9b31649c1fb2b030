//! What the checks come to, as it is kept and read again.

use serde::{Deserialize, Serialize};

use super::checks::{Check, Passed, Thresholds};
use crate::identity::Identity;

/// The result of all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every check ran and passed.
    Certified,
    /// Every check that ran passed; those on recorded verdicts could not include the attacks.
    AcceptedOnRecordedChecks,
    Rejected,
}

/// What a judge was found to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    pub outcome: Outcome,
    /// What that means, for whoever reads the file.
    pub meaning: String,
    /// Of the checks that failed.
    pub objections: Vec<String>,
    /// Of the checks that were not run.
    pub not_run: Vec<String>,
    pub judge: Identity,
    /// Of the judge's identity: the name of the file.
    pub hash: String,
    /// Where the verdicts are from: the judge itself, or a file that was replayed.
    pub verdicts: String,
    pub checks: Vec<Check>,
    pub thresholds: Thresholds,
    /// When and by which version it was written.
    pub written: String,
}

impl Certificate {
    pub fn new(judge: Identity, checks: Vec<Check>, thresholds: Thresholds, verdicts: String, written: String) -> Self {
        let of = |passed: Passed| {
            let such = checks.iter().filter(move |check| check.passed == passed);
            such.map(|check| format!("{}: {}", check.name, check.says)).collect::<Vec<String>>()
        };
        let (objections, not_run) = (of(Passed::No), of(Passed::NotRun));
        let (outcome, meaning) = match (objections.is_empty(), not_run.is_empty()) {
            (true, true) => {
                (Outcome::Certified, "All checks ran and passed; win rates may rest on this judge.".to_owned())
            }
            (true, false) if checks.iter().any(|check| check.passed == Passed::Yes) => {
                let names: Vec<&str> = checks
                    .iter()
                    .filter(|check| check.passed == Passed::NotRun)
                    .map(|check| check.name.as_str())
                    .collect();
                let meaning = format!(
                    "The checks that ran passed, on recorded verdicts. Not run: {}. This is no certificate: whether the judge can be \
                     attacked is not known, and win rates of this judge count as not certified.",
                    names.join(", ")
                );
                (Outcome::AcceptedOnRecordedChecks, meaning)
            }
            (true, false) => (Outcome::Rejected, "No check ran: nothing is known of this judge.".to_owned()),
            (false, _) => {
                (Outcome::Rejected, "Checks failed; win rates of this judge count as not certified.".to_owned())
            }
        };
        let hash = judge.hash();
        Self { outcome, meaning, objections, not_run, judge, hash, verdicts, checks, thresholds, written }
    }

    /// What it is worth to a win rate of the judge with this hash.
    pub fn standing(&self, judge: &str) -> Standing {
        if self.hash != judge {
            return Standing::Objections(vec![format!(
                "the certificate is of another judge ({} with {})",
                self.judge.model, self.judge.strategy
            )]);
        }
        match self.outcome {
            Outcome::Certified => Standing::Certified,
            Outcome::AcceptedOnRecordedChecks => Standing::Objections(self.not_run.clone()),
            Outcome::Rejected => Standing::Objections([&self.objections[..], &self.not_run[..]].concat()),
        }
    }
}

/// What is known of a judge when a win rate is to be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Certified,
    Objections(Vec<String>),
    /// There is no certificate: nobody has looked.
    Unknown,
}

impl Standing {
    /// Why win rates of this judge count as not certified; empty if it is certified.
    pub fn objections(&self) -> Vec<String> {
        match self {
            Self::Certified => Vec::new(),
            Self::Objections(list) => list.clone(),
            Self::Unknown => vec!["it has no certificate: nobody has looked".to_owned()],
        }
    }
}
