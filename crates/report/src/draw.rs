//! Figures drawn.

use std::sync::Arc;

use kuva::backend::svg::SvgBackend;
use kuva::plot::{BarPlot, LinePlot, ScatterPlot};
use kuva::prelude::{Histogram as HistogramPlot, LegendEntry, LegendPosition, LegendShape};
use kuva::render::layout::{AxisLabelOverlap, Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;

use crate::figure::{Axis, Bar, BarGroup, Figure, Histogram, Marks, Point, Scale, Series, Stroke, Whiskers};
use crate::ticks::{linear_label, logarithmic_label};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 380.0;

/// Colours that people with any colour vision tell apart (Okabe and Ito 2008); the page sets other shades in the dark.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#7f3c8d", "#5f5f5f"];

fn colour(index: usize) -> String {
    let index = index % COLOURS.len();
    format!("var(--series-{}, {})", index + 1, COLOURS[index])
}

/// `name` tells the drawing's own parts from those of others in the same page.
pub(crate) fn svg(figure: &Figure, name: &str) -> String {
    let drawing = Drawing { x: &figure.x, y: &figure.y };
    let plots = match &figure.marks {
        Marks::Series(series) => drawing.series(series),
        Marks::Bars(bars) => drawing.bars(bars),
        Marks::Groups { groups, .. } => drawing.groups(groups),
        Marks::Histogram { sets, bins } => histogram(sets, *bins),
    };
    let head = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{}\" ",
        escape(&format!("{}. {}", figure.title, figure.caption))
    );
    if plots.is_empty() {
        return head
            + "viewBox=\"0 0 640 60\" width=\"640\" height=\"60\"><text x=\"320\" y=\"35\" text-anchor=\"middle\" \
               fill=\"currentColor\" font-size=\"14\">nothing to draw</text></svg>";
    }
    let layout = drawing.layout(&plots, &figure.marks);
    let scene = render_multiple(plots, layout);
    // The last label of an axis may stand out.
    let (width, height) = (scene.width.ceil() + 16.0, scene.height.ceil());
    let drawn = SvgBackend::new().render_scene(&scene);
    // The library's own opening tag has a fixed size and no words for those who cannot see.
    let body = drawn.split_once("-->").map_or("</svg>", |(_, body)| body);
    let body = with_own_names(body, name);
    format!(
        "{head}viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" fill=\"currentColor\" \
         font-family=\"DejaVu Sans, Verdana, Liberation Sans, Arial, sans-serif\">{body}"
    )
}

/// The library numbers clip paths through all figures that a process draws, so that the same figure would look different each time,
/// and starts at 0 in the next process. Here they are named for the figure and counted within it.
fn with_own_names(body: &str, name: &str) -> String {
    const BEFORE: &str = "id=\"kuva-";
    let ids = body.match_indices(BEFORE).filter_map(|(at, _)| body[at + "id=\"".len()..].split('"').next());
    ids.enumerate().fold(body.to_owned(), |text, (index, id)| {
        let own = format!("{name}-clip-{index}");
        text.replace(&format!("id=\"{id}\""), &format!("id=\"{own}\""))
            .replace(&format!("url(#{id})"), &format!("url(#{own})"))
    })
}

struct Drawing<'a> {
    x: &'a Axis,
    y: &'a Axis,
}

impl Drawing<'_> {
    /// Whether the axes have a place for it.
    fn has_place(&self, x: f64, y: f64) -> bool {
        let on =
            |axis: &Axis, value: f64| crate::number::is_drawable(value) && (axis.scale == Scale::Linear || value > 0.0);
        on(self.x, x) && on(self.y, y)
    }

    fn series(&self, series: &[Series]) -> Vec<Plot> {
        let mut plots = Vec::new();
        // Single runs first, so that no mean is hidden by another's runs.
        for (index, series) in series.iter().enumerate() {
            for run in &series.runs {
                let points: Vec<(f64, f64)> = run.iter().copied().filter(|&(x, y)| self.has_place(x, y)).collect();
                if !points.is_empty() {
                    let faint = format!("color-mix(in srgb, {} 35%, transparent)", colour(index));
                    plots.push(Plot::Line(LinePlot::new().with_data(points).with_color(faint).with_stroke_width(1.0)));
                }
            }
        }
        for (index, series) in series.iter().enumerate() {
            self.one_series(series, &colour(index), &mut plots);
        }
        plots
    }

    fn one_series(&self, series: &Series, colour: &str, plots: &mut Vec<Plot>) {
        let points: Vec<&Point> = series.points.iter().filter(|point| self.has_place(point.x, point.y)).collect();
        if points.is_empty() {
            return;
        }
        let places: Vec<(f64, f64)> = points.iter().map(|point| (point.x, point.y)).collect();
        // Where an interval leaves the axis, it ends at the value.
        let bounds = |point: &Point| {
            let (low, high) = point.interval.unwrap_or((point.y, point.y));
            let end = |end: f64| if self.has_place(point.x, end) { end } else { point.y };
            (end(low), end(high))
        };
        let has_intervals = points.iter().any(|point| point.interval.is_some());
        let as_bars = series.whiskers == Whiskers::Bars || series.stroke == Stroke::Points || points.len() == 1;
        if series.stroke != Stroke::Points {
            let mut line = LinePlot::new().with_data(places.clone()).with_color(colour).with_stroke_width(2.0);
            if series.stroke == Stroke::Dashed {
                line = line.with_dashed();
            }
            if has_intervals && !as_bars {
                let (low, high): (Vec<f64>, Vec<f64>) = points.iter().map(|point| bounds(point)).unzip();
                line = line.with_band(low, high);
            }
            plots.push(Plot::Line(line));
        }
        let is_marked = matches!(series.stroke, Stroke::Marked | Stroke::Points) || points.len() == 1;
        let has_labels = points.iter().any(|point| point.label.is_some());
        if is_marked || has_labels || (has_intervals && as_bars) {
            let mut marks = ScatterPlot::new().with_data(places).with_color(colour).with_size(3.5);
            if has_intervals && as_bars {
                marks = marks.with_y_err_asymmetric(points.iter().map(|point| {
                    let (low, high) = bounds(point);
                    ((point.y - low).max(0.0), (high - point.y).max(0.0))
                }));
            }
            if has_labels {
                marks = marks
                    .with_labels(points.iter().map(|point| point.label.as_deref().map(plain).unwrap_or_default()))
                    .with_repel_labels();
            }
            plots.push(Plot::Scatter(marks));
        }
    }

    fn bars(&self, bars: &[Bar]) -> Vec<Plot> {
        let bars: Vec<&Bar> = bars.iter().filter(|bar| self.has_place(1.0, bar.value)).collect();
        if bars.is_empty() {
            return Vec::new();
        }
        let mut plot = BarPlot::new();
        for bar in &bars {
            plot = plot.with_bar(plain(&bar.label), bar.value);
        }
        // Of the bars that it has so far.
        plot = plot.with_color(colour(0));
        if bars.iter().any(|bar| bar.interval.is_some()) {
            let error = |bar: &&Bar| {
                let (low, high) = bar.interval.unwrap_or((bar.value, bar.value));
                let arm = |length: f64| if crate::number::is_drawable(length) { length.max(0.0) } else { 0.0 };
                (arm(bar.value - low), arm(high - bar.value))
            };
            plot = plot.with_asymmetric_error(bars.iter().map(error)).with_error_color("currentColor");
        }
        vec![Plot::Bar(plot)]
    }

    fn groups(&self, groups: &[BarGroup]) -> Vec<Plot> {
        let drawn =
            |value: &Option<crate::figure::Measured>| value.filter(|measured| self.has_place(1.0, measured.value));
        if !groups.iter().flat_map(|group| &group.values).any(|value| drawn(value).is_some()) {
            return Vec::new();
        }
        let mut plot = BarPlot::new();
        let mut errors = Vec::new();
        for group in groups {
            let bars = group.values.iter().enumerate().map(|(index, value)| {
                // What was not measured keeps its place, without a bar.
                let measured = drawn(value);
                let (low, high) = measured.and_then(|measured| measured.interval).unwrap_or((f64::NAN, f64::NAN));
                let value = measured.map_or(0.0, |measured| measured.value);
                let arm = |length: f64| if crate::number::is_drawable(length) { length.max(0.0) } else { 0.0 };
                errors.push((arm(value - low), arm(high - value)));
                (value, colour(index))
            });
            plot = plot.with_group(plain(&group.label), bars.collect::<Vec<_>>());
        }
        if errors.iter().any(|&(low, high)| low > 0.0 || high > 0.0) {
            plot = plot.with_asymmetric_error(errors).with_error_color("currentColor");
        }
        vec![Plot::Bar(plot)]
    }

    fn layout(&self, plots: &[Plot], marks: &Marks) -> Layout {
        let mut layout = Layout::auto_from_plots(plots);
        let (x_format, y_format) = (labels(self.x.scale, layout.x_range), labels(self.y.scale, layout.y_range));
        layout = layout
            .with_width(WIDTH)
            .with_height(HEIGHT)
            .with_theme(theme())
            .with_x_label(plain(&self.x.label))
            .with_y_label(plain(&self.y.label))
            .with_y_tick_format(y_format);
        // Numbers may be left out where there is no room, names may not.
        layout = if matches!(marks, Marks::Bars(_) | Marks::Groups { .. }) {
            layout.with_x_label_overlap(AxisLabelOverlap::Stagger)
        } else {
            layout.with_x_label_overlap(AxisLabelOverlap::Thin).with_x_tick_format(x_format)
        };
        if self.x.scale == Scale::Logarithmic {
            layout = layout.with_log_x();
        }
        if self.y.scale == Scale::Logarithmic {
            layout = layout.with_log_y();
        }
        let entries = legend(marks);
        if entries.len() > 1 {
            layout = layout
                .with_legend_entries(entries)
                .with_legend_box(false)
                .with_legend_position(LegendPosition::OutsideBottomColumns);
        }
        layout
    }
}

fn histogram(sets: &[(String, Vec<f64>)], bins: usize) -> Vec<Plot> {
    let Histogram { edges, counts } = Histogram::of(sets, bins);
    if edges.is_empty() {
        return Vec::new();
    }
    let plot = |(index, counts): (usize, Vec<f64>)| {
        let fill = format!("color-mix(in srgb, {} 60%, transparent)", colour(index));
        Plot::Histogram(HistogramPlot::new().with_precomputed(edges.clone(), counts).with_color(fill))
    };
    counts.into_iter().enumerate().map(plot).collect()
}

fn labels(scale: Scale, (low, high): (f64, f64)) -> TickFormat {
    TickFormat::Custom(match scale {
        Scale::Linear => Arc::new(move |value| linear_label(low, high, value)),
        Scale::Logarithmic => Arc::new(logarithmic_label),
    })
}

/// One entry a series; none for what is not drawn.
fn legend(marks: &Marks) -> Vec<LegendEntry> {
    let entry = |(index, name, shape, dashed): (usize, &str, LegendShape, bool)| LegendEntry {
        label: plain(name),
        color: colour(index),
        shape,
        dasharray: dashed.then(|| "8 4".to_owned()),
    };
    match marks {
        Marks::Series(series) => series
            .iter()
            .enumerate()
            .filter(|(_, series)| !series.points.is_empty())
            .map(|(index, series)| {
                let shape = if series.stroke == Stroke::Points { LegendShape::Circle } else { LegendShape::Line };
                entry((index, &series.name, shape, series.stroke == Stroke::Dashed))
            })
            .collect(),
        Marks::Bars(_) => Vec::new(),
        Marks::Groups { series, .. } => {
            series.iter().enumerate().map(|(index, name)| entry((index, name, LegendShape::Rect, false))).collect()
        }
        Marks::Histogram { sets, .. } => {
            sets.iter().enumerate().map(|(index, (name, _))| entry((index, name, LegendShape::Rect, false))).collect()
        }
    }
}

fn theme() -> Theme {
    let ink = "currentColor";
    Theme {
        background: "none".into(),
        axis_color: ink.into(),
        grid_color: "var(--grid, #d8d8d8)".into(),
        tick_color: ink.into(),
        text_color: ink.into(),
        legend_bg: "none".into(),
        legend_border: "none".into(),
        ..Theme::light()
    }
}

/// Dollars are what they are: the library takes text between two of them for mathematics.
fn plain(text: &str) -> String {
    text.replace('$', "\\$")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
