//! Reinforcement learning on groups of samples: GRPO and its kin, without a value model.

use camelid_model::{Engine, Want};
use camelid_objectives::reinforcement::group::{self, Deviation};
use camelid_objectives::reinforcement::policy_gradient::{self, PolicyGradient};
use camelid_objectives::reinforcement::process::{self, Steps};
use camelid_objectives::reinforcement::shaping::{Shaped, Shaping};
use camelid_objectives::reinforcement::{reinforce_plus_plus, remax, rloo};
use camelid_objectives::{Metric, Outcome};
use camelid_text::Forest;

use crate::TrainError;
use crate::policy::Tokens;
use crate::preference::in_target_order;
use crate::rollout::{Evaluation, RolledOut, Rollouts, judged, rollouts};
use crate::round::{answers, example, objective, refer, reward, rollouts_mut};
use crate::task::{Example, Purpose, Rolled, Round, Task, targets_of_branches};

/// What a sampled answer is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The group's mean, divided by this deviation; rewards of steps, that of all steps of the group.
    Group(Deviation),
    /// The mean of the group's other answers (RLOO).
    LeaveOneOut,
    /// What the most likely answer to the prompt is worth (`ReMax`).
    Greedy,
    /// What tokens of the step have to expect on average, divided by their deviation (REINFORCE++).
    Step {
        /// First, what an answer is given is taken relative to the mean of its group.
        of_groups: bool,
    },
}

/// Prompts under a policy-gradient method.
pub struct GroupTask {
    pub method: PolicyGradient,
    pub baseline: Baseline,
    /// A KL penalty is either here, in the reward, or in the method's loss.
    pub shaping: Shaping,
    /// The forward pass that is the reference policy; asked only where there is a penalty.
    pub reference: Want,
    pub rollouts: Rollouts,
}

impl GroupTask {
    /// Fills in advantages.
    fn judge(
        &mut self,
        engine: &mut dyn Engine,
        round: &Round<'_>,
        examples: &mut [Example],
        shaped: &[Shaped],
    ) -> Result<Vec<Metric>, TrainError> {
        let rewards = in_groups(examples, shaped.iter().map(|shaped| shaped.total));
        let deviation = match self.baseline {
            Baseline::Group(deviation) => deviation,
            _ => Deviation::One,
        };
        let groups = group::advantages(&rewards, deviation);
        let advantages: Vec<Vec<f64>> = match self.baseline {
            Baseline::Group(_) => by_group(examples, shaped, deviation),
            Baseline::LeaveOneOut => {
                on_all_tokens(examples, rewards.iter().flat_map(|group| rloo::advantages(group)).collect())
            }
            // An evaluation learns nothing.
            Baseline::Greedy if round.purpose == Purpose::Evaluation => Vec::new(),
            Baseline::Greedy => {
                let greedy = self.greedy(engine, round)?;
                let baselines = greedy.iter().zip(&rewards).flat_map(|(&greedy, group)| vec![greedy; group.len()]);
                let answers = rollouts_mut(examples).zip(baselines);
                let advantages = answers.map(|(rollout, greedy)| {
                    remax::advantages(&rollout.rewards, &vec![1.0; rollout.rewards.len()], greedy)
                });
                advantages.collect()
            }
            Baseline::Step { of_groups } => {
                let mut scores = in_groups(examples, shaped.iter().map(|shaped| shaped.total - shaped.non_score));
                let mut rewards: Vec<Vec<f64>> =
                    rollouts_mut(examples).map(|rollout| rollout.rewards.clone()).collect();
                if of_groups {
                    let before = scores.concat();
                    for group in &mut scores {
                        reinforce_plus_plus::subtract_group_mean(group);
                    }
                    for ((rewards, after), before) in rewards.iter_mut().zip(scores.concat()).zip(before) {
                        // Where the answer's score stands.
                        if let Some(last) = rewards.last_mut() {
                            *last += after - before;
                        }
                    }
                }
                let weights: Vec<Vec<f32>> = rewards.iter().map(|rewards| vec![1.0; rewards.len()]).collect();
                reinforce_plus_plus::advantages(&rewards, &weights.iter().map(Vec::as_slice).collect::<Vec<_>>())
            }
        };
        for (rollout, advantages) in rollouts_mut(examples).zip(advantages) {
            rollout.advantages = advantages;
        }
        Ok(groups.metrics)
    }

    /// What the most likely answer to each prompt is worth.
    fn greedy(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<Vec<f64>, TrainError> {
        let answers = self.rollouts.greedy(engine, round)?;
        let mut examples: Vec<Example> = answers.groups.into_iter().map(example).collect();
        Ok(reward(&mut examples, &self.shaping).into_iter().map(|shaped| shaped.total).collect())
    }
}

impl Task for GroupTask {
    fn roll_out(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<Option<Rolled>, TrainError> {
        let RolledOut { groups, mut metrics } = self.rollouts.sample(engine, round)?;
        let mut examples: Vec<Example> = groups.into_iter().map(example).collect();
        let training = round.purpose == Purpose::Training;
        let penalised = self.method.kl.is_some() || self.shaping.kl_coefficient > 0.0;
        // Only what was drawn says how far the policy is from its reference.
        let drawn = training || self.rollouts.drawing.evaluation == Evaluation::Sampled;
        if penalised && drawn {
            refer(engine, &mut examples, self.reference, round.token_budget)?;
        }
        // Held-out answers are judged by what they are given.
        let kl_coefficient = if training { self.shaping.kl_coefficient } else { 0.0 };
        let shaped = reward(&mut examples, &Shaping { kl_coefficient, ..self.shaping });
        metrics.extend(objective(&examples, &shaped, drawn));
        metrics.extend(self.judge(engine, round, &mut examples, &shaped)?);
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

/// What an answer as a whole is given counts for all its tokens, what its steps are given for those up to each of them.
fn by_group(examples: &mut [Example], shaped: &[Shaped], deviation: Deviation) -> Vec<Vec<f64>> {
    let wholes = in_groups(examples, shaped.iter().map(|shaped| shaped.total - shaped.steps));
    let mut advantages = on_all_tokens(examples, group::advantages(&wholes, deviation).advantages.concat());
    if answers(examples).all(|rollout| rollout.given.steps.is_empty()) {
        return advantages;
    }
    let mut answers =
        answers(examples).map(|rollout| Steps { rewards: &rollout.given.steps, tokens: rollout.log_probs.len() });
    let groups: Vec<Vec<Steps<'_>>> =
        examples.iter().map(|example| answers.by_ref().take(example.sequences.len()).collect()).collect();
    let of_steps = process::advantages(&groups, deviation);
    for (whole, steps) in advantages.iter_mut().zip(of_steps.into_iter().flatten()) {
        whole.iter_mut().zip(steps).for_each(|(whole, steps)| *whole += steps);
    }
    advantages
}

/// One figure for each answer, those to one prompt together.
fn in_groups(examples: &[Example], figures: impl IntoIterator<Item = f64>) -> Vec<Vec<f64>> {
    let mut figures = figures.into_iter();
    examples.iter().map(|example| figures.by_ref().take(example.sequences.len()).collect()).collect()
}

/// Every token of an answer has the answer's advantage.
fn on_all_tokens(examples: &mut [Example], advantages: Vec<f64>) -> Vec<Vec<f64>> {
    let answers = rollouts_mut(examples).zip(advantages);
    answers.map(|(rollout, advantage)| vec![advantage; rollout.log_probs.len()]).collect()
}
