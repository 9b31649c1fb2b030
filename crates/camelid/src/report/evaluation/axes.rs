//! Scores by ability: one figure for each axis, whatever tasks stand for it.

use std::collections::BTreeMap;

use camelid_eval::comparison::CONFIDENCE;
use camelid_eval::statistics::clustered::clustered_mean;
use camelid_eval::statistics::mean::{Mean, macro_average};
use camelid_report::{Axis, BarGroup, Block, Cell, Figure, Marks, Measured, Section, Table};

use super::tables::{GROUPS_IN_FIGURE, measured, side_names};
use crate::evaluations::Loaded;

/// The unweighted mean over an axis's tasks on each side, drawn side by side and as a table.
pub(super) fn section(sides: &[&Loaded]) -> Section {
    let names = side_names(sides);
    let by_side: Vec<BTreeMap<&str, Vec<Mean>>> = sides.iter().map(|side| means(side)).collect();
    let mut axes: Vec<&str> = by_side.iter().flat_map(BTreeMap::keys).copied().collect();
    axes.sort_unstable();
    axes.dedup();
    let value = |axis: &str, side: &BTreeMap<&str, Vec<Mean>>| {
        let mean = macro_average(side.get(axis)?)?;
        let interval = mean.interval(CONFIDENCE).map(|interval| (interval.low.max(0.0), interval.high.min(1.0)));
        Some(Measured { value: mean.value, interval })
    };
    let group = |axis: &&str| BarGroup {
        label: (*axis).to_owned(),
        values: by_side.iter().map(|side| value(axis, side)).collect(),
    };
    let mut blocks: Vec<Block> = axes
        .chunks(GROUPS_IN_FIGURE)
        .map(|part| {
            Block::Figure(Figure {
                title: "Scores by ability".into(),
                caption: "The unweighted mean over the tasks of an ability, with its 95 % interval.".into(),
                x: Axis::linear("ability"),
                y: Axis::linear("score"),
                marks: Marks::Groups { series: names.clone(), groups: part.iter().map(group).collect() },
            })
        })
        .collect();
    let rows = axes.iter().map(|axis| {
        let cell = |side| {
            let found = value(axis, side);
            found.map_or(Cell::Missing, |found| measured(found.value, found.interval.map(|(low, high)| [low, high])))
        };
        let tasks = by_side.iter().filter_map(|side| side.get(axis)).map(Vec::len).max().unwrap_or(0);
        [Cell::text(axis), Cell::Number(tasks as f64)].into_iter().chain(by_side.iter().map(cell)).collect()
    });
    let columns = ["ability", "tasks"].map(str::to_owned).into_iter().chain(names.iter().cloned()).collect();
    let caption = "From the scores of the items, with the error of their groups where they come in groups.".into();
    blocks.push(Block::Table(Table { caption, columns, rows: rows.collect() }));
    Section { heading: "Abilities".into(), blocks }
}

/// Each task's mean over its scored items, by axis. A task of one item has no error, and is not among them.
fn means(side: &Loaded) -> BTreeMap<&str, Vec<Mean>> {
    let mut axes: BTreeMap<&str, Vec<Mean>> = BTreeMap::new();
    for task in &side.evaluation.tasks {
        let items = side.items(&task.task);
        let scored: Vec<(usize, f64)> =
            items.iter().enumerate().filter_map(|(index, item)| Some((index, item.score?))).collect();
        let scores: Vec<f64> = scored.iter().map(|(_, score)| *score).collect();
        // Items without a group are groups of their own.
        let groups: Vec<(Option<&str>, usize)> = scored
            .iter()
            .map(|(index, _)| match items[*index].cluster.as_deref() {
                Some(cluster) => (Some(cluster), 0),
                None => (None, *index),
            })
            .collect();
        let mean = clustered_mean(&scores, &groups).or_else(|| Mean::of(&scores));
        axes.entry(&task.axis).or_default().extend(mean);
    }
    axes.retain(|_, means| !means.is_empty());
    axes
}
