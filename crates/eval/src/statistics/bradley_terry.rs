//! A scale from pairwise results.
//!
//! **What it fits.** `P(i beats j) = σ(s_i - s_j)` by maximum likelihood, a tie counting half a win for each.
//!
//! **When to use it.** To rank more than two systems of which not every pair has met. A system that has never lost has
//! no finite strength; then there is no fit.
//!
//! **Formula.** Minorise-maximise: `γ_i ← W_i/Σ_j n_ij/(γ_i + γ_j)` with `γ = e^s`, `W_i` the wins of `i` and `n_ij`
//! the games between the two, until nothing moves; intervals by drawing the games again. `Elo = 1000 + 400 s/ln 10`.
//!
//! **Source.** Bradley and Terry 1952; Zermelo 1929; Hunter 2004 (convergence); Chiang 2024 (arXiv 2403.04132) for
//! chatbots.

use rand_chacha::ChaCha8Rng;

use super::bootstrap::Replicates;
use crate::random::below;

/// One game. `score` is the first's: 1 won, 0 lost, a half for a tie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Game {
    pub first: usize,
    pub second: usize,
    pub score: f64,
}

/// Strengths move less than this in the last iteration.
const TOLERANCE: f64 = 1e-10;
const MOST_ITERATIONS: usize = 100_000;

/// The strengths `s` of players `0 .. players`, with mean 0. `None` if some player is not tied to the others by wins in
/// both directions (Ford's condition), or a game names no player or scores outside `[0, 1]`.
pub fn fit(games: &[Game], players: usize) -> Option<Vec<f64>> {
    let mut wins = vec![vec![0.0; players]; players];
    for game in games {
        let known = game.first < players && game.second < players && game.first != game.second;
        if !known || !(0.0..=1.0).contains(&game.score) {
            return None;
        }
        wins[game.first][game.second] += game.score;
        wins[game.second][game.first] += 1.0 - game.score;
    }
    if !is_connected(&wins) {
        return None;
    }
    let won: Vec<f64> = wins.iter().map(|row| row.iter().sum()).collect();
    let mut strengths = vec![0.0_f64; players];
    for _ in 0..MOST_ITERATIONS {
        let mut moved = 0.0_f64;
        for player in 0..players {
            // In logarithms, relative to the player's own strength, so that nothing overflows.
            let expected: f64 = (0..players)
                .map(|other| {
                    let met = wins[player][other] + wins[other][player];
                    met / (1.0 + (strengths[other] - strengths[player]).exp())
                })
                .sum();
            let step = if players > 1 { (won[player] / expected).ln() } else { 0.0 };
            strengths[player] += step;
            moved = moved.max(step.abs());
        }
        if moved < TOLERANCE {
            let mean = strengths.iter().sum::<f64>() / players as f64;
            return Some(strengths.into_iter().map(|strength| strength - mean).collect());
        }
    }
    None
}

/// Whether everyone has, through others, beaten everyone.
fn is_connected(wins: &[Vec<f64>]) -> bool {
    let reaches_all = |beats: &dyn Fn(usize, usize) -> bool| {
        let mut reached = vec![false; wins.len()];
        let mut open = vec![0];
        while let Some(player) = open.pop() {
            if !std::mem::replace(&mut reached[player], true) {
                open.extend((0..wins.len()).filter(|&other| !reached[other] && beats(player, other)));
            }
        }
        reached.into_iter().all(|reached| reached)
    };
    !wins.is_empty() && reaches_all(&|a, b| wins[a][b] > 0.0) && reaches_all(&|a, b| wins[b][a] > 0.0)
}

/// The strengths of each player over resampled games. Draws without a fit are left out.
pub fn bootstrap(games: &[Game], players: usize, resamples: usize, random: &mut ChaCha8Rng) -> Vec<Replicates> {
    let mut strengths = vec![Vec::new(); players];
    for _ in 0..resamples {
        let drawn: Vec<Game> = games.iter().map(|_| games[below(random, games.len())]).collect();
        for (player, strength) in fit(&drawn, players).into_iter().flatten().enumerate() {
            strengths[player].push(strength);
        }
    }
    strengths.into_iter().map(Replicates::of).collect()
}

/// The same scale as chess uses: 400 points are odds of ten to one.
pub fn elo(strength: f64) -> f64 {
    1000.0 + 400.0 / std::f64::consts::LN_10 * strength
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    fn games(results: &[(usize, usize, usize, usize)]) -> Vec<Game> {
        let of = |&(first, second, won, lost): &(usize, usize, usize, usize)| {
            let game = move |score| Game { first, second, score };
            [vec![game(1.0); won], vec![game(0.0); lost]].concat()
        };
        results.iter().flat_map(of).collect()
    }

    #[test]
    fn two_players_differ_by_their_odds() {
        let strengths = fit(&games(&[(0, 1, 30, 10)]), 2).unwrap();
        assert!((strengths[0] - strengths[1] - 3.0_f64.ln()).abs() < 1e-9);
        assert!((elo(strengths[0]) - elo(strengths[1]) - 400.0 * 3.0_f64.log10()).abs() < 1e-6);
    }

    #[test]
    fn at_the_maximum_expected_wins_are_wins() {
        let mut games = games(&[(0, 1, 7, 3), (1, 2, 6, 4), (2, 3, 5, 9), (0, 3, 2, 3), (3, 1, 1, 2)]);
        games.extend([Game { first: 0, second: 2, score: 0.5 }; 3]);
        let strengths = fit(&games, 4).unwrap();
        for player in 0..4 {
            let mut surplus = 0.0;
            for game in &games {
                let expected = 1.0 / (1.0 + (strengths[game.second] - strengths[game.first]).exp());
                let direction = f64::from(u8::from(game.first == player)) - f64::from(u8::from(game.second == player));
                surplus += direction * (game.score - expected);
            }
            assert!(surplus.abs() < 1e-7, "{player}: {surplus}");
        }
        assert!(strengths.iter().sum::<f64>().abs() < 1e-12);
    }

    #[test]
    fn intervals_cover_the_strengths_that_made_the_games() {
        let truth = [0.5, 0.0, -0.5];
        let mut random = stream(3, "games");
        let games: Vec<Game> = (0..1200)
            .map(|game| {
                let (first, second) = [(0, 1), (1, 2), (0, 2)][game % 3];
                let chance = 1.0 / (1.0 + f64::exp(truth[second] - truth[first]));
                Game {
                    first,
                    second,
                    score: f64::from(u8::from((below(&mut random, 1 << 20) as f64) < chance * f64::from(1 << 20))),
                }
            })
            .collect();
        for (replicates, truth) in bootstrap(&games, 3, 200, &mut stream(3, "bootstrap")).into_iter().zip(truth) {
            assert_eq!(replicates.count(), 200);
            let interval = replicates.interval(0.99).unwrap();
            assert!(interval.contains(truth) && interval.width() < 0.5, "{interval:?} {truth}");
        }
    }

    #[test]
    fn who_never_lost_has_no_strength() {
        assert_eq!(fit(&games(&[(0, 1, 3, 0)]), 2), None);
        assert_eq!(fit(&games(&[(0, 1, 3, 1)]), 3), None);
        assert_eq!(fit(&games(&[(0, 2, 3, 1)]), 2), None);
        assert_eq!(fit(&[Game { first: 0, second: 1, score: f64::NAN }], 2), None);
        assert_eq!(fit(&[], 0), None);
        assert_eq!(fit(&[], 1), Some(vec![0.0]));
    }
}
