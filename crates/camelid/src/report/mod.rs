//! Reports of runs: what lies in a run directory as a page.

mod curves;
mod history;
pub(crate) mod over_optimisation;
mod run;

pub(crate) use history::{History, read_lines};
pub(crate) use run::write_report;
