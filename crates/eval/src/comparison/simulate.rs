//! How often gates say what is true, in evaluations whose truth is planted.
//!
//! **Model.** Each item has a luck that both models share and one of each model's own: a model gets the item right if `√ρ θ + √(1 - ρ)
//! ε < Φ⁻¹(rate)`, all terms standard normal, so that the rates of both are exactly what was planted and `ρ` says how alike the models
//! are. In groups the models' own luck is shared in part: `ε = √γ g + √(1 - γ) e`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde::Serialize;

use super::gate::{GateDesign, test};
use super::{Difference, PairedScores};
use crate::random::stream;
use crate::statistics::non_inferiority::Verdict;
use crate::statistics::proportion::wilson;
use crate::statistics::{Interval, normal_quantile};

/// The models and the items.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// How often the model is right before.
    pub rate: f64,
    /// `ρ`: how alike the two models' luck is, from 0 to 1.
    pub correlation: f64,
    /// Items of a group; 1 for independent ones.
    pub group_size: usize,
    /// `γ`: how far a model's own luck is that of the group, from 0 to 1.
    pub within: f64,
}

impl Setting {
    /// Related models on independent items: a checkpoint and what was tuned from it.
    pub const RELATED: Self = Self { rate: 0.6, correlation: 0.9, group_size: 1, within: 0.0 };

    fn is_known(&self) -> bool {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        self.rate > 0.0 && self.rate < 1.0 && share(self.correlation) && share(self.within) && self.group_size > 0
    }

    /// One evaluation of `count` items before and after a loss of `loss`.
    pub fn draw(&self, count: usize, loss: f64, random: &mut ChaCha8Rng) -> PairedScores {
        let thresholds = [self.rate, self.rate - loss]
            .map(|rate| if rate <= 0.0 { f64::NEG_INFINITY } else { normal_quantile(rate.min(1.0)) });
        let (shared, own) = (self.correlation.sqrt(), (1.0 - self.correlation).sqrt());
        let (of_group, of_item) = (self.within.sqrt(), (1.0 - self.within).sqrt());
        let mut scores = PairedScores::default();
        let mut group = [0.0; 2];
        for item in 0..count {
            if item % self.group_size == 0 && self.within > 0.0 {
                group = [normal(random), normal(random)];
            }
            let luck = normal(random);
            let mut is_right = |side: usize| {
                let own_luck = of_group * group[side] + of_item * normal(random);
                f64::from(u8::from(shared * luck + own * own_luck < thresholds[side]))
            };
            scores.before.push(is_right(0));
            scores.after.push(is_right(1));
            scores.clusters.push(item / self.group_size);
        }
        scores
    }
}

/// What gates said of one planted loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Frequencies {
    pub loss: f64,
    pub count: usize,
    pub repetitions: usize,
    pub kept: usize,
    pub lost: usize,
    pub not_shown: usize,
    /// The mean share of items on which the models differ.
    pub differing: f64,
}

impl Frequencies {
    /// The share of gates with this verdict, with its 95 % interval.
    pub fn share(&self, verdicts: usize) -> (f64, Option<Interval>) {
        (verdicts as f64 / self.repetitions as f64, wilson(verdicts as f64, self.repetitions, 0.95))
    }
}

/// Gates over `repetitions` evaluations of `count` items after a planted loss. `None` for a setting or design that cannot be, without
/// items or repetitions, and for a loss of all or more.
pub fn frequencies(
    setting: &Setting,
    design: GateDesign,
    loss: f64,
    count: usize,
    repetitions: usize,
    seed: u64,
) -> Option<Frequencies> {
    if !setting.is_known()
        || count == 0
        || repetitions == 0
        || !(setting.rate - loss > 0.0 && setting.rate - loss < 1.0)
    {
        return None;
    }
    let mut random = stream(seed, &format!("gate, {count} items, loss {loss}"));
    let mut counts = Frequencies { loss, count, repetitions, kept: 0, lost: 0, not_shown: 0, differing: 0.0 };
    for _ in 0..repetitions {
        let scores = setting.draw(count, loss, &mut random);
        let difference = Difference::of(&scores)?;
        let differing = difference.answers.map_or(0, |pairs| pairs.only_first + pairs.only_second);
        counts.differing += differing as f64 / count as f64 / repetitions as f64;
        *match test(&difference, design)?.verdict {
            Verdict::Kept => &mut counts.kept,
            Verdict::Lost => &mut counts.lost,
            Verdict::Undecided => &mut counts.not_shown,
        } += 1;
    }
    Some(counts)
}

fn normal(random: &mut ChaCha8Rng) -> f64 {
    // In the middle of one of 2⁵³ equal parts of the unit interval, so that it is never 0 or 1.
    normal_quantile(((random.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESIGN: GateDesign = GateDesign { margin: 0.03, alpha: 0.05, power: 0.8 };

    fn share(setting: &Setting, loss: f64, count: usize, pick: fn(&Frequencies) -> usize) -> f64 {
        let counts = frequencies(setting, DESIGN, loss, count, 2000, 3).unwrap();
        pick(&counts) as f64 / 2000.0
    }

    #[test]
    fn rates_are_what_was_planted() {
        let scores = Setting::RELATED.draw(40_000, 0.05, &mut stream(1, "rates"));
        let difference = Difference::of(&scores).unwrap();
        assert!((difference.before - 0.6).abs() < 0.008 && (difference.value + 0.05).abs() < 0.006, "{difference:?}");
    }

    /// Planted losses of 0, 2, 5 and 10 points against a margin of 3: what lost more than the margin passes in at most 5 %, what lost
    /// less is called lost in at most 5 %, and the power is what the formula says.
    #[test]
    fn gates_are_right_as_often_as_they_say() {
        let related = Setting::RELATED;
        let (kept, lost): (fn(&Frequencies) -> usize, fn(&Frequencies) -> usize) = (|c| c.kept, |c| c.lost);
        // Three standard errors of the simulation above 5 %.
        let most = 0.05 + 3.0 * (0.05_f64 * 0.95 / 2000.0).sqrt();
        for count in [300, 1000] {
            assert!(share(&related, 0.03, count, kept) < most, "{}", share(&related, 0.03, count, kept));
            assert!(share(&related, 0.05, count, kept) < 0.05);
            assert!(share(&related, 0.10, count, kept) < 0.001);
            assert!(share(&related, 0.0, count, lost) < 0.01);
            assert!(share(&related, 0.02, count, lost) < 0.05);
            assert!(share(&related, 0.03, count, lost) < most);
        }
        let needed = Difference::of(&related.draw(100_000, 0.0, &mut stream(0, "needed"))).unwrap();
        let needed = needed.answers.unwrap().needed_for_gate(0.03, 0.05, 0.8, needed.clustering).unwrap();
        let power = share(&related, 0.0, needed, kept);
        assert!((0.77..=0.83).contains(&power), "{needed} items: {power}");
        assert!(share(&related, 0.10, 1000, lost) > 0.98);
    }

    #[test]
    fn groups_are_seen() {
        let grouped = Setting { group_size: 10, within: 0.8, ..Setting::RELATED };
        let most = 0.05 + 3.0 * (0.05_f64 * 0.95 / 2000.0).sqrt();
        let passes = share(&grouped, 0.03, 400, |c| c.kept);
        assert!(passes < most, "{passes}");
        // Were they taken as independent, too many would pass.
        let mut random = stream(5, "alone");
        let alone = (0..2000).filter(|_| {
            let mut scores = grouped.draw(400, 0.03, &mut random);
            scores.clusters = (0..400).collect();
            let difference = Difference::of(&scores).unwrap();
            test(&difference, DESIGN).unwrap().verdict == Verdict::Kept
        });
        let alone = alone.count() as f64 / 2000.0;
        assert!(alone > most, "{alone}");
    }

    #[test]
    fn refusals() {
        assert_eq!(frequencies(&Setting::RELATED, DESIGN, 0.7, 100, 10, 0), None);
        assert_eq!(frequencies(&Setting { group_size: 0, ..Setting::RELATED }, DESIGN, 0.0, 100, 10, 0), None);
        assert_eq!(frequencies(&Setting::RELATED, DESIGN, 0.0, 0, 10, 0), None);
    }
}
