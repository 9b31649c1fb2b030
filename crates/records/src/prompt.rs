//! Prompts: what a policy is to answer.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Format, Message, Provenance, Reject};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Rendered through the chat template. Never empty; the last turn is not the assistant's.
    Chat {
        messages: Vec<Message>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools: Option<Value>,
        /// Further variables for the chat template.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        template_arguments: Map<String, Value>,
    },
    /// Goes without a chat template.
    Text(String),
}

/// A prompt, with the answer that the data has to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptRecord {
    pub asked: Asked,
    /// What the answer should be, where the data says: a demonstration's, the preferred one of a pair, one that is labelled
    /// good, or what the column `answer` holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    pub provenance: Provenance,
}

/// The prompts of one file, and the rows that were refused.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptSet {
    pub format: Format,
    /// In the order of the file.
    pub records: Vec<PromptRecord>,
    /// In the order of the file.
    pub rejects: Vec<Reject>,
}

impl PromptSet {
    /// How many records ask what an earlier one asks. They are kept: whoever wrote the file may want them to count twice.
    pub fn repeated(&self) -> usize {
        // Prompts may be long and many, so only their hashes are kept.
        let (hasher, mut seen) = (RandomState::new(), HashSet::new());
        let asked = |record: &PromptRecord| serde_json::to_string(&record.asked).unwrap_or_default();
        self.records.iter().filter(|record| !seen.insert(hasher.hash_one(asked(record)))).count()
    }
}
