//! Direct preference optimisation, and what others have added to it.
//!
//! **What it optimises.** The likelihood of the preferences under a Bradley-Terry model whose reward is
//! `r(x, y) = β log π(y|x)/π_ref(y|x)`: the optimum is that of reward maximisation with a KL penalty of strength `β`,
//! without a reward model and without sampling.
//!
//! **When to use it.** First choice for pairs, after SFT on the same kind of data. The log-probability of the chosen
//! response often falls too (likelihood displacement); `sft_weight` holds it up. With labels that never contradict each
//! other `π(y_l)` goes to 0 whatever `β` is; see [`super::ipo`].
//!
//! **Formula.** `h = β (log π/π_ref(y_w) - log π/π_ref(y_l)) - m`; `L = -(1 - ε) log σ(h) - ε log σ(-h)`.
//! * `ε > 0`, [`Smoothing::Conservative`]: labels are wrong with probability `ε` (cDPO).
//! * [`Smoothing::Robust`]: `L = (-(1 - ε) log σ(h) + ε log σ(-h)) / (1 - 2ε)`, unbiased under such labels.
//! * `length_normalised`: each log-ratio is divided by its response's length (LN-DPO, "`dpo_norm`"); `β` of 5 is usual then.
//! * `sft_weight`: adds `-α log π(y_w)/|y_w|` (RPO).
//! * `margin_weight`: `m` is this times the data's margin (ODPO).
//!
//! **Source.** Rafailov 2023 (arXiv 2305.18290), eq. 7; Mitchell 2023 ("A note on DPO with noisy preferences"); Ray
//! Chowdhury 2024 (arXiv 2403.00409), eq. 12; Lambert 2024 (Tülu 3, arXiv 2411.15124), eq. 6; Pang 2024 (arXiv
//! 2404.19733), eq. 1; Amini 2024 (arXiv 2402.10571), eq. 7.
//!
//! **Reference numbers.** `L = ln 2`, margin 0 at step 0. The paper: `β` 0.1 (TL;DR 0.5), 64 pairs a step, RMSprop,
//! learning rate 1e-6, 150 steps of warm-up.

use super::{Pair, PairLoss, PairSlope, Sequence, log_sigmoid, sigmoid};

/// What label noise is assumed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Smoothing {
    #[default]
    None,
    /// Labels are wrong with this probability, below 0.5.
    Conservative(f64),
    /// As above, corrected so that the expected loss is that of the true labels.
    Robust(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dpo {
    pub beta: f64,
    pub smoothing: Smoothing,
    pub length_normalised: bool,
    pub sft_weight: f64,
    pub margin_weight: f64,
}

impl Dpo {
    /// The published method.
    pub fn new(beta: f64) -> Self {
        Self { beta, smoothing: Smoothing::None, length_normalised: false, sft_weight: 0.0, margin_weight: 0.0 }
    }

    /// `d reward / d log π(y)`.
    fn scale(&self, response: &Sequence) -> f64 {
        if self.length_normalised { self.beta / response.length } else { self.beta }
    }
}

impl PairLoss for Dpo {
    fn uses_reference(&self) -> bool {
        true
    }

    fn reward(&self, response: &Sequence) -> f64 {
        self.scale(response) * response.log_ratio()
    }

    fn loss(&self, pair: &Pair) -> PairSlope {
        let Pair { chosen, rejected, margin, .. } = pair;
        let h = self.reward(chosen) - self.reward(rejected) - self.margin_weight * margin;
        // Weights of -log σ(h) and -log σ(-h).
        let (right, wrong) = match self.smoothing {
            Smoothing::None => (1.0, 0.0),
            Smoothing::Conservative(share) => (1.0 - share, share),
            Smoothing::Robust(share) => ((1.0 - share) / (1.0 - 2.0 * share), -share / (1.0 - 2.0 * share)),
        };
        let loss = -right * log_sigmoid(h) - wrong * log_sigmoid(-h);
        let slope = -right * sigmoid(-h) + wrong * sigmoid(h);
        PairSlope {
            loss: loss - self.sft_weight * chosen.mean(),
            chosen: slope * self.scale(chosen) - self.sft_weight / chosen.length,
            rejected: -slope * self.scale(rejected),
        }
    }
}
