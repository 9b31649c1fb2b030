//! Answers compared with what they should be; see [`camelid_objectives::reward::checker`].

use camelid_objectives::reward::checker::Checker;

use super::{Candidate, Given, Reward};
use crate::TrainError;

/// 1 for a right answer, 0 for any other.
pub struct CheckerReward(pub Checker);

impl Reward for CheckerReward {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        let given = candidates.iter().map(|candidate| {
            let expected = candidate.prompt.expected.as_ref().ok_or_else(|| TrainError::Data {
                reason: format!("record {} has no expected answer", candidate.record + 1),
                fix: "give this stage prompts with the answers that are right".into(),
            })?;
            Ok(self.0.reward(candidate.text, expected).into())
        });
        given.collect()
    }

    fn needs_expected(&self) -> bool {
        true
    }
}
