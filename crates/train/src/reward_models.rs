//! Trained reward models as one reward: what reinforcement learning, best-of-n and `camelid score` ask.

use camelid_model::Engine;
use camelid_objectives::reward::ensemble::{Combine, Standard, combine};

use crate::TrainError;
use crate::reward::rewards;
use crate::task::Example;

/// One reward model, or several that are combined; all read the same tokens.
pub struct RewardModels {
    members: Vec<Box<dyn Engine>>,
    /// What brings each member's rewards to the scale of the others.
    standard: Vec<Standard>,
    combine: Combine,
}

impl RewardModels {
    /// A single model, whose rewards are taken as they are.
    pub fn single(model: Box<dyn Engine>) -> Self {
        Self { members: vec![model], standard: vec![Standard::IDENTITY], combine: Combine::Mean }
    }

    /// Each member with its scale. Errors: there is none.
    pub fn ensemble(members: Vec<(Box<dyn Engine>, Standard)>, combine: Combine) -> Result<Self, TrainError> {
        if members.is_empty() {
            return Err(TrainError::Data {
                reason: "the ensemble has no member".into(),
                fix: "name at least one".into(),
            });
        }
        let (members, standard) = members.into_iter().unzip();
        Ok(Self { members, standard, combine })
    }

    /// The combined reward of each sequence of each example. Errors: a model fails, or gives a reward that is not a number:
    /// some combinations would hide it.
    pub fn rewards(&mut self, examples: &[&Example], token_budget: usize) -> Result<Vec<Vec<f64>>, TrainError> {
        let by_member = self.rewards_of_members(examples, token_budget)?;
        Ok(self.combined(&by_member))
    }

    /// The standardised reward that each member (first index) gives each sequence (third) of each example (second).
    pub fn rewards_of_members(
        &mut self,
        examples: &[&Example],
        token_budget: usize,
    ) -> Result<Vec<Vec<Vec<f64>>>, TrainError> {
        let mut by_member = Vec::with_capacity(self.members.len());
        for (number, (member, standard)) in self.members.iter_mut().zip(&self.standard).enumerate() {
            let raw = rewards(member.as_mut(), examples, token_budget)?;
            if let Some(odd) = raw.iter().flatten().find(|reward| !reward.is_finite()) {
                return Err(TrainError::Data {
                    reason: format!("reward model {} gives a reward of {odd}", number + 1),
                    fix: "its weights are damaged or overflow: take another checkpoint of it".into(),
                });
            }
            let scaled =
                |rewards: Vec<f32>| rewards.into_iter().map(|reward| standard.apply(f64::from(reward))).collect();
            by_member.push(raw.into_iter().map(scaled).collect());
        }
        Ok(by_member)
    }

    /// What [`Self::rewards_of_members`] gave, combined.
    pub fn combined(&self, by_member: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
        let Some(first) = by_member.first() else { return Vec::new() };
        let of = |example: usize, sequence: usize| {
            let rewards: Vec<f64> = by_member.iter().map(|member| member[example][sequence]).collect();
            combine(self.combine, &rewards)
        };
        let examples = first.iter().enumerate();
        examples.map(|(example, rewards)| (0..rewards.len()).map(|sequence| of(example, sequence)).collect()).collect()
    }
}
