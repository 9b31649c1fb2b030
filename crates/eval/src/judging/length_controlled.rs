//! The win rate that a model would have if its outputs were as long as the baseline's.
//!
//! **What it fits.** `logit p = θ + ψ tanh(Δ/s_Δ) + φ γ_x`: `Δ` is how many characters longer the model's output is,
//! `s_Δ` its deviation over prompts, `γ_x` the difficulty of the prompt, known from many models (leave it at 0
//! without).
//!
//! **When to use it.** Beside the plain rate, never instead: a model that outputs one constant string reached 86.5 %.
//!
//! **Formula.** Maximum likelihood, then the mean over prompts of `σ(θ + φ γ_x)`. The error is that of a bootstrap over
//! prompts that fits again each time; the deviation of the fitted values, which the published board prints, leaves out
//! both what a verdict might have been and that θ is an estimate, and is about half as large. There is no L1 penalty
//! and there are no made-up games of a longer and a shorter baseline, so that rates differ from the board's.
//!
//! **Source.** Dubois 2024 (arXiv 2404.04475), section 3.
//!
//! **Reference numbers.** With `ψ = φ = 0` it is the plain win rate.

use rand_chacha::ChaCha8Rng;

use crate::statistics::bootstrap::Replicates;
use crate::statistics::logistic::{Observation, fit, sigmoid};

/// One prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The preference for the model, in `[0, 1]`.
    pub win: f64,
    /// Characters of the model's output less those of the baseline's.
    pub length_difference: f64,
    /// `γ_x`.
    pub difficulty: f64,
}

/// The fitted coefficients and what follows from them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LengthControlled {
    /// In `[0, 1]`.
    pub win_rate: f64,
    /// `θ`.
    pub model: f64,
    /// `ψ`.
    pub length: f64,
    /// `φ`; 0 where all prompts are of one difficulty.
    pub difficulty: f64,
}

/// `None` where there is no fit: one outcome only, or one that length or difficulty decides.
pub fn length_controlled(comparisons: &[Comparison]) -> Option<LengthControlled> {
    let deviation = deviation(comparisons.iter().map(|comparison| comparison.length_difference))?;
    let varies =
        |of: fn(&Comparison) -> f64| comparisons.iter().any(|comparison| of(comparison) != of(&comparisons[0]));
    // A feature that never varies is the constant again.
    let (by_length, by_difficulty) = (deviation > 0.0, varies(|comparison| comparison.difficulty));
    let observation = |comparison: &Comparison| {
        let mut features = vec![1.0];
        features.extend(by_length.then(|| (comparison.length_difference / deviation).tanh()));
        features.extend(by_difficulty.then_some(comparison.difficulty));
        Observation { features, target: comparison.win, weight: 1.0 }
    };
    let observations: Vec<Observation> = comparisons.iter().map(observation).collect();
    let mut coefficients = fit(&observations)?.into_iter();
    let model = coefficients.next()?;
    let length = if by_length { coefficients.next()? } else { 0.0 };
    let difficulty = coefficients.next().unwrap_or(0.0);
    let wins = comparisons.iter().map(|comparison| sigmoid(model + difficulty * comparison.difficulty));
    let win_rate = wins.sum::<f64>() / comparisons.len() as f64;
    Some(LengthControlled { win_rate, model, length, difficulty })
}

/// The length-controlled win rate of resampled prompts, fitted anew to each.
pub fn bootstrap(comparisons: &[Comparison], resamples: usize, random: &mut ChaCha8Rng) -> Replicates {
    Replicates::draw(comparisons.len(), resamples, random, |prompts| {
        let drawn: Vec<Comparison> = prompts.iter().map(|&prompt| comparisons[prompt]).collect();
        length_controlled(&drawn).map_or(f64::NAN, |fitted| fitted.win_rate)
    })
}

fn deviation(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (count >= 2.0 && squares.is_finite()).then(|| (squares / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::Rng;

    use super::*;
    use crate::random::stream;

    /// O12: 805 prompts by planted coefficients.
    fn planted(seed: u64, [model, length, difficulty]: [f64; 3]) -> Vec<Comparison> {
        let mut random = stream(seed, "planted");
        let mut uniform = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut drawn: Vec<Comparison> = (0..805)
            .map(|_| {
                let length_difference = 900.0 * (uniform() + uniform() + uniform() - 1.2);
                Comparison { win: uniform(), length_difference, difficulty: 3.0 * uniform() - 1.5 }
            })
            .collect();
        let scale = deviation(drawn.iter().map(|comparison| comparison.length_difference)).unwrap();
        for comparison in &mut drawn {
            let logit =
                model + length * (comparison.length_difference / scale).tanh() + difficulty * comparison.difficulty;
            comparison.win = f64::from(u8::from(comparison.win < sigmoid(logit)));
        }
        drawn
    }

    #[test]
    fn planted_coefficients_are_found() {
        let truth = [-0.5, 1.2, 0.8];
        let mut sums = [0.0; 3];
        for seed in 0..20 {
            let fitted = length_controlled(&planted(seed, truth)).unwrap();
            for (sum, found) in sums.iter_mut().zip([fitted.model, fitted.length, fitted.difficulty]) {
                *sum += found / 20.0;
            }
        }
        for (mean, truth) in sums.into_iter().zip(truth) {
            assert!((mean - truth).abs() < 0.08, "{mean} {truth}");
        }
    }

    #[test]
    fn length_is_taken_out() {
        let longer = planted(1, [0.0, 1.5, 0.0]);
        let plain = longer.iter().map(|comparison| comparison.win).sum::<f64>() / 805.0;
        let controlled = length_controlled(&longer).unwrap().win_rate;
        assert!(plain > 0.55 && (controlled - 0.5).abs() < 0.04, "{plain} {controlled}");
    }

    #[test]
    fn without_length_and_difficulty_it_is_the_win_rate() {
        let comparisons: Vec<Comparison> = planted(2, [0.3, 0.0, 0.0])
            .into_iter()
            .map(|comparison| Comparison { length_difference: 7.0, difficulty: 0.0, ..comparison })
            .collect();
        let plain = comparisons.iter().map(|comparison| comparison.win).sum::<f64>() / 805.0;
        let fitted = length_controlled(&comparisons).unwrap();
        assert!((fitted.win_rate - plain).abs() < 1e-9 && fitted.length == 0.0 && fitted.difficulty == 0.0);
    }

    #[test]
    fn the_error_is_that_of_repeating_the_evaluation() {
        let truth = [-0.5, 1.2, 0.8];
        let drawn = bootstrap(&planted(0, truth), 100, &mut stream(0, "refits"));
        let rates: Vec<f64> =
            (100..200).map(|seed| length_controlled(&planted(seed, truth)).unwrap().win_rate).collect();
        let repeated = deviation(rates.iter().copied()).unwrap();
        let ratio = drawn.standard_error().unwrap() / repeated;
        assert!((0.75..1.35).contains(&ratio), "{ratio}");
        // The spread of the fitted values over √n, which the board prints.
        let fitted = length_controlled(&planted(0, truth)).unwrap();
        let values = planted(0, truth)
            .into_iter()
            .map(|comparison| sigmoid(fitted.model + fitted.difficulty * comparison.difficulty));
        let printed = deviation(values.collect::<Vec<_>>().into_iter()).unwrap() / 805.0_f64.sqrt();
        assert!(printed < 0.7 * repeated, "{printed} {repeated}");
    }

    #[test]
    fn one_outcome_has_no_fit() {
        let won: Vec<Comparison> =
            planted(3, [0.0; 3]).into_iter().map(|comparison| Comparison { win: 1.0, ..comparison }).collect();
        assert_eq!(length_controlled(&won), None);
        assert_eq!(length_controlled(&[]), None);
    }
}
