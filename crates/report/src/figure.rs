//! A figure as data.

use crate::number::is_drawable;
use serde::Serialize;

use crate::draw;
use crate::table::{Cell, Table};

/// How an axis maps values to places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    #[default]
    Linear,
    /// To base 10. Values up to 0 have no place and are left out of the drawing, not of the table.
    Logarithmic,
}

/// What an axis measures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Axis {
    /// The quantity, with its unit if it has one.
    pub label: String,
    pub scale: Scale,
}

impl Axis {
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Linear }
    }

    pub fn logarithmic(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Logarithmic }
    }
}

/// One measured value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    /// Lowest and highest plausible `y`.
    pub interval: Option<(f64, f64)>,
    /// Written beside it.
    pub label: Option<String>,
}

impl Point {
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, interval: None, label: None }
    }

    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Self {
        Self { interval: Some((low, high)), ..self }
    }

    #[must_use]
    pub fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: Some(label.into()), ..self }
    }
}

/// How the points of a series are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stroke {
    #[default]
    Solid,
    /// For what is computed rather than measured, such as a law.
    Dashed,
    /// A line with a mark at each point, where the points are few.
    Marked,
    /// Marks alone.
    Points,
}

/// How intervals are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Whiskers {
    #[default]
    Band,
    Bars,
}

/// A curve: its points and, where it is the mean of several runs, those runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// As the legend calls it.
    pub name: String,
    pub points: Vec<Point>,
    /// Curves of single runs, drawn faintly in the same colour.
    pub runs: Vec<Vec<(f64, f64)>>,
    pub stroke: Stroke,
    pub whiskers: Whiskers,
}

impl Series {
    pub fn new(name: impl Into<String>, points: Vec<Point>) -> Self {
        Self { name: name.into(), points, runs: Vec::new(), stroke: Stroke::Solid, whiskers: Whiskers::Band }
    }

    pub fn of_values(name: impl Into<String>, values: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self::new(name, values.into_iter().map(|(x, y)| Point::new(x, y)).collect())
    }

    #[must_use]
    pub fn with_runs(self, runs: Vec<Vec<(f64, f64)>>) -> Self {
        Self { runs, ..self }
    }

    #[must_use]
    pub fn with_stroke(self, stroke: Stroke) -> Self {
        Self { stroke, ..self }
    }

    #[must_use]
    pub fn with_whiskers(self, whiskers: Whiskers) -> Self {
        Self { whiskers, ..self }
    }
}

/// One bar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    pub label: String,
    pub value: f64,
    pub interval: Option<(f64, f64)>,
}

/// Bars side by side: a label and, for each series, its value; none where it was not measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BarGroup {
    pub label: String,
    pub values: Vec<Option<Measured>>,
}

/// A value with its lowest and highest plausible one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    pub value: f64,
    pub interval: Option<(f64, f64)>,
}

/// What is drawn between the axes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Marks {
    /// Curves and points.
    Series(Vec<Series>),
    /// A bar for each label; the x axis names what the labels are.
    Bars(Vec<Bar>),
    /// A group of bars for each label, one for each named series.
    Groups { series: Vec<String>, groups: Vec<BarGroup> },
    /// How often values fall into each of about so many equal parts of their range, for each named set of values.
    Histogram { sets: Vec<(String, Vec<f64>)>, bins: usize },
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub title: String,
    /// What there is to see, in a sentence or two; also what a screen reader says.
    pub caption: String,
    pub x: Axis,
    pub y: Axis,
    pub marks: Marks,
}

impl Figure {
    /// As an `<svg>` element. Colours are CSS variables with a fallback, so that it looks right in a page of either theme and alone.
    /// A figure without a value that can be placed says so. `name` is an identifier that no other figure of the page has.
    pub fn svg(&self, name: &str) -> String {
        draw::svg(self, name)
    }

    /// Every value of it, those that have no place in the drawing too.
    pub fn table(&self) -> Table {
        match &self.marks {
            Marks::Series(series) => self.series_table(series),
            Marks::Bars(bars) => Table {
                caption: String::new(),
                columns: vec![self.x.label.clone(), self.y.label.clone()],
                rows: bars
                    .iter()
                    .map(|bar| vec![Cell::text(&bar.label), Cell::measured(bar.value, bar.interval)])
                    .collect(),
            },
            Marks::Groups { series, groups } => {
                let columns = std::iter::once(self.x.label.clone()).chain(series.iter().cloned()).collect();
                let cell = |value: &Option<Measured>| {
                    value.map_or(Cell::Missing, |measured| Cell::measured(measured.value, measured.interval))
                };
                let row = |group: &BarGroup| {
                    std::iter::once(Cell::text(&group.label)).chain(group.values.iter().map(cell)).collect()
                };
                Table { caption: String::new(), columns, rows: groups.iter().map(row).collect() }
            }
            Marks::Histogram { sets, bins } => {
                let counted = Histogram::of(sets, *bins);
                let mut columns = vec![self.x.label.clone()];
                columns.extend(sets.iter().map(|(name, _)| name.clone()));
                let row = |bin: usize| {
                    let range = Cell::Interval { low: counted.edges[bin], high: counted.edges[bin + 1] };
                    let counts = counted.counts.iter().map(|counts| Cell::Number(counts[bin]));
                    std::iter::once(range).chain(counts).collect()
                };
                let rows = (0..counted.edges.len().saturating_sub(1)).map(row).collect();
                Table { caption: String::new(), columns, rows }
            }
        }
    }

    fn series_table(&self, series: &[Series]) -> Table {
        let labelled = series.iter().flat_map(|series| &series.points).any(|point| point.label.is_some());
        let mut columns = vec!["series".to_owned(), self.x.label.clone(), self.y.label.clone()];
        if labelled {
            columns.push("label".to_owned());
        }
        let mut rows = Vec::new();
        for series in series {
            for point in &series.points {
                let measured = Cell::measured(point.y, point.interval);
                let mut row = vec![Cell::text(&series.name), Cell::Number(point.x), measured];
                if labelled {
                    row.push(Cell::text(point.label.as_deref().unwrap_or_default()));
                }
                rows.push(row);
            }
            for (run, points) in series.runs.iter().enumerate() {
                let name = Cell::Text(format!("{}, run {}", series.name, run + 1));
                for &(x, y) in points {
                    let mut row = vec![name.clone(), Cell::Number(x), Cell::Number(y)];
                    row.extend(labelled.then(|| Cell::text("")));
                    rows.push(row);
                }
            }
        }
        Table { caption: String::new(), columns, rows }
    }
}

/// Values counted.
pub(crate) struct Histogram {
    /// One more than there are bins; none without a finite value.
    pub(crate) edges: Vec<f64>,
    /// For each set, how many of its values are in each bin.
    pub(crate) counts: Vec<Vec<f64>>,
}

impl Histogram {
    pub(crate) fn of(sets: &[(String, Vec<f64>)], bins: usize) -> Self {
        let bins = bins.max(1);
        let finite = sets.iter().flat_map(|(_, values)| values).filter(|value| is_drawable(**value));
        let (low, high) =
            finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &value| (l.min(value), h.max(value)));
        if low > high {
            return Self { edges: Vec::new(), counts: vec![Vec::new(); sets.len()] };
        }
        if !(high - low).is_finite() {
            return Self { edges: Vec::new(), counts: vec![Vec::new(); sets.len()] };
        }
        let width = round_up(if high > low { (high - low) / bins as f64 } else { 1.0 });
        let low = (low / width).floor() * width;
        // One more, as rounding may have moved the first edge down; a range that is lost in its values' digits has one bin.
        let bins = (((high - low) / width).floor() as usize).saturating_add(1).min(bins + 1);
        let mut counts = vec![vec![0.0; bins]; sets.len()];
        for ((_, values), counts) in sets.iter().zip(&mut counts) {
            for value in values.iter().filter(|value| is_drawable(**value)) {
                let bin = (((value - low) / width) as usize).min(bins - 1);
                counts[bin] += 1.0;
            }
        }
        Self { edges: (0..=bins).map(|edge| low + width * edge as f64).collect(), counts }
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_up(width: f64) -> f64 {
    let power = 10_f64.powf(width.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|step| step * power).find(|&step| step >= width).unwrap_or(10.0 * power)
}
