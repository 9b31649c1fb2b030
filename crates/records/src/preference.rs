//! Records of feedback: ranked responses, single rated responses, labelled steps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::{Conversation, Format, Message, Provenance, Record, Reject, Role};

/// Ranked responses to one prompt; a pair is the list of two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preference {
    /// Best first, at least two, not all of one rank.
    pub responses: Vec<RankedResponse>,
    /// An answer that is compared with none of them, such as the target of supervised tuning (Zhao 2023, SLiC-HF); never one of
    /// the responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Record>,
    /// How much better the best is than the next, where the data says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Probability that the order is right, above 0 and at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Nobody said where the prompt ends: it is what all responses have in common, found where they are tokenised.
    #[serde(default)]
    pub implicit_prompt: bool,
    pub provenance: Provenance,
}

/// A response with its prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankedResponse {
    /// A conversation whose prompt turns have weight 0, a prompt with its completion, or (implicit prompt) a text.
    pub record: Record,
    /// 0 is best; responses of equal rank tie.
    pub rank: u32,
    /// Higher is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// A single response that is good or bad (Ethayarajh 2024, KTO).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    pub record: Record,
    pub desirable: bool,
    pub provenance: Provenance,
}

/// A solution in steps, each right or wrong (Lightman 2023, PRM800K).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stepwise {
    /// Empty where the prompt is a text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// Empty where the prompt is a conversation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    pub steps: Vec<String>,
    /// One for each step.
    pub labels: Vec<bool>,
    pub provenance: Provenance,
}

impl Stepwise {
    /// The solution up to each step, as records of their own: what a process reward model judges.
    pub fn prefixes(&self) -> Vec<Record> {
        let upto = |end: usize| {
            let solution = self.steps[..end].join("\n");
            let provenance = self.provenance.clone();
            if self.messages.is_empty() {
                return Record::Completion { prompt: self.prompt.clone(), completion: solution, provenance };
            }
            let context = self.messages.iter().cloned().map(|message| Message { weight: Some(0.0), ..message });
            let messages = context.chain([Message::new(Role::Assistant, solution)]).collect();
            Record::Conversation(Conversation { messages, tools: None, template_arguments: Map::new(), provenance })
        };
        (1..=self.steps.len()).map(upto).collect()
    }
}

/// One example of feedback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreferenceRecord {
    Ranked(Preference),
    Unpaired(Feedback),
    Stepwise(Stepwise),
}

impl PreferenceRecord {
    pub fn provenance(&self) -> &Provenance {
        match self {
            Self::Ranked(preference) => &preference.provenance,
            Self::Unpaired(feedback) => &feedback.provenance,
            Self::Stepwise(stepwise) => &stepwise.provenance,
        }
    }
}

/// The feedback records of one file, and the rows that were refused.
#[derive(Debug, Clone, PartialEq)]
pub struct PreferenceSet {
    pub format: Format,
    /// In the order of the file.
    pub records: Vec<PreferenceRecord>,
    /// In the order of the file.
    pub rejects: Vec<Reject>,
}

/// Which responses of a ranked list are compared. Ties never are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairChoice {
    /// Every better one with every worse one (Ouyang 2022, `InstructGPT`).
    #[default]
    All,
    /// The best with the worst.
    BestWorst,
    /// Each with the next worse ones.
    Adjacent,
    /// The best with one of the worse ones, drawn at random (Tunstall 2023, Zephyr's use of `UltraFeedback`).
    BestRandom,
}

impl PairChoice {
    /// (better, worse) indices of responses with these ranks, ascending, 0 best; `pick(n)` draws a number below `n`.
    pub fn pairs(self, ranks: &[u32], pick: &mut dyn FnMut(usize) -> usize) -> Vec<(usize, usize)> {
        let rank = |index: usize| ranks[index];
        let count = ranks.len();
        let worse_than_best: Vec<usize> = (1..count).filter(|&index| rank(index) > rank(0)).collect();
        match self {
            Self::All => {
                let with = |worse: usize| (0..worse).filter(move |&better| rank(better) < rank(worse));
                (1..count).flat_map(|worse| with(worse).map(move |better| (better, worse))).collect()
            }
            Self::BestWorst => worse_than_best.last().map(|&worst| (0, worst)).into_iter().collect(),
            Self::Adjacent => {
                // The rank of the next worse group of each response.
                let mut next: BTreeMap<u32, u32> = BTreeMap::new();
                for window in ranks.windows(2).filter(|window| window[0] < window[1]) {
                    next.insert(window[0], window[1]);
                }
                let follows = |better: usize, worse: usize| next.get(&rank(better)) == Some(&rank(worse));
                (0..count)
                    .flat_map(|better| (better + 1..count).map(move |worse| (better, worse)))
                    .filter(|&(better, worse)| follows(better, worse))
                    .collect()
            }
            Self::BestRandom if worse_than_best.is_empty() => Vec::new(),
            Self::BestRandom => {
                let drawn = pick(worse_than_best.len()).min(worse_than_best.len() - 1);
                vec![(0, worse_than_best[drawn])]
            }
        }
    }
}

impl Preference {
    /// (better, worse) indices of responses; `pick(n)` draws a number below `n`.
    pub fn pairs(&self, choice: PairChoice, pick: &mut dyn FnMut(usize) -> usize) -> Vec<(usize, usize)> {
        let ranks: Vec<u32> = self.responses.iter().map(|response| response.rank).collect();
        choice.pairs(&ranks, pick)
    }
}
