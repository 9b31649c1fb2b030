//! Scores of a judge that is asked several times in both orders, and the items that a person should decide.
//!
//! **Formulas.** MEC: `k` times an explanation first, then scores. BPC: the mean of an output's scores over both
//! orders, `CS = Σ_k (S^k + S'^k)/2k`. BPDE: the entropy `-Σ p ln p` of the `2k` verdicts over {win, tie, lose}; items
//! with the highest go to a person (HITLC). Conflict rate: the share of items whose verdict changes with the order.
//!
//! **Source.** Wang 2023 (arXiv 2305.17926), sections 2 and 3.
//!
//! **Reference numbers.** BPDE is 0 where all verdicts agree and `ln 3 = 1.0986` at most. The people of the paper
//! judged 41 wins of ChatGPT over Vicuna-13B, 14 ties and 25 losses.

use super::Output;

/// Scores of both outputs from one answer of the judge, in the order of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    pub first: f64,
    pub second: f64,
}

impl Scores {
    /// The output with the higher score; `None` for a tie.
    pub fn winner(self) -> Option<Output> {
        match self.first.total_cmp(&self.second) {
            std::cmp::Ordering::Greater => Some(Output::First),
            std::cmp::Ordering::Less => Some(Output::Second),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// All answers about one item that could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    pub as_given: Vec<Scores>,
    pub swapped: Vec<Scores>,
}

fn mean(scores: &[Scores]) -> Option<Scores> {
    let count = scores.len() as f64;
    let of = |side: fn(&Scores) -> f64| scores.iter().map(side).sum::<f64>() / count;
    (!scores.is_empty()).then(|| Scores { first: of(|scores| scores.first), second: of(|scores| scores.second) })
}

impl Evidence {
    /// Balanced position calibration: the mean of the two orders' means, so that an answer that could not be read in
    /// one order does not give the other more weight. `None` unless both orders have an answer.
    pub fn calibrated(&self) -> Option<Scores> {
        mean(&[mean(&self.as_given)?, mean(&self.swapped)?])
    }

    /// Balanced position diversity entropy, in nats; 0 without answers.
    pub fn diversity_entropy(&self) -> f64 {
        let verdicts: Vec<Option<Output>> =
            self.as_given.iter().chain(&self.swapped).map(|scores| scores.winner()).collect();
        let entropy = |outcome: Option<Output>| {
            let share = verdicts.iter().filter(|&&verdict| verdict == outcome).count() as f64 / verdicts.len() as f64;
            if share > 0.0 { -share * share.ln() } else { 0.0 }
        };
        [Some(Output::First), None, Some(Output::Second)].map(entropy).iter().sum()
    }

    /// Whether the orders' mean scores name different winners (a tie is a verdict too). `None` unless both have an
    /// answer.
    pub fn conflicts(&self) -> Option<bool> {
        Some(mean(&self.as_given)?.winner() != mean(&self.swapped)?.winner())
    }
}

/// The share of items whose verdict changes with the order, of those with answers in both.
pub fn conflict_rate(items: &[Evidence]) -> Option<f64> {
    let known: Vec<bool> = items.iter().filter_map(Evidence::conflicts).collect();
    (!known.is_empty()).then(|| known.iter().filter(|&&conflicts| conflicts).count() as f64 / known.len() as f64)
}

/// The items for a person: the `share` with the highest entropy, most uncertain first; among equals the earlier. Items
/// without an answer in one of the orders are for a person in any case and come before all.
pub fn for_people(items: &[Evidence], share: f64) -> Vec<usize> {
    let urgency = |item: &Evidence| if item.calibrated().is_some() { item.diversity_entropy() } else { f64::INFINITY };
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|&a, &b| urgency(&items[b]).total_cmp(&urgency(&items[a])));
    let unread = items.iter().filter(|item| item.calibrated().is_none()).count();
    order.truncate(((items.len() as f64 * share.clamp(0.0, 1.0)).round() as usize).max(unread));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(as_given: &[(f64, f64)], swapped: &[(f64, f64)]) -> Evidence {
        let scores = |pairs: &[(f64, f64)]| pairs.iter().map(|&(first, second)| Scores { first, second }).collect();
        Evidence { as_given: scores(as_given), swapped: scores(swapped) }
    }

    /// O13.
    #[test]
    fn by_hand() {
        // The first is ahead by two when read first, behind by one when read second.
        let item = evidence(&[(9.0, 7.0), (8.0, 6.0), (8.0, 8.0)], &[(7.0, 8.0), (7.0, 8.0), (8.0, 8.0)]);
        let calibrated = item.calibrated().unwrap();
        assert!((calibrated.first - 47.0 / 6.0).abs() < 1e-12 && (calibrated.second - 45.0 / 6.0).abs() < 1e-12);
        // Two wins, two ties, two losses.
        assert!((item.diversity_entropy() - 3.0_f64.ln()).abs() < 1e-12);
        assert_eq!(item.conflicts(), Some(true));
        let sure = evidence(&[(9.0, 2.0); 3], &[(8.0, 1.0); 3]);
        assert_eq!((sure.diversity_entropy(), sure.conflicts()), (0.0, Some(false)));
        // Five wins of six: -(5/6 ln 5/6 + 1/6 ln 1/6).
        let nearly = evidence(&[(9.0, 2.0); 3], &[(8.0, 1.0), (8.0, 1.0), (3.0, 4.0)]);
        assert!((nearly.diversity_entropy() - 0.450_561_208_866_304_5).abs() < 1e-12);
        assert_eq!(conflict_rate(&[item.clone(), sure.clone()]), Some(0.5));
        assert_eq!(for_people(&[sure.clone(), nearly.clone(), item.clone()], 0.67), [2, 1]);
        let unread = evidence(&[(9.0, 2.0)], &[]);
        assert_eq!(for_people(&[sure, unread.clone(), item], 0.0), [1]);
        assert_eq!((unread.calibrated(), unread.conflicts(), conflict_rate(&[unread])), (None, None, None));
    }

    #[test]
    fn unread_answers_do_not_unbalance_the_orders() {
        let item = evidence(&[(9.0, 5.0), (9.0, 5.0), (9.0, 5.0)], &[(5.0, 9.0)]);
        let calibrated = item.calibrated().unwrap();
        assert_eq!((calibrated.first, calibrated.second), (7.0, 7.0));
        assert_eq!(calibrated.winner(), None);
    }
}
