//! What a user may call a model: a run directory, a folder, a file or a name.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use camelid_model::{LoadedModel, load_model};

use crate::pull::{PullOptions, pull};

/// The folder or file that `reference` means, fetched if it must be.
pub(crate) fn locate(reference: &str, report: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let path = Path::new(reference);
    if path.exists() {
        return if path.join("plan.toml").is_file() { result_of_run(path) } else { Ok(path.to_owned()) };
    }
    Ok(pull(reference, &PullOptions::default(), report)?.path)
}

/// The model that a run wrote: merged if there is one, else its adapter.
fn result_of_run(directory: &Path) -> anyhow::Result<PathBuf> {
    for name in ["model", "adapter"] {
        let folder = directory.join(name);
        if folder.is_dir() {
            return Ok(folder);
        }
    }
    bail!(
        "{}: this run has not written a model yet\n  fix: let it finish (camelid run with its recipe goes on where it \
         stopped), or name one of its checkpoints' base models",
        directory.display()
    )
}

/// Opens a model: header and vocabulary; weights are read when they are needed.
pub(crate) fn open(reference: &str, report: &mut dyn FnMut(&str)) -> anyhow::Result<LoadedModel> {
    let path = locate(reference, report)?;
    load_model(&path).with_context(|| format!("the model {reference} cannot be used"))
}
