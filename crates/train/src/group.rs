//! Reinforcement learning on groups of samples: GRPO and its kin, without a value model.

use camelid_model::{Engine, Want};
use camelid_objectives::reinforcement::group::{self, Deviation};
use camelid_objectives::reinforcement::policy_gradient::{self, PolicyGradient};
use camelid_objectives::reinforcement::rloo;
use camelid_objectives::reinforcement::shaping::Shaping;
use camelid_objectives::{Metric, Outcome};
use camelid_text::Forest;

use crate::TrainError;
use crate::policy::Tokens;
use crate::preference::in_target_order;
use crate::rollout::{RolledOut, Rollouts, Sampled, judged, rewarded, rollouts, token_log_probs};
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
}

impl Task for GroupTask {
    fn roll_out(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<Option<Rolled>, TrainError> {
        let RolledOut { groups, mut metrics } = self.rollouts.sample(engine, round)?;
        let rewards: Vec<Vec<f64>> =
            groups.iter().map(|group| group.iter().map(|answer| answer.total(&self.shaping)).collect()).collect();
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

    fn rollouts(&mut self) -> Option<&mut Rollouts> {
        Some(&mut self.rollouts)
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
        let rollouts = rollouts(examples)?;
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
    let mut example = rewarded(group, rewards);
    if let Label::Sampled(rollouts) = &mut example.label {
        for (rollout, &advantage) in rollouts.iter_mut().zip(advantages) {
            rollout.advantages = vec![advantage; rollout.log_probs.len()];
        }
    }
    example
}
