//! What a report shows of a gate.

use std::path::Path;

use camelid_report::{Block, Cell, Section, Table};
use serde_json::Value as Json;

use super::{FILE, PAGE};

/// The verdict with its figures; nothing where no gate was held.
pub(crate) fn sections(directory: &Path) -> Vec<Section> {
    let read = std::fs::read_to_string(directory.join(FILE)).ok();
    let Some(gate) = read.and_then(|text| serde_json::from_str::<Json>(&text).ok()) else { return Vec::new() };
    let good = gate["passed"].as_bool().unwrap_or(false);
    let text = gate["sentence"].as_str().unwrap_or_default().to_owned();
    let sides = format!(
        "{} against {}. Both evaluations item by item are in {PAGE} beside this page.",
        gate["after"].as_str().unwrap_or_default(),
        gate["before"].as_str().unwrap_or_default()
    );
    let rows = gate["tasks"].as_array().into_iter().flatten().map(row).collect();
    let columns = ["task", "verdict", "items", "before", "after", "difference", "loss at most", "margin", "objections"];
    let alpha = gate["alpha"].as_f64().unwrap_or_default() * 100.0;
    let table = Table {
        caption: format!("Kept: the loss is shown to be below the margin, one-sided at {alpha} %."),
        columns: columns.map(str::to_owned).to_vec(),
        rows,
    };
    vec![Section {
        heading: "Gate".into(),
        blocks: vec![Block::Verdict { good, text }, Block::Paragraph(sides), Block::Table(table)],
    }]
}

fn row(task: &Json) -> Vec<Cell> {
    let text = |key: &str| Cell::text(task[key].as_str().unwrap_or_default());
    let three = |value: f64| (value * 1e3).round() / 1e3;
    let number = |key: &str| task[key].as_f64().map_or(Cell::Missing, |value| Cell::Number(three(value)));
    let interval = task["interval"].as_array().and_then(|ends| Some((ends.first()?.as_f64()?, ends.get(1)?.as_f64()?)));
    let difference = task["difference"].as_f64().map_or(Cell::Missing, |value| {
        Cell::measured(three(value), interval.map(|(low, high)| (three(low), three(high))))
    });
    let objections: Vec<&str> = task["objections"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    vec![
        text("task"),
        text("verdict"),
        number("n"),
        number("before"),
        number("after"),
        difference,
        number("largest_loss"),
        number("margin"),
        Cell::Text(objections.join("; ")),
    ]
}
