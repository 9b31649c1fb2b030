//! Reinforcement learning on groups of samples: GRPO and its kin, with rewards that can be checked.
//!
//! Every step samples a group of answers to each prompt from the policy itself, in this process and with the same kernels: the
//! log-probabilities that the generator reports are, bit for bit, those that the first forward pass of training computes,
//! so the ratio starts at exactly 1. Answers are drawn from the policy's own distribution (temperature 1, nothing cut):
//! what is sampled is what is optimised. Draws depend on the run's seed and the step alone, so a run that was killed goes on as
//! if it had not been.

use camelid_generate::engine::{Limits, Unanswered, answer_all};
use camelid_generate::{Finish, Request, Sampling, StopRules};
use camelid_model::{Engine, Want};
use camelid_objectives::reinforcement::group::{self, Deviation};
use camelid_objectives::reinforcement::policy_gradient::{self, PolicyGradient, Sample};
use camelid_objectives::reinforcement::rloo;
use camelid_objectives::reward::checker::Checker;
use camelid_objectives::{Metric, Outcome, Reduced};
use camelid_text::{Encoded, Forest, Text};

use crate::TrainError;
use crate::preference::in_target_order;
use crate::task::{Example, Label, Purpose, Task, targets_of_branches};

/// What a sampled answer is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The group's mean, divided by this deviation.
    Group(Deviation),
    /// The mean of the group's other answers (RLOO).
    LeaveOneOut,
}

/// How answers are sampled and judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollouts {
    /// Answers to each prompt.
    pub samples: usize,
    /// Tokens of an answer at most.
    pub answer_tokens: usize,
    pub checker: Checker,
    /// Taken from the reward of an answer that did not end by itself.
    pub missing_end_penalty: f64,
    pub seed: u64,
}

/// Prompts under a policy-gradient method.
pub struct GroupTask {
    pub method: PolicyGradient,
    pub baseline: Baseline,
    pub rollouts: Rollouts,
    pub text: Text,
    /// Figures of the step's samples, told with its first micro-batch.
    figures: Vec<Metric>,
}

/// A sampled answer, as the policy saw it then.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// Log-probability of each token when it was sampled.
    pub log_probs: Vec<f32>,
    pub reward: f64,
    pub advantage: f64,
}

impl GroupTask {
    pub fn new(method: PolicyGradient, baseline: Baseline, rollouts: Rollouts, text: Text) -> Self {
        Self { method, baseline, rollouts, text, figures: Vec::new() }
    }

    fn requests(&self, examples: &[&Example], step: u64, purpose: Purpose) -> Vec<Request> {
        let request = |(place, example): (usize, &&Example)| {
            let prompt = example.sequences.first().map(|sequence| sequence.tokens.clone()).unwrap_or_default();
            let sampling = match purpose {
                Purpose::Training => Sampling::plain(draw_seed(self.rollouts.seed, step, place as u64)),
                Purpose::Evaluation => Sampling::greedy(),
            };
            Request {
                prompt,
                samples: if purpose == Purpose::Training { self.rollouts.samples } else { 1 },
                max_tokens: self.rollouts.answer_tokens,
                sampling,
                stop: StopRules::default(),
                choices: Vec::new(),
                top_log_probs: 0,
                prompt_log_probs: false,
            }
        };
        examples.iter().enumerate().map(request).collect()
    }

    fn advantages(&self, rewards: &[Vec<f64>]) -> (Vec<Vec<f64>>, Vec<Metric>) {
        let deviation = match self.baseline {
            Baseline::Group(deviation) => deviation,
            Baseline::LeaveOneOut => Deviation::One,
        };
        let groups = group::advantages(rewards, deviation);
        match self.baseline {
            Baseline::Group(_) => (groups.advantages, groups.metrics),
            Baseline::LeaveOneOut => (rewards.iter().map(|group| rloo::advantages(group)).collect(), groups.metrics),
        }
    }
}

/// The seed of one prompt's samples in one step.
fn draw_seed(seed: u64, step: u64, place: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in [seed, step, place] {
        hasher.update(&part.to_le_bytes());
    }
    hasher.update(b"rollout");
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Room for the samples of `requests`: all of them at once where that is not much.
fn limits(requests: &[Request]) -> Limits {
    const BLOCK: usize = 64;
    const MOST: usize = 32_768;
    let need = |request: &Request| {
        BLOCK * (request.prompt.len().div_ceil(BLOCK) + request.samples * request.max_tokens.div_ceil(BLOCK))
    };
    let largest = requests.iter().map(need).max().unwrap_or(0);
    let all = requests.iter().map(need).sum::<usize>();
    let context = requests.iter().map(|request| request.prompt.len() + request.max_tokens).max().unwrap_or(0);
    let samples = requests.iter().map(|request| request.samples).sum::<usize>().clamp(1, 128);
    let most_samples = requests.iter().map(|request| request.samples).max().unwrap_or(1);
    Limits {
        context,
        cache_tokens: all.min(MOST).max(largest),
        samples: samples.max(most_samples),
        prompt_tokens: 1024,
    }
}

impl Task for GroupTask {
    fn roll_out(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        step: u64,
        purpose: Purpose,
    ) -> Result<Option<Vec<Example>>, TrainError> {
        let requests = self.requests(examples, step, purpose);
        let limits = limits(&requests);
        let answers = answer_all(engine, &self.text, limits, requests, &mut |_| {}).map_err(|error| match error {
            Unanswered::Model(error) => TrainError::from(error),
            Unanswered::Refused { index, refusal } => TrainError::Data {
                reason: format!("record {}: {refusal}", examples[index].record() + 1),
                fix: "shorten or remove the record".into(),
            },
        })?;
        let (mut lengths, mut cut) = (Reduced::default(), Reduced::default());
        let mut rewards = Vec::with_capacity(examples.len());
        for (example, answers) in examples.iter().zip(&answers) {
            let Label::Expected(expected) = &example.label else { return Err(no_answer(example)) };
            let reward = |answer: &camelid_generate::engine::Answered| {
                let ended = answer.finish == Some(Finish::Stop);
                let penalty = if ended { 0.0 } else { self.rollouts.missing_end_penalty };
                self.rollouts.checker.reward(&answer.text, expected) - penalty
            };
            for answer in answers {
                lengths += Reduced::new(answer.tokens.len() as f64, 1.0);
                cut += Reduced::new(f64::from(u8::from(answer.finish == Some(Finish::Length))), 1.0);
            }
            rewards.push(answers.iter().map(reward).collect::<Vec<f64>>());
        }
        let (advantages, mut figures) = self.advantages(&rewards);
        figures.push(Metric { name: "completions/mean_length", value: lengths });
        figures.push(Metric { name: "completions/clipped_ratio", value: cut });
        self.figures = figures;
        let groups = examples.iter().zip(answers).zip(rewards.iter().zip(advantages));
        let rolled = groups.map(|((example, answers), (rewards, advantages))| {
            let prompt = example.sequences.first().map(|sequence| sequence.tokens.as_slice()).unwrap_or_default();
            let sequence = |answer: &camelid_generate::engine::Answered| Encoded {
                tokens: prompt.iter().copied().chain(answer.tokens.iter().map(|score| score.token)).collect(),
                weights: prompt.iter().map(|_| 0.0).chain(answer.tokens.iter().map(|_| 1.0)).collect(),
                record: example.record(),
            };
            let rollout = |(answer, (&reward, advantage)): (&camelid_generate::engine::Answered, (&f64, f64))| {
                Rollout { log_probs: answer.tokens.iter().map(|score| score.log_prob).collect(), reward, advantage }
            };
            Example {
                sequences: answers.iter().map(sequence).collect(),
                label: Label::Sampled(answers.iter().zip(rewards.iter().zip(advantages)).map(rollout).collect()),
            }
        });
        Ok(Some(rolled.collect()))
    }

    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        let figures = std::mem::take(&mut self.figures);
        let rollouts = rollouts(examples)?;
        if !want.gradients {
            // Held-out prompts are judged by what the policy answers, so a lower "loss" is a higher reward.
            let sum: f64 = rollouts.iter().map(|rollout| -rollout.reward).sum();
            let loss = Reduced::new(sum, rollouts.len() as f64);
            return Ok(Outcome { loss, metrics: figures, ..Outcome::default() });
        }
        let reference = match self.method.kl {
            Some(_) => engine.forward(forest, Want { without_adapter: true, ..Want::default() })?.log_probs,
            None => Vec::new(),
        };
        let wants_entropy = self.method.entropy_coefficient != 0.0;
        let scores = engine.forward(forest, Want { entropy: wants_entropy, ..want })?;
        let targets = targets_of_branches(forest);
        let pick = |values: &[f32], targets: &[usize]| -> Vec<f32> {
            if values.is_empty() { Vec::new() } else { targets.iter().map(|&target| values[target]).collect() }
        };
        let of_branches: Vec<[Vec<f32>; 3]> = targets
            .iter()
            .map(|targets| [&scores.log_probs, &reference, &scores.entropies].map(|values| pick(values, targets)))
            .collect();
        let advantages: Vec<Vec<f64>> =
            rollouts.iter().map(|rollout| vec![rollout.advantage; rollout.log_probs.len()]).collect();
        let weights: Vec<Vec<f32>> = rollouts.iter().map(|rollout| vec![1.0; rollout.log_probs.len()]).collect();
        let samples: Vec<Sample<'_>> = of_branches
            .iter()
            .zip(&rollouts)
            .zip(advantages.iter().zip(&weights))
            .map(|(([log_probs, reference, entropies], rollout), (advantages, weights))| Sample {
                log_probs,
                old_log_probs: &rollout.log_probs,
                advantages,
                weights,
                reference,
                entropies,
            })
            .collect();
        let mut outcome = policy_gradient::loss(&self.method, &samples);
        let differences = samples.iter().flat_map(|sample| sample.log_probs.iter().zip(sample.old_log_probs));
        let difference: f64 = differences.map(|(new, old)| f64::from((new - old).abs())).sum();
        let tokens = scores.log_probs.len() as f64;
        outcome
            .metrics
            .push(Metric { name: "sampling/sampling_logp_difference/mean", value: Reduced::new(difference, tokens) });
        outcome.metrics.extend(figures);
        Ok(in_target_order(outcome, &targets))
    }
}

fn no_answer(example: &Example) -> TrainError {
    TrainError::Data {
        reason: format!("record {} has no expected answer", example.record() + 1),
        fix: "give this stage prompts with the answers that are right".into(),
    }
}

/// The samples of all examples, in the order of the forest's branches.
fn rollouts<'a>(examples: &[&'a Example]) -> Result<Vec<&'a Rollout>, TrainError> {
    let mut all = Vec::new();
    for example in examples {
        let Label::Sampled(rollouts) = &example.label else { return Err(no_answer(example)) };
        all.extend(rollouts);
    }
    Ok(all)
}
