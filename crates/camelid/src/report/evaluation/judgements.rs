//! Win rates from a file of preferences.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use camelid_eval::judging::win_rate::{WinRate, win_rate};
use camelid_records::raw_rows;
use camelid_report::{Block, Cell, Section, Table};
use serde_json::Value as Json;

/// Rows with `preference` from 1 (the first output is better) to 2, null where the judge gave none, and `generator_2`, whose output it is.
pub(super) fn section(path: &Path) -> anyhow::Result<Section> {
    let mut by_model: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for row in raw_rows(path)? {
        let row = match row? {
            Ok(row) => row,
            Err(reject) => bail!("{}: {}\n  fix: {}", reject.provenance, reject.reason, reject.fix),
        };
        let place = &row.provenance;
        let preference = match row.fields.get("preference") {
            Some(Json::Null) => None,
            Some(Json::Number(number)) => {
                let number = number.as_f64().filter(|number| *number == 0.0 || (1.0..=2.0).contains(number));
                let Some(number) = number else {
                    bail!(
                        "{place}: preference: it lies outside 1 to 2\n  fix: write 1 where the baseline is better, 2 where the model is"
                    );
                };
                Some(number)
            }
            _ => bail!(
                "{place}: there is no number `preference`\n  fix: name a file of judgements, with preferences from 1 to 2"
            ),
        };
        let model = row.fields.get("generator_2").and_then(Json::as_str).unwrap_or("model");
        by_model.entry(model.to_owned()).or_default().push(preference);
    }
    let rows = by_model.iter().map(|(model, preferences)| {
        let number = |count: usize| Cell::Number(count as f64);
        let Some(WinRate { mean, ties, missing }) = win_rate(preferences) else {
            return vec![Cell::text(model), number(preferences.len()), Cell::Missing, Cell::Missing, Cell::Missing];
        };
        let interval = mean.interval(0.95).map(|interval| (interval.low, interval.high));
        vec![Cell::text(model), number(mean.count), Cell::measured(mean.value, interval), number(ties), number(missing)]
    });
    let table = Table {
        caption: format!(
            "Against the baseline of {}. A judge that was not certified may be wrong in a way that no interval shows.",
            path.display()
        ),
        columns: ["model", "judgements", "win rate", "ties", "without preference"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
    };
    Ok(Section { heading: "Win rates".into(), blocks: vec![Block::Table(table)] })
}
