//! What a user may call a model: a run directory, a folder, a file or a name.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use camelid_model::io::load_model_with;
use camelid_model::{LoadedModel, ModelError};

use crate::actions;
use crate::pull::{PullOptions, pull};
use crate::reward_models::ENSEMBLE;

/// The folder or file that `reference` means, fetched if it must be.
pub(crate) fn locate(reference: &str, report: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let path = Path::new(reference);
    if path.exists() {
        let run = stage_of(path);
        if run.join(ENSEMBLE).is_file() {
            bail!(
                "{}: this is an ensemble of reward models, which only `score` and rewards of RL take whole\n  fix: name one of its \
                 members, such as {}",
                run.display(),
                run.join("member-1").display()
            );
        }
        // A stage that trains nothing leaves the model as it found it.
        if let Some(model) = actions::model_of(&run) {
            if Path::new(&model).canonicalize().ok() == path.canonicalize().ok() {
                bail!(
                    "{}: this run acts on itself\n  fix: name another `run_directory` in its recipe than its model",
                    run.display()
                );
            }
            return locate(&model, report);
        }
        return if run.join("plan.toml").is_file() { result_of_run(&run) } else { Ok(path.to_owned()) };
    }
    Ok(pull(reference, &PullOptions::default(), report)?.path)
}

/// The directory of a run's last stage; of a run of one stage, and of any other path, itself.
pub(crate) fn stage_of(path: &Path) -> PathBuf {
    last_stage(path).unwrap_or_else(|| path.to_owned())
}

/// The directory of the last stage, in a run of several: `stage-1-sft`, `stage-2-sft`, ...
pub(crate) fn last_stage(directory: &Path) -> Option<PathBuf> {
    let stages = directory.read_dir().ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let number: usize = name.strip_prefix("stage-")?.split('-').next()?.parse().ok()?;
        Some((number, directory.join(name)))
    });
    stages.max_by_key(|(number, _)| *number).map(|(_, path)| path)
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
    open_path(&path, report).with_context(|| format!("the model {reference} cannot be used"))
}

/// As [`open`], for a path; the base of an adapter may be a name, which is fetched.
pub(crate) fn open_path(path: &Path, report: &mut dyn FnMut(&str)) -> Result<LoadedModel, ModelError> {
    load_model_with(path, &mut |base| {
        let pulled = pull(base, &PullOptions::default(), report);
        pulled.map(|pulled| pulled.path).map_err(|error| ModelError::Invalid {
            reason: format!("the base model of this adapter: {}", error.to_string().lines().next().unwrap_or_default()),
            fix: "set base_model_name_or_path in adapter_config.json to a path".into(),
        })
    })
}
