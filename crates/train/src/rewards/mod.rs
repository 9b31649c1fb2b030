//! What a sampled answer is worth: terms that are weighed and added, each told apart in the metrics.
//!
//! A [`Reward`] sees all answers of a round at once, those to one prompt beside each other, so that a model can compute what they
//! share once. It may give a score for the whole answer and scores for single tokens of it. To add a reward, copy
//! `length.rs` or `checker.rs`.

mod checker;
mod judge;
mod length;
mod model;
mod pattern;
mod sentiment;
mod steps;

use camelid_objectives::{Metric, Reduced};
use camelid_text::Encoded;

use crate::TrainError;
use crate::task::Prompt;

pub use checker::CheckerReward;
pub use judge::{JudgeReward, Unparsed, Wording};
pub use length::LengthReward;
pub use model::ModelReward;
pub use pattern::PatternReward;
pub use sentiment::SentimentReward;
pub use steps::{StepsGiven, StepsReward};

/// An answer as rewards see it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub prompt: &'a Prompt,
    /// Index of the prompt's record.
    pub record: u32,
    /// Prompt and answer, the stop token included; weights are 1 on the answer's tokens and 0 before.
    pub sequence: &'a Encoded,
    /// The answer without its stop token.
    pub text: &'a str,
    /// Whether it ended by itself.
    pub ended: bool,
}

impl Candidate<'_> {
    /// Tokens of the answer, the stop token included.
    pub fn answer_tokens(&self) -> usize {
        self.sequence.trained()
    }
}

/// What an answer was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// For the answer as a whole; it stands at the last token.
    pub score: f64,
    /// (token of the answer, score) of single steps.
    pub steps: Vec<(usize, f64)>,
}

impl Given {
    pub fn total(&self) -> f64 {
        self.score + self.steps.iter().map(|(_, score)| score).sum::<f64>()
    }
}

impl From<f64> for Given {
    fn from(score: f64) -> Self {
        Self { score, steps: Vec::new() }
    }
}

/// Something that says how good answers are.
pub trait Reward {
    /// What metrics call it: `rewards/NAME/mean`.
    fn name(&self) -> &str;

    /// One for each candidate, in their order.
    fn rewards(&mut self, candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError>;

    /// What else is to be known of the last round, under names that begin with `rewards/NAME/`.
    fn metrics(&mut self) -> Vec<Metric> {
        Vec::new()
    }

    /// Whether prompts must come with the answer that is right.
    fn needs_expected(&self) -> bool {
        false
    }
}

/// A reward and how much it counts.
pub struct Term {
    pub weight: f64,
    pub reward: Box<dyn Reward>,
}

/// The sum of its terms.
pub struct Rewards {
    pub terms: Vec<Term>,
}

impl Rewards {
    /// What each candidate is given in all, and mean and deviation of every term before it is weighed.
    pub fn of(&mut self, candidates: &[Candidate<'_>]) -> Result<(Vec<Given>, Vec<Metric>), TrainError> {
        let mut sums = vec![Given::default(); candidates.len()];
        let mut metrics = Vec::new();
        for Term { weight, reward } in &mut self.terms {
            let given = reward.rewards(candidates)?;
            if given.len() != candidates.len() {
                return Err(TrainError::Data {
                    reason: format!(
                        "the reward {} scored {} of {} answers",
                        reward.name(),
                        given.len(),
                        candidates.len()
                    ),
                    fix: "this is a defect of the reward: please report it".into(),
                });
            }
            let totals: Vec<f64> = given.iter().map(Given::total).collect();
            if let Some(place) = totals.iter().position(|total| !total.is_finite()) {
                return Err(TrainError::Data {
                    reason: format!(
                        "the reward {} gives {} to an answer to record {}: {:?}",
                        reward.name(),
                        totals[place],
                        candidates[place].record + 1,
                        candidates[place].text.chars().take(80).collect::<String>()
                    ),
                    fix: "check the reward with this answer; it must be a finite number".into(),
                });
            }
            metrics.extend(figures(reward.name(), &totals));
            metrics.extend(reward.metrics());
            for (sum, given) in sums.iter_mut().zip(given) {
                sum.score += *weight * given.score;
                sum.steps.extend(given.steps.into_iter().map(|(token, score)| (token, *weight * score)));
            }
        }
        Ok((sums, metrics))
    }
}

/// Mean and (population) deviation of one term.
fn figures(name: &str, totals: &[f64]) -> [Metric; 2] {
    let count = totals.len() as f64;
    let sum: f64 = totals.iter().sum();
    let mean = sum / count.max(1.0);
    let variance = totals.iter().map(|total| (total - mean).powi(2)).sum::<f64>() / count.max(1.0);
    [
        Metric::new(format!("rewards/{name}/mean"), Reduced::new(sum, count)),
        Metric::new(format!("rewards/{name}/std"), Reduced::new(variance.sqrt() * count, count)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Asked;

    struct Fixed(Vec<Given>);

    impl Reward for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }

        fn rewards(&mut self, _candidates: &[Candidate<'_>]) -> Result<Vec<Given>, TrainError> {
            Ok(self.0.clone())
        }
    }

    fn of(terms: Vec<(f64, Vec<Given>)>) -> Result<(Vec<Given>, Vec<Metric>), TrainError> {
        let prompt = Prompt { asked: Asked::Text("q".into()), expected: None };
        let sequence = Encoded { tokens: vec![1, 2], weights: vec![0.0, 1.0], record: 6 };
        let candidate = Candidate { prompt: &prompt, record: 6, sequence: &sequence, text: "a", ended: true };
        let terms = terms.into_iter().map(|(weight, given)| Term { weight, reward: Box::new(Fixed(given)) });
        Rewards { terms: terms.collect() }.of(&[candidate; 2])
    }

    #[test]
    fn terms_are_weighed_and_added() {
        let steps = Given { score: 1.0, steps: vec![(0, 2.0)] };
        let (given, metrics) =
            of(vec![(2.0, vec![1.0.into(), 3.0.into()]), (0.5, vec![steps, Given::default()])]).unwrap();
        assert_eq!(given[0], Given { score: 2.5, steps: vec![(0, 1.0)] });
        assert_eq!(given[1].total(), 6.0);
        let figures: Vec<f64> = metrics.iter().map(|metric| metric.value.mean().unwrap()).collect();
        assert_eq!(figures, [2.0, 1.0, 1.5, 1.5]);
        assert_eq!(metrics[0].name, "rewards/fixed/mean");
    }

    #[test]
    fn a_reward_that_is_no_number_names_record_and_answer() {
        let message = of(vec![(1.0, vec![1.0.into(), f64::NAN.into()])]).unwrap_err().to_string();
        assert!(message.contains("fixed gives NaN to an answer to record 7: \"a\""), "{message}");
        assert!(of(vec![(1.0, vec![1.0.into()])]).is_err());
    }
}
