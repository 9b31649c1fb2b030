//! Several models on one scale, from all their pairs.

use std::collections::BTreeMap;

use camelid_eval::statistics::Interval;
use camelid_eval::statistics::bootstrap::Replicates;
use camelid_eval::statistics::bradley_terry::{Game, elo, fit};
use camelid_eval::stream;
use camelid_records::Judgement;

use super::{CONFIDENCE, Positions, RESAMPLES};

/// A judgement about two of the models, by their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    pub first: usize,
    pub second: usize,
    pub judgement: Judgement,
}

/// One model's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placing {
    pub model: usize,
    /// Mean preference over all its matches.
    pub win_rate: Option<f64>,
    /// Matches with a preference.
    pub matches: usize,
    /// `s` of Bradley and Terry, with mean 0 over the models; `None` where there is no fit.
    pub strength: Option<f64>,
    pub elo: Option<f64>,
    /// Of the Elo, from drawing prompts again.
    pub interval: Option<Interval>,
}

/// All models, the strongest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    pub placings: Vec<Placing>,
    /// Draws that had a fit, of those that were made.
    pub draws: usize,
    pub undecided: usize,
    pub positions: Positions,
}

/// Ranks models `0 .. models`. All matches on one prompt are drawn together, since they share its difficulty and outputs.
pub fn rank(matches: &[Match], models: usize, seed: u64) -> Ranking {
    let played: Vec<(&Match, f64)> =
        matches.iter().filter_map(|played| Some((played, played.judgement.assessment.combined?))).collect();
    let games: Vec<Game> =
        played.iter().map(|&(played, score)| Game { first: played.first, second: played.second, score }).collect();
    let mut prompts: BTreeMap<&str, Vec<Game>> = BTreeMap::new();
    for (game, (played, _)) in games.iter().zip(&played) {
        prompts.entry(&played.judgement.group).or_default().push(*game);
    }
    let prompts: Vec<Vec<Game>> = prompts.into_values().collect();
    let mut strengths = vec![Vec::new(); models];
    let mut random = stream(seed, "judge/rank");
    // Draws are made through the general bootstrap; each draw's strengths are kept as they come.
    let drawn = Replicates::draw(prompts.len(), RESAMPLES, &mut random, |items| {
        let games: Vec<Game> = items.iter().flat_map(|&prompt| prompts[prompt].iter().copied()).collect();
        let Some(found) = fit(&games, models) else { return f64::NAN };
        for (model, strength) in found.into_iter().enumerate() {
            strengths[model].push(strength);
        }
        0.0
    });
    let fitted = fit(&games, models);
    let placing = |model: usize| {
        let scores = games.iter().filter_map(|game| match model {
            model if model == game.first => Some(game.score),
            model if model == game.second => Some(1.0 - game.score),
            _ => None,
        });
        let scores: Vec<f64> = scores.collect();
        let strength = fitted.as_ref().and_then(|strengths| strengths.get(model).copied());
        Placing {
            model,
            win_rate: (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64),
            matches: scores.len(),
            strength,
            elo: strength.map(elo),
            interval: strength.and_then(|_| percentiles(&strengths[model])),
        }
    };
    let mut placings: Vec<Placing> = (0..models).map(placing).collect();
    let worth = |placing: &Placing| (placing.strength, placing.win_rate);
    placings.sort_by(|a, b| worth(b).partial_cmp(&worth(a)).unwrap_or(std::cmp::Ordering::Equal));
    Ranking {
        placings,
        draws: drawn.count(),
        undecided: matches.len() - played.len(),
        positions: Positions::of(matches.iter().map(|played| &played.judgement.assessment)),
    }
}

/// The percentile interval of Elo from drawn strengths.
fn percentiles(strengths: &[f64]) -> Option<Interval> {
    let mut ascending: Vec<f64> = strengths.iter().map(|&strength| elo(strength)).collect();
    ascending.sort_unstable_by(f64::total_cmp);
    let last = ascending.len().checked_sub(1)?;
    let quantile = |probability: f64| {
        let place = probability * last as f64;
        let (below, above) = (ascending[place.floor() as usize], ascending[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    Some(Interval { low: quantile(0.5 - CONFIDENCE / 2.0), high: quantile(0.5 + CONFIDENCE / 2.0) })
}
