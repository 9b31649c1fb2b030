//! Whether an answer has a form.

use regex::Regex;

use super::{Candidate, Given, Reward};
use crate::TrainError;

/// 1 where the pattern is found in the answer, 0 elsewhere.
pub struct PatternReward(pub Regex);

impl Reward for PatternReward {
    fn name(&self) -> &'static str {
        "pattern"
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        let found = |candidate: &Candidate<'_>| f64::from(u8::from(self.0.is_match(candidate.text)));
        Ok(candidates.iter().map(|candidate| found(candidate).into()).collect())
    }
}
