//! DPO under other divergences.
//!
//! **What it optimises.** The reward with an f-divergence between policy and reference instead of the reverse KL:
//! forward KL and large `α` hold on to all that the reference says, reverse KL gives up modes.
//!
//! **When to use it.** When DPO costs diversity; Jensen-Shannon is a middle way.
//!
//! **Formula.** With `u = π(y)/π_ref(y)`: `L = -log σ(β f'(u_w) - β f'(u_l))`, where `f'(u)`, with the constant that makes `f'(1) = 0`, is
//! `log u` (reverse KL: DPO itself), `1 - 1/u` (forward KL), `log(2u/(1 + u))` (Jensen-Shannon), `(1 - u^-α)/α`
//! (`α`-divergence, `0 < α < 1`).
//!
//! **Source.** Wang 2023 (arXiv 2309.16240), eq. 8 and table 1.
//!
//! **Reference numbers.** `L = ln 2` at step 0 for each; `α → 0` gives reverse KL, `α → 1` forward KL.

use super::{Pair, PairLoss, PairSlope, Sequence, log_sigmoid, logistic, sigmoid};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divergence {
    ReverseKl,
    ForwardKl,
    JensenShannon,
    /// `α`, between 0 and 1.
    Alpha(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FDpo {
    pub beta: f64,
    pub divergence: Divergence,
}

/// Beyond this log-ratio, powers of the ratio are held: their exponentials would swallow every other digit.
const FURTHEST: f64 = 50.0;

impl FDpo {
    /// `f'(u)` for `u = exp(log_ratio)`, and its derivative with respect to `log u`.
    fn potential(&self, log_ratio: f64) -> (f64, f64) {
        let power = |alpha: f64| {
            let held = (-alpha * log_ratio).min(FURTHEST);
            let slope = if -alpha * log_ratio > FURTHEST { 0.0 } else { held.exp() };
            (held.exp(), slope)
        };
        match self.divergence {
            Divergence::ReverseKl => (log_ratio, 1.0),
            Divergence::ForwardKl => {
                let (inverse, slope) = power(1.0);
                (1.0 - inverse, slope)
            }
            // log(2u / (1 + u)) = log 2 + log σ(log u).
            Divergence::JensenShannon => (std::f64::consts::LN_2 + log_sigmoid(log_ratio), sigmoid(-log_ratio)),
            Divergence::Alpha(alpha) => {
                let (value, slope) = power(alpha);
                ((1.0 - value) / alpha, slope)
            }
        }
    }
}

impl PairLoss for FDpo {
    fn uses_reference(&self) -> bool {
        true
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * self.potential(response.log_ratio()).0
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let (chosen, chosen_slope) = self.potential(pair.chosen.log_ratio());
        let (rejected, rejected_slope) = self.potential(pair.rejected.log_ratio());
        let (loss, slope) = logistic(self.beta * (chosen - rejected));
        PairSlope { loss, chosen: slope * self.beta * chosen_slope, rejected: -slope * self.beta * rejected_slope }
    }
}
