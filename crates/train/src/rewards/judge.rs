//! What a language model says an answer deserves; see [`camelid_objectives::reward::judge`].

use camelid_generate::client::{Generated, Generator, Prompt as Question};
use camelid_generate::protocol::{Decoding, Input};
use camelid_objectives::reward::judge::{Place, Scale, filled, rating};
use camelid_objectives::{Metric, Reduced};
use camelid_records::{Message, Role};
use serde_json::Map;

use super::{Candidate, Given, Reward};
use crate::TrainError;
use crate::task::Asked;

/// Asks a judge about every answer of a round, several at a time.
///
/// An answer whose rating cannot be read is counted (`rewards/judge/unparsed`) and given the mean of the ratings of the other answers
/// to its prompt, or of the round, or the middle of the scale: neither a reward nor a punishment for what the judge did. A judge that
/// cannot be read too often ends the run.
pub struct JudgeReward {
    pub judge: Box<dyn Generator>,
    pub wording: Wording,
    pub scale: Scale,
    /// Whether the judge has a chat template.
    pub chat: bool,
    /// More than this share of what was judged since the run began or went on is an error, if it cannot be read.
    pub max_unparsed: f64,
    pub unparsed: Unparsed,
}

/// How many ratings could not be read, of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unparsed {
    of_round: Reduced,
    of_all: Reduced,
}

/// Fewer ratings say nothing of a judge: one of an evaluation's four is a quarter.
const ENOUGH: f64 = 20.0;

/// Tokens of a rating at most; judges often say a word before the number.
const RATING_TOKENS: usize = 16;
/// What OpenAI and vLLM allow.
const ALTERNATIVES: usize = 20;

/// What a judge is asked, with places for what is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Words(String),
    Prompt,
    Answer,
    Low,
    High,
}

impl Wording {
    /// Reads `{prompt}`, `{answer}`, `{low}` and `{high}`; other braces are words. `None` without an `{answer}` to judge.
    pub fn parse(template: &str) -> Option<Self> {
        let named = |rest: &str| {
            let names =
                [("{prompt}", Part::Prompt), ("{answer}", Part::Answer), ("{low}", Part::Low), ("{high}", Part::High)];
            names.into_iter().find(|(name, _)| rest.starts_with(name))
        };
        let (mut parts, mut words, mut rest) = (Vec::new(), String::new(), template);
        while let Some(letter) = rest.chars().next() {
            if let Some((name, part)) = named(rest) {
                parts.push(Part::Words(std::mem::take(&mut words)));
                parts.push(part);
                rest = &rest[name.len()..];
            } else {
                words.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        parts.push(Part::Words(words));
        parts.contains(&Part::Answer).then_some(Self(parts))
    }

    /// What stands in the places is taken as it is, braces too.
    fn fill(&self, prompt: &str, answer: &str, scale: Scale) -> String {
        let part = |part: &Part| match part {
            Part::Words(words) => words.clone(),
            Part::Prompt => prompt.to_owned(),
            Part::Answer => answer.to_owned(),
            Part::Low => scale.low().to_string(),
            Part::High => scale.high().to_string(),
        };
        self.0.iter().map(part).collect()
    }
}

/// What was asked, as text: a single message as it is, a conversation with its speakers.
fn asked(asked: &Asked) -> String {
    let speaker = |role: Role| match role {
        Role::System => "System",
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::Tool => "Tool",
    };
    match asked {
        Asked::Text(text) => text.clone(),
        Asked::Chat { messages, .. } => match messages.as_slice() {
            [only] => only.content.clone(),
            turns => {
                let turn = |turn: &Message| format!("{}: {}", speaker(turn.role), turn.content);
                turns.iter().map(turn).collect::<Vec<_>>().join("\n\n")
            }
        },
    }
}

impl JudgeReward {
    fn question(&self, candidate: &Candidate<'_>) -> Question {
        let text = self.wording.fill(&asked(&candidate.prompt.asked), candidate.text, self.scale);
        let input = if self.chat {
            let messages = vec![Message::new(Role::User, text)];
            Input::Chat { messages, tools: None, template_arguments: Map::new() }
        } else {
            Input::Text(text)
        };
        let decoding = Decoding {
            max_tokens: Some(RATING_TOKENS),
            temperature: Some(0.0),
            log_probs: Some(ALTERNATIVES),
            ..Decoding::default()
        };
        Question { input, decoding }
    }

    fn rating(&self, judged: &Generated) -> Option<f64> {
        let said = judged.answers.first()?;
        let places: Vec<Place<'_>> = said
            .alternatives
            .iter()
            .flatten()
            .map(|place| place.iter().map(|one| (one.text.as_str(), f64::from(one.log_prob))).collect())
            .collect();
        rating(&said.text, &places, self.scale)
    }
}

impl Reward for JudgeReward {
    fn name(&self) -> &'static str {
        "judge"
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        let questions: Vec<Question> = candidates.iter().map(|candidate| self.question(candidate)).collect();
        let mut ratings = Vec::with_capacity(candidates.len());
        let mut first_unread = None;
        for (candidate, judged) in candidates.iter().zip(self.judge.generate(&questions)) {
            let judged = judged.map_err(|error| {
                let said = error.to_string();
                let (reason, fix) = said.split_once("\n  fix: ").unwrap_or((&said, "look at the judge"));
                TrainError::Data {
                    reason: format!("the judge says nothing of an answer to record {}: {reason}", candidate.record + 1),
                    fix: fix.to_owned(),
                }
            })?;
            let rating = self.rating(&judged);
            if rating.is_none() && first_unread.is_none() {
                let said: String =
                    judged.answers.first().map(|said| said.text.chars().take(80).collect()).unwrap_or_default();
                first_unread = Some((candidate.record, said));
            }
            ratings.push(rating);
        }
        let (count, all) = (ratings.iter().filter(|rating| rating.is_none()).count(), ratings.len());
        let Unparsed { of_round, of_all } = &mut self.unparsed;
        *of_round = Reduced::new(count as f64, all as f64);
        *of_all = Reduced::new(of_all.sum + of_round.sum, of_all.count + of_round.count);
        if let Some((record, said)) = first_unread
            && of_all.count >= ENOUGH
            && of_all.sum > self.max_unparsed * of_all.count
        {
            let (low, high) = (self.scale.low(), self.scale.high());
            return Err(TrainError::Data {
                reason: format!(
                    "{} of {} ratings cannot be read, `max_unparsed` allows {:.1} %; of an answer to record {} the judge said {said:?}",
                    of_all.sum,
                    of_all.count,
                    self.max_unparsed * 100.0,
                    record + 1
                ),
                fix: format!(
                    "take a judge that follows instructions, or a `prompt` that asks more clearly for one number from {low} to {high}"
                ),
            });
        }
        let records: Vec<u32> = candidates.iter().map(|candidate| candidate.record).collect();
        let filled = filled(&ratings, &records, self.scale);
        Ok(filled.into_iter().map(|rating| self.scale.reward(rating).into()).collect())
    }

    fn metrics(&mut self) -> Vec<Metric> {
        vec![Metric::new("rewards/judge/unparsed", self.unparsed.of_round)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once() {
        let wording = Wording::parse("{prompt}|{answer}|{low}-{high}|{other} {").unwrap();
        let scale = Scale::new(1, 5).unwrap();
        assert_eq!(wording.fill("ä{answer}", "{low}{prompt}", scale), "ä{answer}|{low}{prompt}|1-5|{other} {");
        assert_eq!(Wording::parse("{prompt}"), None);
    }

    #[test]
    fn conversations_name_their_speakers() {
        let chat =
            |messages: Vec<Message>| asked(&Asked::Chat { messages, tools: None, template_arguments: Map::new() });
        assert_eq!(chat(vec![Message::new(Role::User, "Why?")]), "Why?");
        let turns = vec![
            Message::new(Role::User, "Hi"),
            Message::new(Role::Assistant, "Hello"),
            Message::new(Role::User, "Why?"),
        ];
        assert_eq!(chat(turns), "User: Hi\n\nAssistant: Hello\n\nUser: Why?");
    }
}
