//! What trained reward models say of an answer.

use camelid_text::{Encoded, Overlong, SpanPolicy, Text};

use super::{Candidate, Given, Reward};
use crate::task::Example;
use crate::{RewardModels, TrainError};

/// Reads the scalar at the last token of prompt and answer, written by the reward model's own template and vocabulary, as its
/// training data were. Answers to one prompt share that prompt's rows.
pub struct ModelReward {
    pub models: RewardModels,
    /// The reward models'.
    pub text: Text,
    /// Rows computed at once.
    pub token_budget: usize,
}

impl ModelReward {
    fn encoded(&self, candidate: &Candidate<'_>) -> Result<Encoded, TrainError> {
        // The policy may draw the name of a control token, which readers of its answers do not see.
        let text = self.text.without_control_tokens(candidate.text);
        // What is learned does not matter here, but a record must learn something.
        let record = candidate.prompt.answered(&text);
        let written = self.text.encode_record(&record, &SpanPolicy::default(), usize::MAX, Overlong::Reject);
        match written {
            Ok(sequence) => Ok(Encoded { record: candidate.record, ..sequence }),
            // An empty answer is no demonstration, but the policy may give it.
            Err(_) if text.trim().is_empty() => Ok(candidate.sequence.clone()),
            Err(reason) => Err(TrainError::Data {
                reason: format!("an answer to record {} cannot be judged: {reason}", candidate.record + 1),
                fix: "remove the record, or use a reward model with another template".into(),
            }),
        }
    }
}

impl Reward for ModelReward {
    fn name(&self) -> &'static str {
        "model"
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        let groups = candidates.chunk_by(|a, b| a.record == b.record);
        let examples: Vec<Example> = groups
            .map(|group| {
                let sequences = group.iter().map(|candidate| self.encoded(candidate)).collect::<Result<_, _>>()?;
                Ok(Example { sequences, ..Example::default() })
            })
            .collect::<Result<_, TrainError>>()?;
        let rewards = self.models.rewards(&examples.iter().collect::<Vec<_>>(), self.token_budget)?;
        Ok(rewards.into_iter().flatten().map(Given::from).collect())
    }
}
