//! Statistical rejection sampling: samples of the optimal policy from samples of the one at hand.
//!
//! **What it optimises.** Nothing; it draws from `π* ∝ π_sft e^{r/β}`, so that preference losses learn from pairs of the policy
//! they estimate. The loss that goes with it is [`preference::rso`](crate::preference::rso).
//!
//! **When to use it.** Between sampling many responses to a prompt and pairing few of them. `β` goes from best-of-N (0) to
//! the samples as they are (infinite).
//!
//! **Formula.** In rounds over the candidates not yet accepted: accept `y` with probability `exp((r(y) - r_max)/β)`, where
//! `r_max` is the highest reward among them; an accepted one is taken out. Until there are as many as wanted.
//!
//! **Source.** Liu 2023 (arXiv 2309.06657), algorithm 1. That algorithm has no end if more are wanted than there are
//! candidates; this one accepts the best of each round without asking for luck, and ends when there are none.
//!
//! **Reference numbers.** 8 of 64 at temperature 0.7, `β` 0.5. In the first round the share accepted is the mean of
//! `exp((r - r_max)/β)`.

/// Which candidates were accepted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accepted {
    /// In the order in which they were.
    pub chosen: Vec<usize>,
    /// How many were looked at; the share accepted says what `β` does to these rewards.
    pub tried: usize,
}

/// At most `wanted` candidates, all if there are fewer. Candidates are visited in random order, so that being sampled early
/// is no advantage. One whose reward is not a number is never accepted. `uniform` draws from `[0, 1)`.
pub fn sample(rewards: &[f64], beta: f64, wanted: usize, mut uniform: impl FnMut() -> f64) -> Accepted {
    let mut left: Vec<usize> = (0..rewards.len()).filter(|&candidate| !rewards[candidate].is_nan()).collect();
    for place in (1..left.len()).rev() {
        let other = (uniform() * (place + 1) as f64) as usize;
        left.swap(place, other.min(place));
    }
    let mut accepted = Accepted::default();
    while !left.is_empty() && accepted.chosen.len() < wanted {
        let most = left.iter().map(|&candidate| rewards[candidate]).fold(f64::NEG_INFINITY, f64::max);
        left.retain(|&candidate| {
            if accepted.chosen.len() == wanted {
                return true;
            }
            accepted.tried += 1;
            let reward = rewards[candidate];
            // The best one's probability is 1 whatever β is; so each round ends with fewer.
            let accept = reward >= most || uniform() < ((reward - most) / beta).exp();
            if accept {
                accepted.chosen.push(candidate);
            }
            !accept
        });
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are random enough, the same on every machine.
    fn random(mut state: u64) -> impl FnMut() -> f64 {
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state ^ state >> 29) >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    const POLICY: [f64; 4] = [0.4, 0.3, 0.2, 0.1];
    const REWARDS: [f64; 4] = [0.0, 0.5, 1.0, 1.5];

    fn draw(uniform: &mut impl FnMut() -> f64) -> usize {
        let mut left = uniform();
        for (answer, probability) in POLICY.iter().enumerate() {
            left -= probability;
            if left < 0.0 {
                return answer;
            }
        }
        POLICY.len() - 1
    }

    /// O4: many candidates of `POLICY`, one accepted.
    #[test]
    fn what_is_accepted_is_distributed_as_the_optimal_policy() {
        for beta in [0.5, 1.0, 4.0] {
            let z: f64 = POLICY.iter().zip(REWARDS).map(|(p, r)| p * (r / beta).exp()).sum();
            let mut uniform = random(7);
            let mut counts = [0.0; 4];
            let (mut tried, mut rounds) = (0.0, 0.0);
            for _ in 0..6000 {
                let answers: Vec<usize> = (0..100).map(|_| draw(&mut uniform)).collect();
                let rewards: Vec<f64> = answers.iter().map(|&answer| REWARDS[answer]).collect();
                let accepted = sample(&rewards, beta, 1, &mut uniform);
                counts[answers[accepted.chosen[0]]] += 1.0;
                tried += accepted.tried as f64;
                rounds += 1.0;
            }
            for answer in 0..4 {
                let expected = POLICY[answer] * (REWARDS[answer] / beta).exp() / z;
                // Three standard deviations of a share of 6,000.
                let tolerance = 3.0 * (expected * (1.0 - expected) / 6000.0_f64).sqrt();
                assert!((counts[answer] / 6000.0 - expected).abs() < tolerance, "β {beta}, {answer}: {counts:?}");
            }
            // One in 1/E[exp((r - r_max)/β)] is accepted.
            let rate = z * (-1.5 / beta).exp();
            assert!((rounds / tried / rate - 1.0).abs() < 0.05, "β {beta}");
        }
    }

    #[test]
    fn a_small_beta_takes_the_best() {
        let rewards = [0.3, 2.0, -1.0, 1.0, 1.5];
        for beta in [0.0, 1e-9] {
            assert_eq!(sample(&rewards, beta, 3, random(1)).chosen, [1, 4, 3]);
        }
        // Ties in any order.
        let mut chosen = sample(&[1.0, 5.0, 5.0, 5.0], 0.0, 3, random(2)).chosen;
        chosen.sort_unstable();
        assert_eq!(chosen, [1, 2, 3]);
    }

    #[test]
    fn a_large_beta_takes_any() {
        let mut uniform = random(3);
        let mut counts = [0.0; 5];
        for _ in 0..5000 {
            for candidate in sample(&[9.0, 0.0, -4.0, 2.0, 1.0], f64::INFINITY, 2, &mut uniform).chosen {
                counts[candidate] += 1.0 / 5000.0;
            }
        }
        assert!(counts.iter().all(|share| (share - 0.4_f64).abs() < 0.03), "{counts:?}");
    }

    #[test]
    fn it_ends() {
        let rewards = [1.0, f64::NAN, -50.0, f64::NEG_INFINITY, 1.0];
        for uniform in [0.0, 0.999_999, 1.0, f64::NAN] {
            let mut chosen = sample(&rewards, 0.1, 100, || uniform).chosen;
            chosen.sort_unstable();
            assert_eq!(chosen, [0, 2, 3, 4]);
        }
        assert!(sample(&[f64::NAN; 3], 0.5, 2, random(4)).chosen.is_empty());
        assert!(sample(&[], 0.5, 2, random(5)).chosen.is_empty());
        assert!(sample(&rewards, 0.5, 0, random(6)).chosen.is_empty());
    }
}
