//! One model against another.

use camelid_eval::judging::length_controlled::{Comparison as Observed, LengthControlled, length_controlled};
use camelid_eval::statistics::Interval;
use camelid_eval::statistics::bootstrap::Replicates;
use camelid_eval::statistics::clustered::clustered_mean;
use camelid_eval::statistics::mean::Mean;
use camelid_eval::stream;
use camelid_records::Judgement;

use super::{Positions, RESAMPLES};

/// Of all intervals.
pub const CONFIDENCE: f64 = 0.95;

/// How often the first model's outputs are preferred.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The mean preference for the first model over the judgements that have one, with the error of groups that are independent of one
    /// another. `None` for fewer than two groups.
    pub win_rate: Option<Mean>,
    pub interval: Option<Interval>,
    /// Of the hypothesis that neither is preferred.
    pub p_value: Option<f64>,
    /// The win rate if every judgement without a preference were lost, and if it were won.
    pub bounds: Option<Interval>,
    pub wins: usize,
    pub ties: usize,
    pub losses: usize,
    /// Judgements without a combined preference: an order was unparsed or failed.
    pub undecided: usize,
    /// Groups, such as prompts.
    pub groups: usize,
    /// Mean characters of either model's outputs.
    pub lengths: [f64; 2],
    pub length_controlled: Option<LengthControl>,
    pub positions: Positions,
}

/// The win rate at equal lengths. Its error is that of fitting again to drawn groups.
#[derive(Clone, Debug, PartialEq)]
pub struct LengthControl {
    pub fitted: LengthControlled,
    pub standard_error: Option<f64>,
    pub interval: Option<Interval>,
    /// Draws that had a fit.
    pub draws: usize,
}

/// The figures of judgements in which the first output is always the first model's.
pub fn compare(judgements: &[Judgement], seed: u64) -> Comparison {
    let decided: Vec<(&Judgement, f64)> =
        judgements.iter().filter_map(|judgement| Some((judgement, judgement.assessment.combined?))).collect();
    let preferences: Vec<f64> = decided.iter().map(|(_, preference)| *preference).collect();
    let groups: Vec<&str> = decided.iter().map(|(judgement, _)| judgement.group.as_str()).collect();
    let win_rate = clustered_mean(&preferences, &groups);
    let undecided = judgements.len() - decided.len();
    let sum: f64 = preferences.iter().sum();
    let all = judgements.len() as f64;
    let bounds = (all > 0.0).then(|| Interval { low: sum / all, high: (sum + undecided as f64) / all });
    let count = |matches: fn(f64) -> bool| preferences.iter().filter(|&&preference| matches(preference)).count();
    let length =
        |place: usize| judgements.iter().map(|judgement| judgement.lengths[place] as f64).sum::<f64>() / all.max(1.0);
    let mut distinct: Vec<&str> = judgements.iter().map(|judgement| judgement.group.as_str()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    Comparison {
        win_rate,
        interval: win_rate.and_then(|mean| mean.interval(CONFIDENCE)).map(within_shares),
        p_value: win_rate.map(|mean| mean.two_sided_p(0.5)),
        bounds,
        wins: count(|preference| preference > 0.5),
        ties: count(|preference| preference == 0.5),
        losses: count(|preference| preference < 0.5),
        undecided,
        groups: distinct.len(),
        lengths: [length(0), length(1)],
        length_controlled: controlled(&decided, &groups, seed),
        positions: Positions::of(judgements.iter().map(|judgement| &judgement.assessment)),
    }
}

/// Student's interval may leave the range that a share has.
fn within_shares(interval: Interval) -> Interval {
    Interval { low: interval.low.max(0.0), high: interval.high.min(1.0) }
}

/// `None` where there is no fit: one outcome only, or one that length decides.
fn controlled(decided: &[(&Judgement, f64)], groups: &[&str], seed: u64) -> Option<LengthControl> {
    let observed = |(judgement, win): &(&Judgement, f64)| Observed {
        win: *win,
        length_difference: judgement.lengths[0] as f64 - judgement.lengths[1] as f64,
        difficulty: 0.0,
    };
    let observed: Vec<Observed> = decided.iter().map(observed).collect();
    let fitted = length_controlled(&observed)?;
    let mut random = stream(seed, "judge/length-controlled");
    let drawn = Replicates::draw_clusters(groups, RESAMPLES, &mut random, |items| {
        let drawn: Vec<Observed> = items.iter().map(|&item| observed[item]).collect();
        length_controlled(&drawn).map_or(f64::NAN, |fitted| fitted.win_rate)
    });
    let (standard_error, interval) = (drawn.standard_error(), drawn.interval(CONFIDENCE));
    Some(LengthControl { fitted, standard_error, interval, draws: drawn.count() })
}
