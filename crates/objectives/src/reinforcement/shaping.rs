//! From the score of a response to a reward for each of its tokens.
//!
//! **What it optimises.** The score less `β` times the distance from the reference, with rules for responses that did not
//! end or are too long.
//!
//! **When to use it.** Before the advantages of any method that learns from samples. Methods that see a response as one
//! action (GRPO, RLOO) take [`Shaped::total`]; set `kl_coefficient` to 0 where the penalty is in the loss.
//!
//! **Formula.** `r_t = -β k1_t` with `k1_t = log π(y_t) - log π_ref(y_t)` under the policy that sampled, not clamped, so that its
//! gradient is that of the KL (see [`super::kl`]); at the last token the policy wrote, and at no padding after it, `r_T` has
//! the score besides: `clip((s - m)/σ)`, or a fixed score or a penalty if the response did not end by itself, plus the
//! length's penalty. Scores of single steps stand at the last token of each.
//!
//! **Source.** Ziegler 2019 (arXiv 1909.08593), eq. 2; Ouyang 2022 (arXiv 2203.02155), eq. 2; missing end: Stiennon 2020 as in
//! "The N+ implementation details of RLHF" (arXiv 2403.17031); length: Singhal 2023 (arXiv 2310.03716) and Yu 2025
//! (DAPO, arXiv 2503.14476), eq. 13; steps: Lightman 2023 (arXiv 2305.20050).
//!
//! **Reference numbers.** All KL parts are 0 at step 0. `β` as in [`super::kl`]; a missing end scores -1 (TL;DR) or is
//! penalised by 10 (Tülu 3).

use super::kl::Estimator;

/// What happens to a response that reached the limit before it ended by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum MissingEnd {
    /// The score counts as it is.
    #[default]
    Kept,
    /// This is subtracted.
    Penalty(f64),
    /// This replaces the score: half an answer is not judged at all.
    Fixed(f64),
}

/// A term for the number of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Length {
    #[default]
    Free,
    /// `-c` for each token.
    PerToken(f64),
    /// `(1 - length/target) scale` (Singhal).
    Target { tokens: f64, scale: f64 },
    /// 0 up to `limit - margin`, from there down to -1 at `limit`, -1 beyond (DAPO).
    Overlong { limit: f64, margin: f64 },
}

impl Length {
    pub fn term(self, tokens: f64) -> f64 {
        match self {
            Self::Free => 0.0,
            Self::PerToken(cost) => -cost * tokens,
            Self::Target { tokens: target, scale } => (1.0 - tokens / target) * scale,
            Self::Overlong { limit, .. } if tokens > limit => -1.0,
            Self::Overlong { limit, margin } => ((limit - margin - tokens) / margin).min(0.0),
        }
    }
}

/// Puts scores on a scale that does not depend on the reward model: subtract, divide, then bound on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub mean: f64,
    pub deviation: f64,
    /// `c` of a clip to `[-c, c]`; infinite means off.
    pub bound: f64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { mean: 0.0, deviation: 1.0, bound: f64::INFINITY }
    }
}

impl Scale {
    /// A score that is not a number stays so, for the trainer to stop at.
    pub fn apply(&self, score: f64) -> f64 {
        let scaled = (score - self.mean) / self.deviation;
        if scaled.abs() > self.bound { self.bound.copysign(scaled) } else { scaled }
    }
}

/// Mean and deviation of all scores so far, for a [`Scale`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunningScores {
    count: f64,
    mean: f64,
    /// Sum of squared distances from the mean.
    squares: f64,
}

impl RunningScores {
    pub fn add(&mut self, score: f64) {
        self.count += 1.0;
        let before = score - self.mean;
        self.mean += before / self.count;
        self.squares += before * (score - self.mean);
    }

    /// The scale now; the deviation is 1 until two scores differ.
    pub fn scale(&self, bound: f64) -> Scale {
        let variance = if self.count > 0.0 { self.squares / self.count } else { 0.0 };
        Scale { mean: self.mean, deviation: if variance > 0.0 { variance.sqrt() } else { 1.0 }, bound }
    }

    /// All there is to save: count, mean and sum of squares.
    pub fn state(&self) -> [f64; 3] {
        [self.count, self.mean, self.squares]
    }

    pub fn from_state([count, mean, squares]: [f64; 3]) -> Self {
        Self { count, mean, squares }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shaping {
    /// `β`.
    pub kl_coefficient: f64,
    pub kl_estimator: Estimator,
    pub missing_end: MissingEnd,
    pub length: Length,
    pub scale: Scale,
}

/// A response as sampled; slices have one entry for each of its tokens, without padding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampled<'a> {
    /// `log π(y_t)` of the policy that sampled.
    pub log_probs: &'a [f32],
    /// `log π_ref(y_t)`; empty if there is no reference.
    pub reference: &'a [f32],
    /// 0 where the policy did not write the token.
    pub weights: &'a [f32],
    pub score: f64,
    /// Whether it ended by itself.
    pub ended: bool,
    /// (token, score) of single steps; a token beyond the response counts as its last.
    pub steps: &'a [(usize, f64)],
}

/// The rewards, and what they consist of: `total = score + missing_end + length + steps + non_score`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shaped {
    /// One for each token.
    pub rewards: Vec<f64>,
    /// Sum of the KL estimates, without the coefficient (`objective/kl`).
    pub kl: f64,
    /// `-β` times that (`objective/non_score_reward`).
    pub non_score: f64,
    /// After scaling; what the response's own score still counts.
    pub score: f64,
    /// What the rule for a missing end adds.
    pub missing_end: f64,
    pub length: f64,
    pub steps: f64,
    /// `objective/rlhf_reward`.
    pub total: f64,
}

/// Rewards of one response. Without a token that the policy wrote there is nothing to reward.
pub fn shape(shaping: &Shaping, sampled: &Sampled<'_>) -> Shaped {
    let mut shaped = Shaped { rewards: vec![0.0; sampled.weights.len()], ..Shaped::default() };
    let Some(last) = sampled.weights.iter().rposition(|&weight| weight > 0.0) else { return shaped };
    for (token, &reference) in sampled.reference.iter().enumerate() {
        if sampled.weights[token] > 0.0 {
            let distance = f64::from(sampled.log_probs[token]) - f64::from(reference);
            let kl = shaping.kl_estimator.value(distance);
            shaped.kl += kl;
            shaped.rewards[token] -= shaping.kl_coefficient * kl;
        }
    }
    shaped.non_score = -shaping.kl_coefficient * shaped.kl;
    shaped.score = shaping.scale.apply(sampled.score);
    match shaping.missing_end {
        MissingEnd::Penalty(penalty) if !sampled.ended => shaped.missing_end = -penalty,
        MissingEnd::Fixed(score) if !sampled.ended => (shaped.score, shaped.missing_end) = (0.0, score),
        _ => {}
    }
    let written = sampled.weights.iter().filter(|&&weight| weight > 0.0).count();
    shaped.length = shaping.length.term(written as f64);
    shaped.rewards[last] += shaped.score + shaped.missing_end + shaped.length;
    for &(token, score) in sampled.steps {
        shaped.rewards[token.min(last)] += score;
        shaped.steps += score;
    }
    shaped.total = shaped.score + shaped.missing_end + shaped.length + shaped.steps + shaped.non_score;
    shaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled() -> Sampled<'static> {
        Sampled {
            log_probs: &[-1.0, -0.5, -9.0, -2.0, -9.0],
            reference: &[-1.5, -0.25, 0.0, -2.0, 0.0],
            // The third is a tool's, and so is all that follows the fourth.
            weights: &[1.0, 1.0, 0.0, 1.0, 0.0],
            score: 3.0,
            ended: true,
            steps: &[],
        }
    }

    #[test]
    fn rewards_by_hand() {
        let shaping = Shaping { kl_coefficient: 0.5, ..Shaping::default() };
        let shaped = shape(&shaping, &sampled());
        // k1 may be negative at a token, and stays so.
        assert_eq!(shaped.rewards, [-0.25, 0.125, 0.0, 3.0, 0.0]);
        assert_eq!((shaped.kl, shaped.non_score, shaped.score, shaped.total), (0.25, -0.125, 3.0, 2.875));
        let steps = Sampled { steps: &[(0, 0.25), (1, -0.5), (70, 1.0)], ..sampled() };
        let shaped = shape(&shaping, &steps);
        assert_eq!(shaped.rewards, [0.0, -0.375, 0.0, 4.0, 0.0]);
        assert_eq!((shaped.steps, shaped.total), (0.75, 3.625));
    }

    #[test]
    fn every_part_is_in_the_rewards() {
        for missing_end in [MissingEnd::Kept, MissingEnd::Penalty(10.0), MissingEnd::Fixed(-1.0)] {
            let shaping = Shaping {
                kl_coefficient: 0.3,
                kl_estimator: Estimator::K3,
                missing_end,
                length: Length::PerToken(0.25),
                scale: Scale { mean: 1.0, deviation: 4.0, bound: 0.4 },
            };
            let shaped = shape(&shaping, &Sampled { ended: false, steps: &[(1, 0.5)], ..sampled() });
            assert!((shaped.rewards.iter().sum::<f64>() - shaped.total).abs() < 1e-14);
            assert_eq!(shaped.length, -0.75);
            let end = match missing_end {
                MissingEnd::Kept => (0.4, 0.0),
                MissingEnd::Penalty(_) => (0.4, -10.0),
                MissingEnd::Fixed(_) => (0.0, -1.0),
            };
            assert_eq!((shaped.score, shaped.missing_end), end);
        }
        // A response that ended is judged.
        let fixed = Shaping { missing_end: MissingEnd::Fixed(-1.0), ..Shaping::default() };
        assert_eq!(shape(&fixed, &sampled()).total, 3.0);
    }

    #[test]
    fn lengths() {
        let overlong = Length::Overlong { limit: 20.0, margin: 4.0 };
        assert_eq!([10.0, 16.0, 18.0, 20.0, 21.0].map(|tokens| overlong.term(tokens)), [0.0, 0.0, -0.5, -1.0, -1.0]);
        assert_eq!(Length::Target { tokens: 100.0, scale: 2.0 }.term(150.0), -1.0);
    }

    #[test]
    fn at_step_0_there_is_no_penalty() {
        let same = Sampled { reference: sampled().log_probs, ..sampled() };
        let shaped = shape(&Shaping { kl_coefficient: 0.1, ..Shaping::default() }, &same);
        assert_eq!((shaped.kl, shaped.non_score, shaped.total), (0.0, 0.0, 3.0));
    }

    #[test]
    fn nothing_written_is_nothing_rewarded() {
        let shaped = shape(&Shaping::default(), &Sampled { weights: &[0.0; 5], steps: &[(0, 1.0)], ..sampled() });
        assert_eq!((shaped.rewards, shaped.total), (vec![0.0; 5], 0.0));
    }

    #[test]
    fn running_scores_are_those_of_all_at_once() {
        let mut running = RunningScores::default();
        assert_eq!(running.scale(5.0).apply(7.0), 5.0);
        for score in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            running.add(score);
        }
        let scale = RunningScores::from_state(running.state()).scale(1.5);
        assert!((scale.mean - 5.0).abs() < 1e-14 && (scale.deviation - 2.0).abs() < 1e-14);
        assert_eq!([scale.apply(6.0), scale.apply(50.0), scale.apply(-50.0)], [0.5, 1.5, -1.5]);
        assert!(scale.apply(f64::NAN).is_nan());
    }
}
