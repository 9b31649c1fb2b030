//! The tokens that may be drawn, and how likely each is.

use crate::Drawn;

/// Tokens with their scores, most likely first, and their unnormalised probabilities.
#[derive(Default)]
pub(crate) struct Candidates {
    /// (token, score), descending in score and ascending in token where scores are equal.
    sorted: Vec<(u32, f32)>,
    /// `exp(score - largest)` of each.
    weights: Vec<f64>,
}

/// Candidates sorted at first where a probability decides how many are needed.
const FIRST: usize = 64;
/// Probabilities added up in `f32` before they are added in `f64`.
const RUN: usize = 256;

/// The first of the largest, as `argmax` of the peers.
pub(crate) fn most_likely(scores: &[f32]) -> u32 {
    let largest = largest(scores);
    scores.iter().position(|&score| score == largest).unwrap_or(0) as u32
}

/// `exp(x)` for `x ≤ 0` to a few units in the last place, in a form that compiles to vector code. Below -87 it is 0.
#[inline]
fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5 · 2^23 rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let scaled = x * std::f32::consts::LOG2_E;
    let whole = (scaled + ROUND) - ROUND;
    let rest = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * rest + coefficient;
    }
    let power = f32::from_bits(((whole.max(-126.0) as i32 + 127) << 23).cast_unsigned());
    if x < -87.0 { 0.0 } else { sum * power }
}

/// Numbers taken up side by side: sums and maxima of one after another would wait for each other.
const LANES: usize = 16;

fn largest(scores: &[f32]) -> f32 {
    let (chunks, rest) = scores.as_chunks::<LANES>();
    let mut maxima = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (max, &score) in maxima.iter_mut().zip(chunk) {
            *max = if score > *max { score } else { *max };
        }
    }
    maxima.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &score| if score > max { score } else { max })
}

/// `Σ exp(score - shift)`, at most [`RUN`] of them.
fn mass(scores: &[f32], shift: f32) -> f64 {
    let (chunks, rest) = scores.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, &score) in sums.iter_mut().zip(chunk) {
            *sum += exp(score - shift);
        }
    }
    f64::from(sums.iter().sum::<f32>() + rest.iter().map(|&score| exp(score - shift)).sum::<f32>())
}

/// `log Σ exp(score)`, which is what a model's head says of a row of its own logits.
pub(crate) fn log_normaliser(scores: &[f32]) -> f64 {
    let largest = largest(scores);
    f64::from(largest) + scores.chunks(RUN).map(|run| mass(run, largest)).sum::<f64>().ln()
}

/// Draws from the softmax of all scores; `share` is uniform in [0, 1). Only tokens up to the drawn one are looked at.
pub(crate) fn draw_from_all(scores: &[f32], log_normaliser: f64, share: f64) -> Drawn {
    // A log-probability is at most 0, which is what `exp` asks for; rounding may make the nearest one positive.
    let shift = log_normaliser as f32;
    let shift = if f64::from(shift) < log_normaliser { shift.next_up() } else { shift };
    let correction = (f64::from(shift) - log_normaliser).exp();
    let (mut left, mut last) = (share / correction, None);
    for (index, run) in scores.chunks(RUN).enumerate() {
        let of_run = mass(run, shift);
        if left >= of_run {
            left -= of_run;
            continue;
        }
        for (offset, &score) in run.iter().enumerate() {
            let weight = f64::from(exp(score - shift));
            if weight > 0.0 {
                last = Some(index * RUN + offset);
                left -= weight;
                if left < 0.0 {
                    break;
                }
            }
        }
        break;
    }
    // Rounded sums may fall short of 1, and who drew the last bit of share gets the likeliest token.
    let token = last.unwrap_or_else(|| most_likely(scores) as usize);
    Drawn { token: token as u32, log_prob: (f64::from(scores[token]) - log_normaliser) as f32 }
}

impl Candidates {
    /// The `top_k` most likely (0 for all), and of these the shortest head whose probability reaches `top_p`.
    pub(crate) fn keep_top(&mut self, scores: &[f32], top_k: usize, top_p: f32) {
        let largest = largest(scores);
        let all = if top_k == 0 { scores.len() } else { top_k.min(scores.len()) };
        self.sorted.clear();
        self.sorted.extend(scores.iter().enumerate().map(|(token, &score)| (token as u32, score)));
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if all < self.sorted.len() {
            self.sorted.select_nth_unstable_by(all - 1, order);
            self.sorted.truncate(all);
        }
        let mass: f64 = if top_p < 1.0 {
            let total = |candidates: &[(u32, f32)]| {
                candidates.iter().map(|(_, score)| f64::from(exp(score - largest))).sum::<f64>()
            };
            f64::from(top_p)
                * if all < scores.len() {
                    total(&self.sorted)
                } else {
                    scores.chunks(RUN).map(|run| mass(run, largest)).sum()
                }
        } else {
            f64::INFINITY
        };
        // Few candidates hold most of the probability: sort only as many as are needed.
        let mut wanted = if top_p < 1.0 { FIRST.min(all) } else { all };
        loop {
            if wanted < self.sorted.len() {
                self.sorted.select_nth_unstable_by(wanted - 1, order);
            }
            let reached: f64 = self.sorted[..wanted].iter().map(|(_, score)| f64::from(exp(score - largest))).sum();
            if reached >= mass || wanted == all {
                break;
            }
            wanted = (wanted * 8).min(all);
        }
        self.sorted.truncate(wanted);
        self.sorted.sort_unstable_by(order);
        self.weights.clear();
        self.weights.extend(self.sorted.iter().map(|(_, score)| f64::from(exp(score - largest))));
        let mut sum = 0.0;
        let needed = self.weights.iter().take_while(|&&weight| {
            let needed = sum < mass;
            sum += weight;
            needed
        });
        let kept = needed.count().max(1);
        self.truncate(kept);
    }

    /// Those at least `min_p` times as likely as the most likely one.
    pub(crate) fn keep_likely(&mut self, min_p: f32) {
        let least = f64::from(min_p) * self.weights[0];
        let kept = self.weights.iter().take_while(|&&weight| weight >= least).count().max(1);
        self.truncate(kept);
    }

    /// Those whose surprise is nearest to the entropy, until their probability reaches `typical_p`.
    pub(crate) fn keep_typical(&mut self, typical_p: f32) {
        if typical_p >= 1.0 {
            return;
        }
        let total: f64 = self.weights.iter().sum();
        let surprise = |weight: f64| -(weight / total).ln();
        let entropy: f64 =
            self.weights.iter().filter(|w| **w > 0.0).map(|&weight| weight / total * surprise(weight)).sum();
        let mut places: Vec<usize> = (0..self.weights.len()).filter(|&place| self.weights[place] > 0.0).collect();
        let distance = |place: &usize| (surprise(self.weights[*place]) - entropy).abs();
        places.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then(a.cmp(b)));
        let mut sum = 0.0;
        let needed = places.iter().take_while(|&&place| {
            let needed = sum < f64::from(typical_p) * total;
            sum += self.weights[place];
            needed
        });
        let kept = needed.count().max(1).min(places.len());
        places.truncate(kept);
        places.sort_unstable();
        self.sorted = places.iter().map(|&place| self.sorted[place]).collect();
        self.weights = places.iter().map(|&place| self.weights[place]).collect();
    }

    fn truncate(&mut self, kept: usize) {
        self.sorted.truncate(kept);
        self.weights.truncate(kept);
    }

    /// Draws from what is left; `share` is uniform in [0, 1).
    pub(crate) fn draw(&self, share: f64) -> Drawn {
        let total: f64 = self.weights.iter().sum();
        let mut left = share * total;
        let mut place = 0;
        for (index, &weight) in self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            place = index;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        Drawn { token: self.sorted[place].0, log_prob: (self.weights[place] / total).ln() as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_exponential_is_the_exponential() {
        for step in 0..=8700 {
            let x = -0.01 * step as f32;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) - expected).abs() <= 3e-7 * expected + f64::from(f32::MIN_POSITIVE), "{x}");
        }
        assert_eq!([exp(0.0), exp(-88.0), exp(f32::NEG_INFINITY)], [1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_share_lands_where_the_cumulative_distribution_reaches_it() {
        let scores: Vec<f32> = (0..5003).map(|i| ((i * 7919 % 5003) as f32 * 0.37).sin() * 6.0).collect();
        let exact: Vec<f64> = scores.iter().map(|&score| f64::from(score).exp()).collect();
        let total: f64 = exact.iter().sum();
        assert!((log_normaliser(&scores) - total.ln()).abs() < 1e-6);
        for step in 0..=1000 {
            let share = f64::from(step) / 1000.0 * (1.0 - 1e-9);
            let Drawn { token, log_prob } = draw_from_all(&scores, total.ln(), share);
            let below: f64 = exact[..token as usize].iter().sum::<f64>() / total;
            let probability = exact[token as usize] / total;
            assert!(below - 1e-5 <= share && share <= below + probability + 1e-5, "{share}: {token} at {below}");
            assert!((f64::from(log_prob) - probability.ln()).abs() < 1e-5);
        }
    }

    #[test]
    fn nothing_impossible_is_drawn() {
        let mut scores = vec![f32::NEG_INFINITY; 1000];
        (scores[3], scores[700]) = (0.0, 0.0);
        for share in [0.0, 0.499, 0.501, 1.0 - f64::EPSILON] {
            let token = draw_from_all(&scores, 2f64.ln(), share).token;
            assert_eq!(token, if share < 0.5 { 3 } else { 700 }, "{share}");
        }
    }

    #[test]
    fn a_long_tail_is_cut_where_sorting_all_would_cut_it() {
        let scores: Vec<f32> = (0..5000).map(|i| -((i * 7919 % 5000) as f32).sqrt() / 9.0).collect();
        for top_p in [0.1_f32, 0.6, 0.97, 0.9999] {
            let mut candidates = Candidates::default();
            candidates.keep_top(&scores, 0, top_p);
            let mut all: Vec<f64> = scores.iter().map(|&score| f64::from(score).exp()).collect();
            all.sort_by(|a, b| b.total_cmp(a));
            let total: f64 = all.iter().sum();
            let (mut sum, mut kept) = (0.0, 0);
            while sum < f64::from(top_p) * total {
                sum += all[kept];
                kept += 1;
            }
            assert!(candidates.sorted.len().abs_diff(kept) <= 1, "{top_p}: {} {kept}", candidates.sorted.len());
        }
    }
}
