//! What trained process reward models say of every step of an answer; see [`camelid_objectives::reward::steps`].

use camelid_generate::Stream;
use camelid_objectives::reward::steps::{Aggregate, Step, steps};
use camelid_objectives::{Metric, Reduced};
use camelid_records::{Asked, Message, Provenance, Stepwise};
use camelid_text::{Encoded, Overlong, SpanPolicy, Text};

use super::{Candidate, Given, Reward};
use crate::task::Example;
use crate::{RewardModels, TrainError};

/// Reads the scalar after each step, of the solution up to it as a process reward model's training data write it. Answers to one
/// prompt, and the steps of one answer, share their rows.
pub struct StepsReward {
    /// Log-odds that what they read is right so far.
    pub models: RewardModels,
    /// The reward models'.
    pub text: Text,
    /// What stands between two steps.
    pub separator: String,
    pub given: StepsGiven,
    /// Rows computed at once.
    pub token_budget: usize,
    /// Steps of each answer of the last round.
    pub counted: Reduced,
}

/// Where the rewards of steps stand.
pub enum StepsGiven {
    /// One for the answer as a whole.
    Once(Aggregate),
    /// Each step's probability at the last token of the step, found with the policy's vocabulary.
    Each(Box<Text>),
}

impl StepsReward {
    /// The solution up to each step.
    fn encoded(&self, candidate: &Candidate<'_>, steps: &[Step<'_>]) -> Result<Vec<Encoded>, TrainError> {
        let (messages, prompt) = match &candidate.prompt.asked {
            Asked::Chat { messages, .. } => (messages.clone(), String::new()),
            Asked::Text(prompt) => (Vec::<Message>::new(), prompt.clone()),
        };
        let solution = Stepwise {
            messages,
            prompt,
            steps: steps.iter().map(|step| step.text.to_owned()).collect(),
            labels: Vec::new(),
            provenance: Provenance { source: "sampled".into(), row: 1 },
        };
        let encode = |record| {
            let written = self.text.encode_record(&record, &SpanPolicy::default(), usize::MAX, Overlong::Reject);
            written.map(|sequence| Encoded { record: candidate.record, ..sequence }).map_err(|reason| {
                TrainError::Data {
                    reason: format!("an answer to record {} cannot be judged: {reason}", candidate.record + 1),
                    fix: "remove the record, or use a reward model with another template".into(),
                }
            })
        };
        solution.prefixes().into_iter().map(encode).collect()
    }

    fn give(&self, candidate: &Candidate<'_>, steps: &[Step<'_>], log_odds: &[f64]) -> Given {
        match &self.given {
            StepsGiven::Once(aggregate) => aggregate.of(log_odds).into(),
            StepsGiven::Each(policy) => {
                let answer = answer_of(candidate);
                let ends: Vec<usize> = steps.iter().map(|step| step.end).collect();
                let probability = |&log_odds: &f64| Aggregate::Last.of(&[log_odds]);
                Given {
                    score: 0.0,
                    steps: last_tokens(policy, answer, &ends)
                        .into_iter()
                        .zip(log_odds.iter().map(probability))
                        .collect(),
                }
            }
        }
    }
}

impl Reward for StepsReward {
    fn name(&self) -> &'static str {
        "steps"
    }

    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
        let of_answers: Vec<Vec<Step<'_>>> =
            candidates.iter().map(|candidate| steps(candidate.text, &self.separator)).collect();
        let count: usize = of_answers.iter().map(Vec::len).sum();
        self.counted = Reduced::new(count as f64, candidates.len() as f64);
        // One example a prompt, without answers that have no step.
        let mut examples: Vec<Example> = Vec::new();
        let mut before = None;
        for (candidate, steps) in candidates.iter().zip(&of_answers).filter(|(_, steps)| !steps.is_empty()) {
            if before.replace(candidate.record) != Some(candidate.record) {
                examples.push(Example::default());
            }
            let sequences = self.encoded(candidate, steps)?;
            if let Some(example) = examples.last_mut() {
                example.sequences.extend(sequences);
            }
        }
        let log_odds = self.models.rewards(&examples.iter().collect::<Vec<_>>(), self.token_budget)?;
        let mut log_odds = log_odds.into_iter().flatten();
        let given = candidates.iter().zip(&of_answers).map(|(candidate, steps)| {
            let of_answer: Vec<f64> = log_odds.by_ref().take(steps.len()).collect();
            self.give(candidate, steps, &of_answer)
        });
        Ok(given.collect())
    }

    fn metrics(&mut self) -> Vec<Metric> {
        vec![Metric::new("rewards/steps/count", self.counted)]
    }
}

/// The answer's tokens, the stop token included.
fn answer_of<'a>(candidate: &Candidate<'a>) -> &'a [u32] {
    let Encoded { tokens, .. } = candidate.sequence;
    &tokens[tokens.len().saturating_sub(candidate.answer_tokens())..]
}

/// For each of `ends`, which ascend, the first token with which the answer's text reaches that byte; the last one if none does. The text
/// grows as it did when the answer was drawn.
fn last_tokens(text: &Text, answer: &[u32], ends: &[usize]) -> Vec<usize> {
    let (mut stream, mut length, mut places) = (Stream::default(), 0, Vec::with_capacity(ends.len()));
    for (place, &token) in answer.iter().enumerate() {
        length += stream.push(token, text).len();
        let reached = ends[places.len()..].iter().take_while(|&&end| length >= end).count();
        places.extend(std::iter::repeat_n(place, reached));
    }
    places.resize(ends.len(), answer.len().saturating_sub(1));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens: 0 and 1 are special, 2 is `a`, 3 `b`, 4 `cd`.
    fn text() -> Text {
        let vocabulary = serde_json::json!({"<s>": 0, "</s>": 1, "a": 2, "b": 3, "cd": 4});
        let special = |id: u32, content: &str| {
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        let tokenizer = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(0, "<s>"), special(1, "</s>")],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": []},
        });
        Text::new(camelid_text::TextAssets {
            tokenizer_json: tokenizer.to_string().into_bytes(),
            tokenizer_config: serde_json::json!({"bos_token": "<s>", "eos_token": "</s>"}),
            chat_template: None,
            generation_config: serde_json::json!({}),
        })
        .unwrap()
    }

    #[test]
    fn a_step_ends_at_the_token_that_completes_it() {
        let text = text();
        let answer = [2, 3, 4, 2, 1];
        assert_eq!(text.decode(&answer), "abcda</s>");
        assert_eq!(last_tokens(&text, &answer, &[1, 2, 3, 4, 5, 50]), [0, 1, 2, 2, 3, 4]);
        assert_eq!(last_tokens(&text, &[], &[3]), [0]);
        // A long answer is decoded piece by piece.
        let long: Vec<u32> = [3, 4].repeat(40);
        assert_eq!(last_tokens(&text, &long, &[90, 120]), [59, 79]);
    }
}
