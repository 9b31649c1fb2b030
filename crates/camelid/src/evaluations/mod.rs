//! Evaluations on disk, and what is said of several of them.

mod answerers;
mod comparison;
mod contamination;
mod data;
mod gates;
mod load;
mod pace;
mod programs;
mod raters;
mod store;
mod summary;
mod text_table;

pub(crate) use answerers::{Cached, Local, Remote, Stoppable};
pub(crate) use comparison::{Comparison, EFFECT, Row};
pub(crate) use contamination::{Contamination, FILE as CONTAMINATION_FILE, Source};
pub(crate) use data::{TaskData, paths as task_paths, read as read_task_data};
pub(crate) use gates::{GateRow, Gates, Margins, NOT_PASSED, check_margin, read_margin, read_margins};
pub(crate) use load::{Loaded, evaluated_tasks, is_evaluation, load};
pub(crate) use pace::Pace;
pub(crate) use programs::Programs;
pub(crate) use raters::RewardRater;
pub(crate) use store::Store;
pub(crate) use summary::{objections, summary};
pub(crate) use text_table::text_table;
