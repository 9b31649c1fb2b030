//! O12: win rates and errors of every model with recorded annotations, against the published boards.
//!
//! The annotations may not be copied (CC BY-NC 4.0). The folder that the variable `CAMELID_DATA` names must hold them
//! as `alpaca_eval/preferences_av1.jsonl.gz`, `preferences_av2.jsonl.gz` (model, preference) and the boards under
//! `alpaca_eval/leaderboards`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use camelid_eval::judging::win_rate::win_rate;
use serde_json::Value;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CAMELID_DATA").map(|folder| PathBuf::from(folder).join("alpaca_eval"));
    if folder.is_none() {
        eprintln!("skipped: CAMELID_DATA does not name a folder with alpaca_eval");
    }
    folder
}

/// Rows by model.
fn annotations(file: &Path) -> BTreeMap<String, Vec<Value>> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let mut models: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        models.entry(row["model"].as_str().unwrap().to_owned()).or_default().push(row);
    }
    models
}

/// Model, win rate, standard error.
fn board(file: &Path) -> BTreeMap<String, (f64, f64)> {
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let columns: Vec<&str> = line.split(',').collect();
        (columns[0].to_owned(), (columns[1].parse().unwrap(), columns[2].parse().unwrap()))
    });
    rows.collect()
}

#[test]
fn every_recorded_win_rate_and_error() {
    let Some(folder) = folder() else { return };
    for (annotations_file, board_file, listed) in [
        ("preferences_av2.jsonl.gz", "data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv", 57),
        ("preferences_av1.jsonl.gz", "data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv", 52),
    ] {
        let board = board(&folder.join("leaderboards").join(board_file));
        let mut compared = 0;
        for (model, rows) in annotations(&folder.join(annotations_file)) {
            let Some((published, error)) = board.get(&model) else { continue };
            let preferences: Vec<Option<f64>> = rows.iter().map(|row| row["preference"].as_f64()).collect();
            let rate = win_rate(&preferences).unwrap();
            assert!((100.0 * rate.mean.value - published).abs() < 1e-6, "{model}: {rate:?} {published}");
            assert!((100.0 * rate.mean.standard_error - error).abs() < 1e-6, "{model}: {rate:?} {error}");
            compared += 1;
        }
        assert_eq!(compared, listed, "{board_file}");
    }
}
