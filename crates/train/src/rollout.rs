//! Answers that the policy gives during training, and what they are given for them.
//!
//! Answers come from the policy itself, in this process and with the same kernels: the log-probabilities that the generator reports
//! are, bit for bit, those that the first forward pass of training computes. They are drawn from the policy's own
//! distribution (temperature 1, nothing cut): what is sampled is what is optimised. Draws depend on the run's seed and the
//! step alone, so a run that was killed goes on as if it had not been.

use std::collections::HashSet;

use camelid_generate::engine::Answered;
use camelid_generate::{Finish, Request, Sampling, StopRules};
use camelid_model::{Engine, Values, Want};
use camelid_objectives::reinforcement::shaping::{self, Shaping};
use camelid_objectives::{Metric, Outcome, Reduced};
use camelid_text::{Encoded, Text};

use crate::TrainError;
use crate::answerer::Answerer;
use crate::rewards::{Candidate, Given, Rewards};
use crate::task::{Example, Label, Prompt, Purpose, Round, forest, micro_batches, targets_of_branches};

/// How answers are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// Answers to each prompt of a training step; an evaluation has one.
    pub samples: usize,
    /// Tokens of an answer at most.
    pub answer_tokens: usize,
    pub seed: u64,
    pub evaluation: Evaluation,
}

/// How the answers of an evaluation are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evaluation {
    /// The most likely token each time: what users of a model with right answers see.
    #[default]
    Greedy,
    /// As in training, the same draws in every evaluation: estimates of what is optimised.
    Sampled,
}

/// Draws answers and has them rewarded.
pub struct Rollouts {
    pub drawing: Drawing,
    pub text: Text,
    pub rewards: Rewards,
    pub answerer: Answerer,
}

/// An answer, drawn and rewarded.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// Prompt and answer; weights are 1 on the answer's tokens.
    pub sequence: Encoded,
    /// The answer without its stop token.
    pub text: String,
    /// Log-probability of each of its tokens when it was drawn.
    pub log_probs: Vec<f32>,
    /// Whether it ended by itself.
    pub ended: bool,
    pub given: Given,
}

impl Sampled {
    /// What it counts in all, once `shaping` has looked at how it ended. A KL penalty is no part of it.
    pub(crate) fn total(&self, shaping: &Shaping) -> f64 {
        let weights = vec![1.0; self.log_probs.len()];
        let sampled = shaping::Sampled {
            log_probs: &self.log_probs,
            reference: &[],
            weights: &weights,
            score: self.given.score,
            ended: self.ended,
            steps: &self.given.steps,
        };
        shaping::shape(shaping, &sampled).total
    }
}

/// A sampled answer as the policy saw it then; lists have one entry for each of its tokens, or are empty where it says so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// Log-probability of each token when it was drawn.
    pub log_probs: Vec<f32>,
    /// The same under the reference policy; empty if the method needs none.
    pub reference: Vec<f32>,
    /// Whether it ended by itself.
    pub ended: bool,
    pub given: Given,
    /// What each token earns: its penalties, its steps' scores, at the last token the answer's score.
    pub rewards: Vec<f64>,
    pub advantages: Vec<f64>,
    /// What a value model said before each token; empty without one.
    pub values: Vec<f32>,
    /// What it should have said.
    pub returns: Vec<f64>,
    /// In all, shaping included.
    pub reward: f64,
}

/// What a round gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RolledOut {
    /// Answers to each of the round's prompts.
    pub groups: Vec<Vec<Sampled>>,
    /// Means over all answers.
    pub metrics: Vec<Metric>,
}

impl Rollouts {
    /// Draws and rewards answers to every prompt of a round.
    pub fn sample(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<RolledOut, TrainError> {
        self.sample_behind(engine, round, 0)
    }

    /// The same where the policy goes on with another of each example's sequences, such as the prompt behind a label. What
    /// comes back, and what rewards see, stands behind the first.
    pub(crate) fn sample_behind(
        &mut self,
        engine: &mut dyn Engine,
        round: &Round<'_>,
        sequence: usize,
    ) -> Result<RolledOut, TrainError> {
        self.answer(engine, round, self.requests(round, sequence))
    }

    /// The most likely answer to every prompt of a round.
    pub(crate) fn greedy(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<RolledOut, TrainError> {
        let requests = round.examples.iter().map(|example| self.request(example, 0, 1, Sampling::greedy())).collect();
        self.answer(engine, round, requests)
    }

    fn answer(
        &mut self,
        engine: &mut dyn Engine,
        round: &Round<'_>,
        requests: Vec<Request>,
    ) -> Result<RolledOut, TrainError> {
        let prompts: Vec<&Prompt> = round.examples.iter().map(|example| prompt(example)).collect::<Result<_, _>>()?;
        let records: Vec<u32> = round.examples.iter().map(|example| example.record()).collect();
        let (answers, of_answerer) =
            self.answerer.answer(engine, &self.text, requests, &records, round.token_budget)?;
        let mut metrics = lengths(&answers);
        metrics.extend(of_answerer);
        let mut groups: Vec<Vec<Sampled>> = round
            .examples
            .iter()
            .zip(answers)
            .map(|(example, answers)| answers.into_iter().map(|answer| sampled(example, answer)).collect())
            .collect();
        let candidates: Vec<Candidate<'_>> = prompts
            .iter()
            .zip(&groups)
            .flat_map(|(prompt, group)| group.iter().map(|answer| candidate(prompt, answer)))
            .collect();
        let (given, of_rewards) = self.rewards.of(&candidates)?;
        metrics.extend(of_rewards);
        for (answer, given) in groups.iter_mut().flatten().zip(given) {
            answer.given = given;
        }
        Ok(RolledOut { groups, metrics })
    }

    fn requests(&self, round: &Round<'_>, sequence: usize) -> Vec<Request> {
        let Drawing { samples, seed, evaluation, .. } = self.drawing;
        let request = |(place, example): (usize, &&Example)| {
            let sampling = match (round.purpose, evaluation) {
                (Purpose::Training, _) => Sampling::plain(draw_seed(seed, "rollout", round.step, place as u64)),
                (Purpose::Evaluation, Evaluation::Greedy) => Sampling::greedy(),
                (Purpose::Evaluation, Evaluation::Sampled) => {
                    Sampling::plain(draw_seed(seed, "evaluation", 0, place as u64))
                }
            };
            let samples = if round.purpose == Purpose::Training { samples } else { 1 };
            self.request(example, sequence, samples, sampling)
        };
        round.examples.iter().enumerate().map(request).collect()
    }

    fn request(&self, example: &Example, sequence: usize, samples: usize, sampling: Sampling) -> Request {
        Request {
            prompt: example.sequences.get(sequence).map(|sequence| sequence.tokens.clone()).unwrap_or_default(),
            samples,
            max_tokens: self.drawing.answer_tokens,
            sampling,
            stop: StopRules::default(),
            choices: Vec::new(),
            top_log_probs: 0,
            prompt_log_probs: false,
        }
    }
}

/// What an example asks.
pub(crate) fn prompt(example: &Example) -> Result<&Prompt, TrainError> {
    match &example.label {
        Label::Prompt(prompt) => Ok(prompt),
        _ => Err(TrainError::Data {
            reason: format!("record {} is no prompt", example.record() + 1),
            fix: "give this stage prompts, or demonstrations whose last answers are expected".into(),
        }),
    }
}

/// The rollouts of all examples, in the order of a forest's branches.
pub(crate) fn rollouts<'a>(examples: &[&'a Example]) -> Result<Vec<&'a Rollout>, TrainError> {
    let mut all = Vec::new();
    for example in examples {
        let Label::Sampled(rollouts) = &example.label else {
            return Err(TrainError::Data {
                reason: format!("record {} was not sampled", example.record() + 1),
                fix: "this is a defect of the trainer: please report it".into(),
            });
        };
        all.extend(rollouts);
    }
    Ok(all)
}

/// Answers to one prompt, each with what it was rewarded, as what is trained on or judged.
pub(crate) fn rewarded(group: Vec<Sampled>, rewards: &[f64]) -> Example {
    let rollout = |(answer, &reward): (&Sampled, &f64)| Rollout {
        log_probs: answer.log_probs.clone(),
        reward,
        ..Rollout::default()
    };
    let label = Label::Sampled(group.iter().zip(rewards).map(rollout).collect());
    Example { sequences: group.into_iter().map(|answer| answer.sequence).collect(), label }
}

/// Held-out prompts are judged by what the policy answers, so a lower "loss" is a higher reward.
pub(crate) fn judged(examples: &[&Example]) -> Result<Outcome, TrainError> {
    let rollouts = rollouts(examples)?;
    let sum: f64 = rollouts.iter().map(|rollout| -rollout.reward).sum();
    Ok(Outcome { loss: Reduced::new(sum, rollouts.len() as f64), ..Outcome::default() })
}

/// Share of the answers to a prompt that no other before them repeats, the mean over prompts.
pub(crate) fn distinct(groups: &[Vec<Sampled>]) -> Metric {
    let (mut shares, mut count) = (0.0, 0.0);
    for group in groups.iter().filter(|group| !group.is_empty()) {
        let tokens: HashSet<&[u32]> = group.iter().map(|answer| answer.sequence.tokens.as_slice()).collect();
        shares += tokens.len() as f64 / group.len() as f64;
        count += 1.0;
    }
    Metric::new("completions/distinct", Reduced::new(shares, count))
}

/// What a forward pass without gradients says of every trained token of each example's sequences: log-probabilities, or values
/// where these are wanted.
pub(crate) fn of_tokens(
    engine: &mut dyn Engine,
    examples: &[&Example],
    want: Want,
    token_budget: usize,
) -> Result<Vec<Vec<Vec<f32>>>, TrainError> {
    let mut all: Vec<Vec<Vec<f32>>> = vec![Vec::new(); examples.len()];
    for batch in micro_batches(examples, token_budget) {
        let part: Vec<&Example> = batch.iter().map(|&index| examples[index]).collect();
        let forest = forest(&part);
        let scores = engine.forward(&forest, want)?;
        let figures = if want.values == Values::Targets { scores.values } else { scores.log_probs };
        let mut branches = targets_of_branches(&forest).into_iter();
        for (&index, example) in batch.iter().zip(&part) {
            let of_branch = |targets: Vec<usize>| targets.into_iter().map(|target| figures[target]).collect();
            all[index] = branches.by_ref().take(example.sequences.len()).map(of_branch).collect();
        }
    }
    Ok(all)
}

fn sampled(example: &Example, answer: Answered) -> Sampled {
    let prompt = example.sequences.first().map(|sequence| sequence.tokens.as_slice()).unwrap_or_default();
    let sequence = Encoded {
        tokens: prompt.iter().copied().chain(answer.tokens.iter().map(|score| score.token)).collect(),
        weights: prompt.iter().map(|_| 0.0).chain(answer.tokens.iter().map(|_| 1.0)).collect(),
        record: example.record(),
    };
    Sampled {
        sequence,
        text: answer.text,
        log_probs: answer.tokens.iter().map(|score| score.log_prob).collect(),
        ended: answer.finish == Some(Finish::Stop),
        given: Given::default(),
    }
}

/// An answer as rewards see it.
pub(crate) fn candidate<'a>(prompt: &'a Prompt, answer: &'a Sampled) -> Candidate<'a> {
    let Sampled { sequence, text, ended, .. } = answer;
    Candidate { prompt, record: sequence.record, sequence, text, ended: *ended }
}

/// Lengths of answers in tokens, and the share that reached the limit.
fn lengths(answers: &[Vec<Answered>]) -> Vec<Metric> {
    let all = || answers.iter().flatten();
    let count = all().count() as f64;
    let total: usize = all().map(|answer| answer.tokens.len()).sum();
    let cut = all().filter(|answer| answer.finish == Some(Finish::Length)).count();
    let longest = all().map(|answer| answer.tokens.len()).max().unwrap_or(0);
    let shortest = all().map(|answer| answer.tokens.len()).min().unwrap_or(0);
    vec![
        Metric::new("completions/mean_length", Reduced::new(total as f64, count)),
        Metric::new("completions/min_length", Reduced::new(shortest as f64, 1.0)),
        Metric::new("completions/max_length", Reduced::new(longest as f64, 1.0)),
        Metric::new("completions/clipped_ratio", Reduced::new(cut as f64, count)),
    ]
}

/// The seed of one prompt's draws.
fn draw_seed(seed: u64, purpose: &str, step: u64, place: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in [seed, step, place] {
        hasher.update(&part.to_le_bytes());
    }
    hasher.update(purpose.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}
