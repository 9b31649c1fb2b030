//! The three losses of statistical rejection sampling optimisation.
//!
//! **What it optimises.** A pairwise loss on pairs that were drawn from (an estimate of) the optimal policy and labelled
//! by a reward model; drawing them is the sampler's part, the losses work on any pairs.
//!
//! **When to use it.** With pairs near the optimal policy. `γ` plays DPO's `β` but is free of the `β` with which
//! the pairs were drawn.
//!
//! **Formula.** With `z = log π/π_ref(y_w) - log π/π_ref(y_l)`: [`Form::SigmoidNorm`] `L = -log σ(γ z)` (DPO's),
//! [`Form::HingeNorm`] `L = max(0, 1 - γ z)`; [`Form::Hinge`] `L = max(0, 1 - γ (log π(y_w) - log π(y_l)))` (SLiC's, without
//! a reference policy).
//!
//! **Source.** Liu 2023 (arXiv 2309.06657), eq. 5, 6 and 7.
//!
//! **Reference numbers.** `γ` 0.05 with pairs drawn at `β` 0.5; 32 pairs a step, Adafactor, learning rate 1e-5. T5-large on
//! TL;DR, AutoSxS win rate: sigmoid-norm 71.86 %, hinge-norm 70.84 %, hinge 69.26 %; DPO on the direct pairs 67.72 %.

use super::{Pair, PairLoss, PairSlope, Sequence, hinge, logistic};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    SigmoidNorm,
    Hinge,
    HingeNorm,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rso {
    pub form: Form,
    pub gamma: f64,
}

impl PairLoss for Rso {
    fn uses_reference(&self) -> bool {
        self.form != Form::Hinge
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.gamma * if self.uses_reference() { response.log_ratio() } else { response.log_prob }
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let h = self.reward(&pair.chosen) - self.reward(&pair.rejected);
        let (loss, slope) = match self.form {
            Form::SigmoidNorm => logistic(h),
            Form::Hinge | Form::HingeNorm => {
                let (loss, slope) = hinge(1.0 - h);
                (loss, -slope)
            }
        };
        PairSlope { loss, chosen: slope * self.gamma, rejected: -slope * self.gamma }
    }
}
