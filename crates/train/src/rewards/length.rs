//! A term for the number of an answer's tokens; see [`camelid_objectives::reinforcement::shaping::Length`].

use camelid_objectives::reinforcement::shaping::Length;

use super::{Candidate, Given, Reward};
use crate::TrainError;

pub struct LengthReward(pub Length);

impl Reward for LengthReward {
    fn name(&self) -> &'static str {
        "length"
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        Ok(candidates.iter().map(|candidate| self.0.term(candidate.answer_tokens() as f64).into()).collect())
    }
}
