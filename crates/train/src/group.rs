//! Reinforcement learning on groups of samples: GRPO and its kin, without a value model.

use camelid_model::{Engine, Want};
use camelid_objectives::reinforcement::group::{self, Deviation};
use camelid_objectives::reinforcement::policy_gradient::{self, PolicyGradient};
use camelid_objectives::reinforcement::rloo;
use camelid_objectives::reinforcement::shaping::{self, Shaping};
use camelid_objectives::{Metric, Outcome, Reduced};
use camelid_text::Forest;

use crate::TrainError;
use crate::policy::Tokens;
use crate::preference::in_target_order;
use crate::rollout::{RolledOut, Rollout, Rollouts, Sampled, rollouts, token_log_probs};
use crate::task::{Example, Label, Purpose, Rolled, Round, Task, targets_of_branches};

/// What a sampled answer is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The group's mean, divided by this deviation.
    Group(Deviation),
    /// The mean of the group's other answers (RLOO).
    LeaveOneOut,
}

/// Prompts under a policy-gradient method.
pub struct GroupTask {
    pub method: PolicyGradient,
    pub baseline: Baseline,
    /// Of the answer as a whole; a KL penalty belongs to the method's loss.
    pub shaping: Shaping,
    pub rollouts: Rollouts,
}

impl GroupTask {
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

    /// What an answer counts in all.
    fn total(&self, answer: &Sampled) -> f64 {
        let weights = vec![1.0; answer.log_probs.len()];
        let sampled = shaping::Sampled {
            log_probs: &answer.log_probs,
            reference: &[],
            weights: &weights,
            score: answer.given.score,
            ended: answer.ended,
            steps: &answer.given.steps,
        };
        shaping::shape(&self.shaping, &sampled).total
    }
}

impl Task for GroupTask {
    fn roll_out(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<Option<Rolled>, TrainError> {
        let RolledOut { groups, mut metrics } = self.rollouts.sample(engine, round)?;
        let rewards: Vec<Vec<f64>> =
            groups.iter().map(|group| group.iter().map(|answer| self.total(answer)).collect()).collect();
        let (advantages, figures) = self.advantages(&rewards);
        metrics.extend(figures);
        let rolled = groups.into_iter().zip(rewards.into_iter().zip(advantages));
        let mut examples: Vec<Example> =
            rolled.map(|(group, (rewards, advantages))| example(group, &rewards, &advantages)).collect();
        if self.method.kl.is_some() && round.purpose == Purpose::Training {
            let want = Want { without_adapter: true, ..Want::default() };
            let references = token_log_probs(engine, &examples.iter().collect::<Vec<_>>(), want, round.token_budget)?;
            for (example, references) in examples.iter_mut().zip(references) {
                let Label::Sampled(rollouts) = &mut example.label else { continue };
                rollouts.iter_mut().zip(references).for_each(|(rollout, reference)| rollout.reference = reference);
            }
        }
        Ok(Some(Rolled { examples, metrics }))
    }

    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError> {
        let rollouts = rollouts(examples)?;
        if !want.gradients {
            // Held-out prompts are judged by what the policy answers, so a lower "loss" is a higher reward.
            let sum: f64 = rollouts.iter().map(|rollout| -rollout.reward).sum();
            return Ok(Outcome { loss: Reduced::new(sum, rollouts.len() as f64), ..Outcome::default() });
        }
        let wants_entropy = self.method.entropy_coefficient != 0.0;
        let scores = engine.forward(forest, Want { entropy: wants_entropy, ..want })?;
        let targets = targets_of_branches(forest);
        let policy = Tokens::of(&scores, &targets);
        let mut outcome = policy_gradient::loss(&self.method, &policy.samples(&rollouts));
        outcome.metrics.push(policy.mismatch(&rollouts));
        Ok(in_target_order(outcome, &targets))
    }
}

/// A prompt's answers, ready to be trained on.
fn example(group: Vec<Sampled>, rewards: &[f64], advantages: &[f64]) -> Example {
    let rollout = |(answer, (&reward, &advantage)): (&Sampled, (&f64, &f64))| Rollout {
        log_probs: answer.log_probs.clone(),
        advantages: vec![advantage; answer.log_probs.len()],
        reward,
        ..Rollout::default()
    };
    let label = Label::Sampled(group.iter().zip(rewards.iter().zip(advantages)).map(rollout).collect());
    Example { sequences: group.into_iter().map(|answer| answer.sequence).collect(), label }
}
