//! What a judge said of two outputs.

use serde::{Deserialize, Serialize};

/// A verdict about two outputs. It names outputs in the order of the data, never places in the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    First,
    Second,
    /// The judge said that neither is better. Not a failure.
    Tie,
    /// The judge answered, but its answer names no verdict; an empty answer is one of these.
    Unparsed,
    /// There was no answer.
    Failed,
}

impl Verdict {
    /// 1 for the first output, 0 for the second, a half for a tie; `None` where nothing was decided.
    pub fn preference(self) -> Option<f64> {
        match self {
            Self::First => Some(1.0),
            Self::Second => Some(0.0),
            Self::Tie => Some(0.5),
            Self::Unparsed | Self::Failed => None,
        }
    }

    /// The output with the larger preference; a half is a tie.
    pub fn of(preference: f64) -> Self {
        match preference.partial_cmp(&0.5) {
            Some(std::cmp::Ordering::Greater) => Self::First,
            Some(std::cmp::Ordering::Less) => Self::Second,
            Some(std::cmp::Ordering::Equal) => Self::Tie,
            None => Self::Unparsed,
        }
    }
}

/// A verdict in one order of the outputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    pub verdict: Verdict,
    /// The probability that the judge gives the first output, where it tells log-probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference: Option<f64>,
    /// The probability that the judge gives all choices together: a small one says that it would rather have answered
    /// something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mass: Option<f64>,
}

impl From<Verdict> for Opinion {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, preference: None, mass: None }
    }
}

/// What came of one question to a judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    Answered {
        /// As many as samples were asked for.
        texts: Vec<String>,
        /// Natural log-probabilities of the choices, in their order, where the answerer tells them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log_probs: Option<Vec<f64>>,
    },
    /// Why there is no answer.
    Failed(String),
}

/// What a strategy made of the replies about one pair of outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// With the first output read first.
    pub as_given: Opinion,
    /// With the second output read first.
    pub swapped: Opinion,
    /// The preference for the first output in `[0, 1]` from everything together; `None` where an order has no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combined: Option<f64>,
    /// Grades of the two outputs, where the strategy gives grades.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratings: Option<[f64; 2]>,
    /// How far single answers about this pair differ, in nats, where there are several: high ones are for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f64>,
}

impl Assessment {
    /// From the two orders alone: the mean of their preferences, so that a contradiction is a tie.
    pub fn of(as_given: Opinion, swapped: Opinion) -> Self {
        let combined = as_given.verdict.preference().zip(swapped.verdict.preference());
        let combined = combined.map(|(as_given, swapped)| as_given.midpoint(swapped));
        Self { as_given, swapped, combined, ratings: None, entropy: None }
    }

    /// The same verdict in both orders.
    pub fn same(verdict: Verdict) -> Self {
        Self::of(verdict.into(), verdict.into())
    }

    /// Whether a call had no answer, so that asking again could help.
    pub fn has_failed(&self) -> bool {
        [self.as_given, self.swapped].iter().any(|opinion| opinion.verdict == Verdict::Failed)
    }
}

/// One pair of outputs, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Of the judge, its prompts and the pair: a judgement under another key answers another question.
    pub key: String,
    /// The pair's name in its data.
    pub id: String,
    /// What it shares with other pairs, such as the prompt: pairs of one group are not independent.
    pub group: String,
    /// The judge's identity, as a hash.
    pub judge: String,
    /// Characters of the two outputs.
    pub lengths: [usize; 2],
    #[serde(flatten)]
    pub assessment: Assessment,
    /// All replies, round by round, in the order in which they were asked for.
    #[serde(default)]
    pub rounds: Vec<Vec<Reply>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_ties_and_failures_are_not() {
        let of = |a: Verdict, b: Verdict| Assessment::of(a.into(), b.into()).combined;
        assert_eq!(of(Verdict::First, Verdict::First), Some(1.0));
        assert_eq!(of(Verdict::First, Verdict::Second), Some(0.5));
        assert_eq!(of(Verdict::Tie, Verdict::Second), Some(0.25));
        assert_eq!(of(Verdict::First, Verdict::Unparsed), None);
        assert!(Assessment::same(Verdict::Failed).has_failed() && !Assessment::same(Verdict::Unparsed).has_failed());
        assert_eq!([0.7, 0.5, 0.2, f64::NAN].map(Verdict::of), {
            [Verdict::First, Verdict::Tie, Verdict::Second, Verdict::Unparsed]
        });
    }

    #[test]
    fn a_line_reads_back() {
        let judgement = Judgement {
            key: "k".into(),
            id: "7".into(),
            group: "g".into(),
            judge: "j".into(),
            lengths: [3, 4],
            assessment: Assessment::of(
                Opinion { preference: Some(0.75), ..Verdict::First.into() },
                Verdict::Tie.into(),
            ),
            rounds: vec![vec![
                Reply::Answered { texts: vec!["A".into()], log_probs: Some(vec![-0.1, -2.0]) },
                Reply::Failed("timed out".into()),
            ]],
        };
        let line = serde_json::to_string(&judgement).unwrap();
        assert_eq!(serde_json::from_str::<Judgement>(&line).unwrap(), judgement);
    }
}
