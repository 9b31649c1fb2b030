//! Reports of runs: what lies in a run directory as a page.

mod curves;
mod history;
mod run;

pub(crate) use history::{History, read_lines};
pub(crate) use run::write_report;
