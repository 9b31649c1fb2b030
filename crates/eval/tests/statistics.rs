//! Figures against scipy's and statsmodels', recorded by `tools/golden_statistics.py`.

use camelid_eval::statistics::bradley_terry::{Game, fit};
use camelid_eval::statistics::clustered::clustered_mean;
use camelid_eval::statistics::mean::{Mean, unpaired_difference};
use camelid_eval::statistics::multiplicity::holm;
use camelid_eval::statistics::paired::{McNemar, paired_difference, permutation_p};
use camelid_eval::statistics::power::Design;
use camelid_eval::statistics::proportion::wilson;
use camelid_eval::stream;
use serde_json::Value;

fn golden(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("golden/statistics.json")).unwrap();
    all[name].clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

#[track_caller]
fn close(name: &str, ours: f64, theirs: &Value) {
    let theirs = number(theirs);
    assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1e-3), "{name}: {ours}, recorded {theirs}");
}

#[test]
fn means_and_their_tests() {
    for case in golden("means").as_array().unwrap() {
        let mean = Mean::of(&numbers(&case["values"])).unwrap();
        let interval = mean.interval(number(&case["confidence"])).unwrap();
        close("p", mean.two_sided_p(number(&case["expected"])), &case["p"]);
        close("low", interval.low, &case["low"]);
        close("high", interval.high, &case["high"]);
    }
}

#[test]
fn differences() {
    let case = golden("differences");
    let (first, second) = (numbers(&case["first"]), numbers(&case["second"]));
    let unpaired = unpaired_difference(&Mean::of(&first).unwrap(), &Mean::of(&second).unwrap()).unwrap();
    close("Welch", unpaired.two_sided_p(0.0), &case["welch_p"]);
    close("low", unpaired.interval(0.95).unwrap().low, &case["low"]);
    close("high", unpaired.interval(0.95).unwrap().high, &case["high"]);
    let first = &first[..second.len()];
    close("pairs", paired_difference(first, &second).unwrap().two_sided_p(0.0), &case["paired_p"]);
    let signs = permutation_p(first, &second, 1 << 14, &mut stream(0, "signs")).unwrap();
    close("signs", signs, &case["permutation_p"]);
}

#[test]
fn shares() {
    for case in golden("wilson").as_array().unwrap() {
        let (right, count) = (number(&case[0]), number(&case[1]) as usize);
        for (confidence, at) in [(0.95, 2), (0.8, 4)] {
            let interval = wilson(right, count, confidence).unwrap();
            close("low", interval.low, &case[at]);
            close("high", interval.high, &case[at + 1]);
        }
    }
}

#[test]
fn pairs_that_differ() {
    for case in golden("mcnemar").as_array().unwrap() {
        let [only_first, only_second] = [0, 1].map(|side| case[side].as_u64().unwrap());
        let counts = McNemar { only_first, only_second };
        close("exact", counts.exact(), &case[2]);
        close("mid-p", counts.mid_p(), &case[3]);
    }
}

#[test]
fn several_tests() {
    let case = golden("holm");
    for (ours, theirs) in holm(&numbers(&case["p"])).into_iter().zip(case["adjusted"].as_array().unwrap()) {
        close("Holm", ours, theirs);
    }
}

#[test]
fn clusters() {
    let case = golden("clustered");
    let mean = clustered_mean(
        &numbers(&case["values"]),
        &numbers(&case["clusters"]).iter().map(|&c| c as u8).collect::<Vec<_>>(),
    )
    .unwrap();
    close("mean", mean.value, &case["value"]);
    close("error", mean.standard_error, &case["error"]);
}

#[test]
fn strengths() {
    let case = golden("bradley_terry");
    let game = |game: &Value| Game {
        first: number(&game[0]) as usize,
        second: number(&game[1]) as usize,
        score: number(&game[2]),
    };
    let games: Vec<Game> = case["games"].as_array().unwrap().iter().map(game).collect();
    for (ours, theirs) in fit(&games, 5).unwrap().into_iter().zip(numbers(&case["strengths"])) {
        assert!((ours - theirs).abs() < 1e-6, "{ours}, BFGS finds {theirs}");
    }
}

#[test]
fn needed_items() {
    let case = golden("needed");
    let design = Design { alpha: number(&case["alpha"]), power: number(&case["power"]) };
    let count = design.needed_count(number(&case["variance"]), number(&case["effect"])).unwrap();
    assert_eq!(count as f64, number(&case["count"]).ceil());
}
