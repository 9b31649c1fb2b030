//! `camelid report`: a run directory as a page.

use std::path::Path;

use crate::report::write_report;

pub(crate) fn run(directory: &Path) -> anyhow::Result<()> {
    println!("{}", write_report(directory)?.display());
    Ok(())
}
