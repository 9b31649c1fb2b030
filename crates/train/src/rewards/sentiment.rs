//! The sentiment of an answer by a lexicon; see [`camelid_objectives::reward::sentiment`].

use camelid_objectives::reward::sentiment::Lexicon;

use super::{Candidate, Given, Reward};
use crate::TrainError;
use crate::task::Asked;

/// From -1 to 1.
pub struct SentimentReward {
    pub lexicon: Lexicon,
    /// Judge the last thing that was asked and the answer as one text: for policies that go on with a text.
    pub with_prompt: bool,
}

impl Reward for SentimentReward {
    fn name(&self) -> &'static str {
        "sentiment"
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        let sentiment = |candidate: &Candidate<'_>| match &candidate.prompt.asked {
            _ if !self.with_prompt => self.lexicon.sentiment(candidate.text),
            Asked::Text(prompt) => self.lexicon.sentiment(&format!("{prompt}{}", candidate.text)),
            Asked::Chat { messages, .. } => {
                let asked = messages.last().map_or("", |message| message.content.as_str());
                self.lexicon.sentiment(&format!("{asked}{}", candidate.text))
            }
        };
        Ok(candidates.iter().map(|candidate| sentiment(candidate).into()).collect())
    }
}
