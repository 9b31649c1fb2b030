//! Proximal policy optimisation as a task; the objective is [`camelid_objectives::reinforcement::ppo`].
//!
//! A round: answers are drawn and given scores; the reference policy and the value model are asked for each token; rewards,
//! advantages and returns follow, all before the first update and the same for every update. An update scores policy and value
//! model, which are two engines, on the same micro-batch.

use camelid_model::{Engine, Update, Want};
use camelid_objectives::reinforcement::advantages::{Estimate, gae, whiten};
use camelid_objectives::reinforcement::kl::{AdaptiveController, Estimator, FixedController};
use camelid_objectives::reinforcement::ppo::{self, Ppo};
use camelid_objectives::reinforcement::shaping::{MissingEnd, RunningScores, Scale, Shaping};
use camelid_objectives::reinforcement::value::{Values, explained_variance};
use camelid_objectives::{Metric, Outcome, Reduced};
use camelid_text::Forest;

use crate::TrainError;
use crate::critic::Critic;
use crate::policy::Tokens;
use crate::preference::in_target_order;
use crate::pretraining::Pretraining;
use crate::rollout::{Evaluation, RolledOut, Rollout, Rollouts, judged, rollouts};
use crate::round::{answers, divergence, example, objective, refer, reward, rollouts_mut};
use crate::task::{Example, Purpose, Rolled, Round, Task, targets_of_branches};

/// The coefficient of the KL penalty in the rewards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Controller {
    Fixed(FixedController),
    Adaptive(AdaptiveController),
}

impl Controller {
    fn coefficient(&self) -> f64 {
        match self {
            Self::Fixed(controller) => controller.coefficient,
            Self::Adaptive(controller) => controller.coefficient(),
        }
    }
}

/// On what scale scores become rewards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScoreScale {
    Fixed(Scale),
    /// By mean and deviation of all scores so far, the round's among them; then bounded.
    Running {
        bound: f64,
    },
}

/// What stays the same for a whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PpoMethod {
    pub loss: Ppo,
    /// Discount of what comes a token later.
    pub discount: f64,
    /// `λ` of generalised advantage estimation.
    pub lambda: f64,
    pub kl_estimator: Estimator,
    pub missing_end: MissingEnd,
    pub score_scale: ScoreScale,
    /// Rewards are divided by their deviation over the round.
    pub whiten_rewards: bool,
    /// Advantages have mean 0 and deviation 1 over the round.
    pub whiten_advantages: bool,
    /// A step has no further updates after one whose `policy/approxkl_avg` is above this; infinite is off.
    pub target_kl: f64,
    /// The forward pass that is the reference policy; `None` where nothing is penalised and none is kept.
    pub reference: Option<Want>,
}

/// Prompts under PPO, with a value model beside the policy.
pub struct PpoTask {
    method: PpoMethod,
    rollouts: Rollouts,
    critic: Critic,
    controller: Controller,
    pretraining: Option<Pretraining>,
    scores: RunningScores,
    /// Of the last round that is trained on; counts once its step is over.
    round: Option<Learned>,
    /// `approxkl` of the update in hand.
    distance: Reduced,
    /// What other records add to the loss of the update in hand.
    beside: (Reduced, Vec<Metric>),
}

/// What a round says to those that follow.
struct Learned {
    scores: RunningScores,
    /// Mean over answers, in nats.
    kl: Option<f64>,
    answers: usize,
}

impl PpoTask {
    pub fn new(
        method: PpoMethod,
        rollouts: Rollouts,
        critic: Critic,
        controller: Controller,
        pretraining: Option<Pretraining>,
    ) -> Self {
        Self {
            method,
            rollouts,
            critic,
            controller,
            pretraining,
            scores: RunningScores::default(),
            round: None,
            distance: Reduced::default(),
            beside: (Reduced::default(), Vec::new()),
        }
    }

    fn shaping(&self, scale: Scale, kl_coefficient: f64) -> Shaping {
        let PpoMethod { kl_estimator, missing_end, .. } = self.method;
        Shaping { kl_coefficient, kl_estimator, missing_end, scale, ..Shaping::default() }
    }

    /// Rewards, values, advantages and returns of a round that is trained on.
    fn judge(&mut self, examples: &mut [Example], token_budget: usize) -> Result<Vec<Metric>, TrainError> {
        let mut scores = self.scores;
        rollouts_mut(examples).for_each(|rollout| scores.add(rollout.given.score));
        let scale = match self.method.score_scale {
            ScoreScale::Fixed(scale) => scale,
            ScoreScale::Running { bound } => scores.scale(bound),
        };
        let coefficient = self.controller.coefficient();
        let shaped = reward(examples, &self.shaping(scale, coefficient));
        let mut metrics = objective(examples, &shaped, true);
        metrics.push(Metric::new("kl_coefficient", Reduced::new(coefficient, 1.0)));
        let kl = self.method.reference.map(|_| {
            rollouts_mut(examples).map(|rollout| divergence(rollout)).sum::<f64>() / shaped.len().max(1) as f64
        });
        self.round = Some(Learned { scores, kl, answers: shaped.len() });

        let values = self.critic.values(&examples.iter().collect::<Vec<_>>(), token_budget)?;
        let weights: Vec<Vec<f32>> = shaped.iter().map(|shaped| vec![1.0; shaped.rewards.len()]).collect();
        let weights: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
        let mut rewards: Vec<Vec<f64>> = shaped.into_iter().map(|shaped| shaped.rewards).collect();
        if self.method.whiten_rewards {
            whiten(&mut rewards, &weights, false);
        }
        let mut advantages = Vec::with_capacity(rewards.len());
        let answers = rollouts_mut(examples).zip(values.into_iter().flatten()).zip(rewards.iter().zip(&weights));
        for ((rollout, values), (rewards, weights)) in answers {
            let Estimate { advantages: own, returns } =
                gae(rewards, &values, weights, self.method.discount, self.method.lambda);
            advantages.push(own);
            (rollout.values, rollout.returns) = (values, returns);
        }
        metrics.extend(figures(examples, &advantages));
        if self.method.whiten_advantages {
            whiten(&mut advantages, &weights, true);
        }
        for (rollout, advantages) in rollouts_mut(examples).zip(advantages) {
            rollout.advantages = advantages;
        }
        Ok(metrics)
    }
}

impl Task for PpoTask {
    fn roll_out(&mut self, engine: &mut dyn Engine, round: &Round<'_>) -> Result<Option<Rolled>, TrainError> {
        let RolledOut { groups, mut metrics } = self.rollouts.sample(engine, round)?;
        let mut examples: Vec<Example> = groups.into_iter().map(example).collect();
        let training = round.purpose == Purpose::Training;
        // Only what was drawn says how far the policy is from its reference.
        let drawn = training || self.rollouts.drawing.evaluation == Evaluation::Sampled;
        if let Some(reference) = self.method.reference.filter(|_| drawn) {
            refer(engine, &mut examples, reference, round.token_budget)?;
        }
        if training {
            metrics.extend(self.judge(&mut examples, round.token_budget)?);
        } else {
            // Held-out answers are judged by what they are given, whatever the coefficient is by now.
            let shaped = reward(&mut examples, &self.shaping(Scale::default(), 0.0));
            metrics.extend(objective(&examples, &shaped, drawn));
        }
        Ok(Some(Rolled { examples, metrics }))
    }

    fn rollouts(&mut self) -> Option<&mut Rollouts> {
        Some(&mut self.rollouts)
    }

    fn begin(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        token_budget: usize,
        purpose: Purpose,
    ) -> Result<(), TrainError> {
        self.distance = Reduced::default();
        if let (Purpose::Training, Some(pretraining)) = (purpose, &mut self.pretraining) {
            let tokens: usize = rollouts(examples)?.iter().map(|rollout| rollout.log_probs.len()).sum();
            self.beside = pretraining.learn(engine, tokens as f64, token_budget)?;
        }
        Ok(())
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
        let targets = targets_of_branches(forest);
        let read = self.critic.forward(forest, want)?;
        let read: Vec<Vec<f32>> =
            targets.iter().map(|targets| targets.iter().map(|&target| read[target]).collect()).collect();
        let weights: Vec<Vec<f32>> = targets.iter().map(|targets| vec![1.0; targets.len()]).collect();
        let of_values: Vec<Values<'_>> = rollouts
            .iter()
            .zip(read.iter().zip(&weights))
            .map(|(rollout, (read, weights))| values(read, rollout, weights))
            .collect();
        let wants_entropy = self.method.loss.policy.entropy_coefficient != 0.0;
        let scores = engine.forward(forest, Want { entropy: wants_entropy, ..want })?;
        let policy = Tokens::of(&scores, &targets);
        let mut outcome =
            in_target_order(ppo::loss(&self.method.loss, &policy.samples(&rollouts), &of_values), &targets);
        self.critic.backward(std::mem::take(&mut outcome.d_values), outcome.loss)?;
        let distance = outcome.metrics.iter().find(|metric| metric.name == "policy/approxkl_avg");
        self.distance += distance.map_or_else(Reduced::default, |metric| metric.value);
        let (loss, mut metrics) = std::mem::take(&mut self.beside);
        outcome.loss += loss;
        outcome.metrics.append(&mut metrics);
        Ok(outcome)
    }

    fn update(&mut self, update: &Update) -> Result<(), TrainError> {
        self.critic.update(update)
    }

    fn step_is_over(&self) -> bool {
        self.distance.mean().is_some_and(|distance| distance > self.method.target_kl)
    }

    fn stepped(&mut self, _engine: &mut dyn Engine, _step: u64) -> Result<(), TrainError> {
        if let Some(Learned { scores, kl, answers }) = self.round.take() {
            self.scores = scores;
            if let (Controller::Adaptive(controller), Some(kl)) = (&mut self.controller, kl) {
                controller.update(kl, answers);
            }
        }
        Ok(())
    }

    fn companions(&mut self) -> Vec<(&'static str, &mut dyn Engine)> {
        vec![("value", self.critic.engine())]
    }

    /// The KL coefficient, the running scores' three numbers, and how many other records were drawn.
    fn state(&self) -> Vec<f64> {
        let drawn = self.pretraining.as_ref().map_or(0, Pretraining::drawn);
        let [count, mean, squares] = self.scores.state();
        vec![self.controller.coefficient(), count, mean, squares, drawn as f64]
    }

    fn restore(&mut self, state: &[f64]) {
        let &[coefficient, count, mean, squares, drawn] = state else { return };
        if let Controller::Adaptive(controller) = &mut self.controller {
            controller.set_coefficient(coefficient);
        }
        self.scores = RunningScores::from_state([count, mean, squares]);
        if let Some(pretraining) = &mut self.pretraining {
            pretraining.set_drawn(drawn as u64);
        }
    }
}

/// The values `read` of an answer beside what they were when it was drawn.
fn values<'a>(read: &'a [f32], rollout: &'a Rollout, weights: &'a [f32]) -> Values<'a> {
    Values { values: read, old_values: &rollout.values, returns: &rollout.returns, weights }
}

/// What the value model is worth, and advantages before they are whitened.
fn figures(examples: &[Example], advantages: &[Vec<f64>]) -> Vec<Metric> {
    let answers: Vec<&Rollout> = answers(examples).collect();
    let weights: Vec<Vec<f32>> = answers.iter().map(|answer| vec![1.0; answer.values.len()]).collect();
    let of_values: Vec<Values<'_>> =
        answers.iter().zip(&weights).map(|(answer, weights)| values(&answer.values, answer, weights)).collect();
    let advantages = advantages.concat();
    let count = advantages.len() as f64;
    let mean = advantages.iter().sum::<f64>() / count.max(1.0);
    let variance = advantages.iter().map(|advantage| (advantage - mean).powi(2)).sum::<f64>() / count.max(1.0);
    let said: f64 = answers.iter().flat_map(|answer| &answer.values).map(|&value| f64::from(value)).sum();
    let due: f64 = answers.iter().flat_map(|answer| &answer.returns).sum();
    let mut metrics = vec![
        Metric::new("critic/values/mean", Reduced::new(said, count)),
        Metric::new("critic/returns/mean", Reduced::new(due, count)),
        Metric::new("critic/advantages/mean", Reduced::new(mean * count, count)),
        Metric::new("critic/advantages/std", Reduced::new(variance.sqrt() * count, count)),
    ];
    if let Some(explained) = explained_variance(&of_values) {
        metrics.push(Metric::new("critic/vf_explained_var", Reduced::new(explained, 1.0)));
    }
    metrics
}
