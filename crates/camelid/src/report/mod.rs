//! Reports: what lies in the directory of a run or an evaluation as a page.

mod curves;
mod evaluation;
mod history;
pub(crate) mod over_optimisation;
mod run;

pub(crate) use evaluation::EvaluationPage;
pub(crate) use history::{History, read_lines};
pub(crate) use run::write_report;

use std::path::Path;

use anyhow::Context;
use camelid_report::Page;

/// Writes a page, whole or not at all.
pub(crate) fn write_page(page: &Page, path: &Path) -> anyhow::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}.writing"));
    std::fs::write(&temporary, page.html()?)
        .and_then(|()| std::fs::rename(&temporary, path))
        .with_context(|| format!("{} cannot be written", path.display()))
}
