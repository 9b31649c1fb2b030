//! Questions to a generator, and what its answers say of choices.

use camelid_generate::client::{Alternative, GenerateError, Generated, Generator, Prompt};
use camelid_generate::protocol::{Decoding, Input, MOST_LOG_PROBS};
use camelid_records::Reply;
use serde_json::Map;

use crate::strategy::{Expected, Question};

/// Where the log-probabilities of choices come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogProbs {
    /// Each choice is asked for as the only possible answer, whose log-probability under the model is then told. Exact; for the
    /// engine in this process and for servers that follow `guided_choice` (vLLM, `camelid serve`).
    Forced,
    /// The most likely tokens at the first place of a free answer, as hosted models tell them. A choice that is not among them
    /// counts as likely as the least likely one told; where neither is, the text decides.
    Reported,
    /// Texts decide.
    Unused,
}

/// Someone who answers questions: a generator and how to use it.
pub struct Asker<'g> {
    pub generator: &'g dyn Generator,
    pub log_probs: LogProbs,
    /// Of samples at temperatures above 0.
    pub seed: u64,
}

/// Room for a letter and marks around it.
const CHOICE_TOKENS: usize = 8;

/// Which question a prompt belongs to.
struct Sent {
    question: usize,
    /// The choice that the prompt is forced to.
    choice: usize,
}

impl Asker<'_> {
    /// What decides answers beside the questions.
    pub fn identity(&self) -> String {
        format!("{}\n{:?}\n{}", self.generator.identity(), self.log_probs, self.seed)
    }

    /// Asks all questions at once; replies come in their order. Samples of equal questions with different `salts` differ.
    pub fn ask(&self, questions: &[Question], salts: &[u64]) -> Vec<Reply> {
        let (mut sent, mut prompts) = (Vec::new(), Vec::new());
        for (place, question) in questions.iter().enumerate() {
            let salt = salts.get(place).copied().unwrap_or_default();
            for (choice, decoding) in self.decodings(&question.answer, salt).into_iter().enumerate() {
                sent.push(Sent { question: place, choice });
                let messages = question.messages.clone();
                let input = Input::Chat { messages, tools: None, template_arguments: Map::new() };
                prompts.push(Prompt { input, decoding });
            }
        }
        let mut answers: Vec<Vec<Result<Generated, GenerateError>>> = questions.iter().map(|_| Vec::new()).collect();
        for (Sent { question, choice }, answer) in sent.iter().zip(self.generator.generate(&prompts)) {
            debug_assert_eq!(answers[*question].len(), *choice);
            answers[*question].push(answer);
        }
        questions.iter().zip(answers).map(|(question, answers)| self.reply(&question.answer, answers)).collect()
    }

    fn decodings(&self, answer: &Expected, salt: u64) -> Vec<Decoding> {
        let greedy = Decoding { temperature: Some(0.0), seed: Some(self.seed), ..Decoding::default() };
        match answer {
            Expected::Text { max_tokens, temperature, samples } => vec![Decoding {
                samples: *samples,
                max_tokens: Some(*max_tokens),
                temperature: Some(*temperature),
                // Samples come from the model's own distribution.
                top_p: Some(1.0),
                seed: Some(if *temperature > 0.0 { self.seed ^ salt } else { self.seed }),
                ..Decoding::default()
            }],
            Expected::Choice(choices) => match self.log_probs {
                LogProbs::Forced => {
                    let forced = choices.iter().map(|choice| Decoding {
                        max_tokens: Some(1),
                        choices: vec![(*choice).to_owned()],
                        log_probs: Some(1),
                        ..greedy.clone()
                    });
                    forced.collect()
                }
                LogProbs::Reported => {
                    vec![Decoding { max_tokens: Some(CHOICE_TOKENS), log_probs: Some(MOST_LOG_PROBS), ..greedy }]
                }
                LogProbs::Unused => vec![Decoding { max_tokens: Some(CHOICE_TOKENS), ..greedy }],
            },
        }
    }

    fn reply(&self, answer: &Expected, answers: Vec<Result<Generated, GenerateError>>) -> Reply {
        let answers: Result<Vec<Generated>, GenerateError> = answers.into_iter().collect();
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => return Reply::Failed(format!("{}: {error}", kind(&error))),
        };
        let texts = |generated: &Generated| generated.answers.iter().map(|answer| answer.text.clone()).collect();
        match (answer, self.log_probs) {
            (Expected::Choice(choices), LogProbs::Forced) => {
                let told: Option<Vec<f64>> = answers.iter().map(first_log_prob).collect();
                // A choice that is forced says nothing by its text.
                match told.filter(|told| told.len() == choices.len()) {
                    Some(told) => Reply::Answered { texts: Vec::new(), log_probs: Some(told) },
                    None => Reply::Failed(
                        "no log-probability: the answerer does not tell that of a choice it is held to\n  fix: use reported \
                         log-probabilities, or none"
                            .into(),
                    ),
                }
            }
            (Expected::Choice(choices), LogProbs::Reported) => {
                let answer = answers.first().and_then(|generated| generated.answers.first());
                let places = answer.and_then(|answer| answer.alternatives.as_deref());
                let log_probs = places.and_then(|places| of_choices(places, choices));
                Reply::Answered { texts: answers.first().map(texts).unwrap_or_default(), log_probs }
            }
            _ => Reply::Answered { texts: answers.first().map(texts).unwrap_or_default(), log_probs: None },
        }
    }
}

/// What kind of failure it was, in words that stand in front of every reason and can be counted.
fn kind(error: &GenerateError) -> &'static str {
    let of_length = |text: &str| text.to_ascii_lowercase().contains("context");
    match error {
        GenerateError::Invalid(text) | GenerateError::Refused { body: text, .. } if of_length(text) => {
            "context overflow"
        }
        GenerateError::Invalid(_) => "invalid request",
        GenerateError::Refused { .. } => "refused",
        GenerateError::Exhausted { last, .. } if last.contains("timed out") => "timeout",
        GenerateError::Exhausted { .. } => "server error",
        GenerateError::Malformed { .. } => "malformed answer",
        GenerateError::Failed(_) => "engine error",
    }
}

fn first_log_prob(generated: &Generated) -> Option<f64> {
    generated.answers.first()?.log_probs.as_ref()?.first().map(|&log_prob| f64::from(log_prob))
}

/// Log-probabilities of the choices among the tokens of the first place; with and without a space in front they are one choice.
/// `None` where none of them is there.
fn of_choices(places: &[Vec<Alternative>], choices: &[&str]) -> Option<Vec<f64>> {
    let first = places.iter().find(|place| !place.is_empty())?;
    let of = |choice: &&str| {
        let shares =
            first.iter().filter(|token| token.text.trim() == *choice).map(|token| f64::from(token.log_prob).exp());
        Some(shares.sum::<f64>()).filter(|share| *share > 0.0).map(f64::ln)
    };
    let told: Vec<Option<f64>> = choices.iter().map(of).collect();
    let least = first.iter().map(|token| f64::from(token.log_prob)).fold(f64::INFINITY, f64::min);
    told.iter().any(Option::is_some).then(|| told.iter().map(|log_prob| log_prob.unwrap_or(least)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(tokens: &[(&str, f32)]) -> Vec<Alternative> {
        tokens.iter().map(|&(text, log_prob)| Alternative { text: text.to_owned(), log_prob }).collect()
    }

    #[test]
    fn failures_have_kinds() {
        let exhausted = |last: &str| GenerateError::Exhausted { attempts: 2, last: last.into() };
        let refused = |body: &str| GenerateError::Refused { status: 400, body: body.into() };
        for (error, expected) in [
            (exhausted("operation timed out"), "timeout"),
            (exhausted("503"), "server error"),
            (refused("This model's maximum context length is 4096 tokens"), "context overflow"),
            (refused("unknown model"), "refused"),
            (GenerateError::Malformed { reason: "no JSON".into(), body: "<html>".into() }, "malformed answer"),
            (GenerateError::Failed("stopped".into()), "engine error"),
            (GenerateError::Invalid("no prompt".into()), "invalid request"),
        ] {
            assert_eq!(kind(&error), expected, "{error}");
        }
    }

    #[test]
    fn choices_among_reported_tokens() {
        let places = [place(&[("A", -1.0), (" A", -1.0), ("B", -3.0), ("The", -4.0)]), place(&[("B", 0.0)])];
        let found = of_choices(&places, &["A", "B"]).unwrap();
        assert!((found[0] - (-1.0 + 2.0_f64.ln())).abs() < 1e-6 && (found[1] + 3.0).abs() < 1e-6);
        // The one that is not told is no likelier than the least likely one that is.
        assert_eq!(of_choices(&places, &["A", "C"]).unwrap()[1], -4.0);
        assert_eq!(of_choices(&places, &["x", "y"]), None);
        assert_eq!(of_choices(&[], &["x", "y"]), None);
    }
}
