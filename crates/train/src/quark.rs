//! Quark: the policy learns what answers of each quality look like, and is asked for the best.
//!
//! One step is one round: answers are drawn behind the label of the best bin, rewarded and put into a pool of the latest
//! prompts; the whole pool is sorted into bins by reward; as many prompts of it as the round had, drawn at random, are learned,
//! each answer behind the label of its bin. In the long run an answer is learned once. The method is
//! [`quantiles`](camelid_objectives::selection::quantiles).

use std::collections::VecDeque;

use camelid_model::{Engine, Want};
use camelid_objectives::reinforcement::group::{self, Deviation};
use camelid_objectives::reinforcement::shaping::Shaping;
use camelid_objectives::selection::quantiles;
use camelid_objectives::{Metric, Outcome, Reduced};
use camelid_text::{Encoded, Forest};

use crate::TrainError;
use crate::order::{permutation, stream};
use crate::preference::in_target_order;
use crate::rollout::{RolledOut, Rollout, Rollouts, Sampled, distinct, judged, of_tokens, rewarded, rollouts};
use crate::task::{Example, Label, Purpose, Rolled, Round, Task, targets_of_branches};

/// Prompts whose answers are learned behind the label of their bin. An example's sequences are the plain prompt, then the prompt
/// behind each label, the worst first.
pub struct QuarkTask {
    /// `β`; 0 needs no reference.
    pub kl_coefficient: f64,
    /// The forward pass that the first policy's log-probabilities come from.
    pub reference: Want,
    /// Prompts that are remembered with their answers.
    pub pool_size: usize,
    pub seed: u64,
    /// Of the answer as a whole; its KL penalty is not read.
    pub shaping: Shaping,
    pub rollouts: Rollouts,
    pool: VecDeque<Pooled>,
}

/// A prompt and what it was answered.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pooled {
    record: u32,
    /// The prompt's tokens behind each label.
    prompts: Vec<Vec<u32>>,
    answers: Vec<PooledAnswer>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct PooledAnswer {
    tokens: Vec<u32>,
    reward: f64,
    /// Log-probability of each token under the first policy, behind the plain prompt; may be empty.
    reference: Vec<f32>,
}

impl QuarkTask {
    /// With an empty pool; see the fields.
    pub fn new(
        kl_coefficient: f64,
        reference: Want,
        pool_size: usize,
        seed: u64,
        shaping: Shaping,
        rollouts: Rollouts,
    ) -> Self {
        Self { kl_coefficient, reference, pool_size, seed, shaping, rollouts, pool: VecDeque::new() }
    }

    /// Puts a round's answers into the pool; the oldest leave it.
    fn remember(
        &mut self,
        engine: &mut dyn Engine,
        round: &Round<'_>,
        groups: Vec<Vec<Sampled>>,
        rewards: &[Vec<f64>],
    ) -> Result<(), TrainError> {
        let answered: Vec<Example> =
            groups.into_iter().zip(rewards).map(|(group, rewards)| rewarded(group, rewards)).collect();
        let references = if self.kl_coefficient > 0.0 {
            of_tokens(engine, &answered.iter().collect::<Vec<_>>(), self.reference, round.token_budget)?
        } else {
            answered.iter().map(|example| vec![Vec::new(); example.sequences.len()]).collect()
        };
        for (((asked, answered), rewards), references) in
            round.examples.iter().zip(answered).zip(rewards).zip(references)
        {
            let answer = |((sequence, &reward), reference): ((&Encoded, &f64), Vec<f32>)| PooledAnswer {
                tokens: sequence.tokens[sequence.tokens.len() - sequence.trained()..].to_vec(),
                reward,
                reference,
            };
            let answers = answered.sequences.iter().zip(rewards).zip(references).map(answer).collect();
            let prompts = asked.sequences.iter().skip(1).map(|prompt| prompt.tokens.clone()).collect();
            self.pool.push_back(Pooled { record: asked.record(), prompts, answers });
        }
        while self.pool.len() > self.pool_size.max(1) {
            self.pool.pop_front();
        }
        Ok(())
    }

    /// So many prompts of the pool, drawn at random, each answer behind the label of its bin.
    fn learned(&self, step: u64, count: usize, bins: usize) -> Vec<Example> {
        let rewards: Vec<f64> =
            self.pool.iter().flat_map(|pooled| pooled.answers.iter().map(|answer| answer.reward)).collect();
        let mut assigned = quantiles::assign(&rewards, bins).into_iter();
        let binned: Vec<Vec<usize>> =
            self.pool.iter().map(|pooled| assigned.by_ref().take(pooled.answers.len()).collect()).collect();
        let drawn = permutation(self.pool.len(), stream(self.seed, &format!("pool {step}")));
        drawn.into_iter().take(count).map(|place| self.pool[place].behind(&binned[place])).collect()
    }
}

impl Pooled {
    /// Each answer behind the prompt with the label of its bin.
    fn behind(&self, bins: &[usize]) -> Example {
        let sequence = |(answer, &bin): (&PooledAnswer, &usize)| {
            let prompt = self.prompts.get(bin).map(Vec::as_slice).unwrap_or_default();
            let weights = prompt.iter().map(|_| 0.0).chain(answer.tokens.iter().map(|_| 1.0)).collect();
            Encoded { tokens: [prompt, &answer.tokens].concat(), weights, record: self.record }
        };
        let rollout = |answer: &PooledAnswer| Rollout {
            reference: answer.reference.clone(),
            reward: answer.reward,
            ..Rollout::default()
        };
        Example {
            sequences: self.answers.iter().zip(bins).map(sequence).collect(),
            label: Label::Sampled(self.answers.iter().map(rollout).collect()),
        }
    }

    /// All of it as numbers, each list behind its length.
    fn write(&self, numbers: &mut Vec<f64>) {
        let mut tokens = |list: &[u32]| {
            numbers.push(list.len() as f64);
            numbers.extend(list.iter().map(|&token| f64::from(token)));
        };
        tokens(&[self.record, self.prompts.len() as u32, self.answers.len() as u32]);
        self.prompts.iter().for_each(|prompt| tokens(prompt));
        for answer in &self.answers {
            numbers.push(answer.tokens.len() as f64);
            numbers.extend(answer.tokens.iter().map(|&token| f64::from(token)));
            numbers.extend([answer.reward, answer.reference.len() as f64]);
            numbers.extend(answer.reference.iter().map(|&log_prob| f64::from(log_prob)));
        }
    }

    /// What [`Self::write`] wrote; `None` where the numbers end early.
    fn read(numbers: &mut impl Iterator<Item = f64>) -> Option<Self> {
        let tokens = |numbers: &mut dyn Iterator<Item = f64>| -> Option<Vec<u32>> {
            let count = numbers.next()? as usize;
            (0..count).map(|_| numbers.next().map(|token| token as u32)).collect()
        };
        let head = tokens(numbers)?;
        let &[record, prompts, answers] = head.as_slice() else { return None };
        let prompts = (0..prompts).map(|_| tokens(numbers)).collect::<Option<_>>()?;
        let mut answer = || {
            let tokens = tokens(numbers)?;
            let reward = numbers.next()?;
            let count = numbers.next()? as usize;
            let reference =
                (0..count).map(|_| numbers.next().map(|log_prob| log_prob as f32)).collect::<Option<_>>()?;
            Some(PooledAnswer { tokens, reward, reference })
        };
        let answers = (0..answers).map(|_| answer()).collect::<Option<_>>()?;
        Some(Self { record, prompts, answers })
    }
}

impl Task for QuarkTask {
    fn roll_out(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<Option<Rolled>, TrainError> {
        // The best bin's label is the last.
        let best = round.examples.first().map_or(0, |example| example.sequences.len().saturating_sub(1));
        let RolledOut { groups, mut metrics } = self.rollouts.sample_behind(engine, round, best)?;
        let rewards: Vec<Vec<f64>> =
            groups.iter().map(|group| group.iter().map(|answer| answer.total(&self.shaping)).collect()).collect();
        metrics.extend(group::advantages(&rewards, Deviation::One).metrics);
        if round.purpose == Purpose::Evaluation {
            let examples = groups.into_iter().zip(&rewards).map(|(group, rewards)| rewarded(group, rewards)).collect();
            return Ok(Some(Rolled { examples, metrics }));
        }
        metrics.push(distinct(&groups));
        self.remember(engine, round, groups, &rewards)?;
        let all = self.pool.iter().flat_map(|pooled| &pooled.answers);
        let (sum, count) = all.fold((0.0, 0.0), |(sum, count), answer| (sum + answer.reward, count + 1.0));
        metrics.push(Metric::new("pool/answers", Reduced::new(count, 1.0)));
        metrics.push(Metric::new("pool/reward", Reduced::new(sum, count)));
        Ok(Some(Rolled { examples: self.learned(round.step, round.examples.len(), best), metrics }))
    }

    fn rollouts(&mut self) -> Option<&mut Rollouts> {
        Some(&mut self.rollouts)
    }

    fn state(&self) -> Vec<f64> {
        let mut numbers = Vec::new();
        for pooled in &self.pool {
            pooled.write(&mut numbers);
        }
        numbers
    }

    fn restore(&mut self, state: &[f64]) {
        let mut numbers = state.iter().copied();
        self.pool = std::iter::from_fn(|| Pooled::read(&mut numbers)).collect();
    }

    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        if !want.gradients {
            return judged(examples);
        }
        let log_probs = engine.forward(forest, want)?.log_probs;
        let targets = targets_of_branches(forest);
        let policy: Vec<f32> = targets.iter().flatten().map(|&target| log_probs[target]).collect();
        let reference: Vec<f32> =
            rollouts(examples)?.into_iter().flat_map(|rollout| rollout.reference.iter().copied()).collect();
        Ok(in_target_order(quantiles::loss(&policy, &reference, self.kl_coefficient), &targets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_survives_its_numbers() {
        let answer = |tokens: &[u32], reward, reference: &[f32]| PooledAnswer {
            tokens: tokens.to_vec(),
            reward,
            reference: reference.to_vec(),
        };
        let pool = [
            Pooled {
                record: 7,
                prompts: vec![vec![1, 2], vec![3]],
                answers: vec![answer(&[4, u32::MAX], 0.1, &[-0.3, -1e-7]), answer(&[], -2.0, &[])],
            },
            Pooled { record: 0, prompts: Vec::new(), answers: vec![answer(&[9], 1.0 / 3.0, &[])] },
        ];
        let mut numbers = Vec::new();
        for pooled in &pool {
            pooled.write(&mut numbers);
        }
        let mut read = numbers.iter().copied();
        assert_eq!([Pooled::read(&mut read).unwrap(), Pooled::read(&mut read).unwrap()], pool);
        assert_eq!(Pooled::read(&mut read), None);
        assert_eq!(Pooled::read(&mut numbers[..9].iter().copied()), None);
    }
}
