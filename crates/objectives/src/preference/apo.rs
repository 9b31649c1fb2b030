//! Anchored preference optimisation.
//!
//! **What it optimises.** A contrast that also says where both responses should go from the reference.
//!
//! **When to use it.** [`Form::Zero`] where the chosen responses are better than what the model says now: its likelihood goes
//! up, the rejected one's down. [`Form::Down`] where even the chosen ones are worse: both go down, the rejected one more.
//!
//! **Formula.** `r = β log π/π_ref(y)`; zero: `L = (1 - σ(r_w)) + σ(r_l)`; down: `L = σ(r_w) + (1 - σ(r_w - r_l))`.
//!
//! **Source.** D'Oosterlinck 2024 (arXiv 2408.06266), eq. 7 and 8.
//!
//! **Reference numbers.** `L = 1` at step 0 for both; `β` 0.1.

use super::{Pair, PairLoss, PairSlope, Sequence, sigmoid};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Zero,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Apo {
    pub form: Form,
    pub beta: f64,
}

/// `σ` and its derivative.
fn bent(x: f64) -> (f64, f64) {
    let value = sigmoid(x);
    (value, value * sigmoid(-x))
}

impl PairLoss for Apo {
    fn uses_reference(&self) -> bool {
        true
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.beta * response.log_ratio()
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let (chosen, rejected) = (self.reward(&pair.chosen), self.reward(&pair.rejected));
        let (up, up_slope) = bent(chosen);
        match self.form {
            Form::Zero => {
                let (down, down_slope) = bent(rejected);
                let (chosen, rejected) = (-self.beta * up_slope, self.beta * down_slope);
                PairSlope { loss: (1.0 - up) + down, chosen, rejected }
            }
            Form::Down => {
                let (apart, apart_slope) = bent(chosen - rejected);
                PairSlope {
                    loss: up + (1.0 - apart),
                    chosen: self.beta * (up_slope - apart_slope),
                    rejected: self.beta * apart_slope,
                }
            }
        }
    }
}
