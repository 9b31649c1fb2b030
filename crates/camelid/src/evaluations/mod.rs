//! Evaluations on disk, and what is said of several of them.

mod comparison;
mod contamination;
mod gates;
mod load;
mod text_table;

pub(crate) use comparison::{Comparison, EFFECT, Row};
pub(crate) use contamination::{Contamination, FILE as CONTAMINATION_FILE, Source};
pub(crate) use gates::{GateRow, Gates, Margins, NOT_PASSED, check_margin, read_margin, read_margins};
pub(crate) use load::{Loaded, evaluated_tasks, is_evaluation, load};
pub(crate) use text_table::text_table;
