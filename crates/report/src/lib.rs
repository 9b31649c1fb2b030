//! Figures as data, and pages that need nothing but a browser.
//!
//! * [`Figure`]: curves, points, bars and histograms with their axes and intervals, as plain values. [`Figure::svg`] draws it,
//!   [`Figure::table`] is the same as numbers.
//! * [`Page`]: a title and sections of paragraphs, tables, figures and folded text. [`Page::html`] is one file that loads
//!   nothing from elsewhere, follows the reader's light or dark setting, prints, and has a table behind each figure.
//! * [`statistics`]: what figures of several runs show: means, intervals of Student's t, the hypervolume of a frontier.
//!
//! Whatever text comes in is data: names of metrics, answers of models, paths. All of it is escaped, by the template engine in
//! the page and by the plotting library in figures; the page's policy also forbids scripts and requests.
//!
//! **What draws.** `kuva` (0.6, October 2026): pure Rust, three small dependencies, SVG out, log axes, error bars, bands and
//! colours as CSS variables, which is how one drawing serves light and dark. `plotters` and `poloto` have had no release for a
//! year, `plotly` and `charming` need a script in the page, `charts-rs` has no logarithmic x axis and no intervals.

mod draw;
mod figure;
mod number;
mod page;
pub mod statistics;
mod table;
mod ticks;

pub use figure::{Axis, Bar, BarGroup, Figure, Marks, Measured, Point, Scale, Series, Stroke, Whiskers};
pub use number::format_number;
pub use page::{Block, Fact, Page, PageError, Section};
pub use table::{Cell, Table};
