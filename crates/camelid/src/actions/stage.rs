//! What all stages that train nothing have in common: whether they are finished, and what they leave of themselves.

use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Action, Finish, Setting};
use crate::recipe;

/// Says, in a stage's directory, what is done there.
const ACTION: &str = "action.json";
const FINISHED: &str = "finished.json";

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Started {
    kind: String,
    run_hash: String,
    /// What it acts on, which is also what comes out.
    model: String,
}

/// Runs a stage, unless it is finished.
pub(crate) fn run(action: &dyn Action, setting: &Setting<'_>, restart: bool) -> anyhow::Result<Finish> {
    let Setting { plan, directory, .. } = *setting;
    if restart {
        clear(action, directory.path())?;
    }
    let kind = action.kind().name();
    let started = Started { kind: kind.to_owned(), run_hash: hash(action, setting)?, model: setting.model.to_owned() };
    let place = directory.path().display();
    match read::<Started>(&directory.path().join(ACTION)) {
        Some(earlier) if earlier.run_hash != started.run_hash && action.is_done_anew() => {
            // What it has drawn or asked is its own to use again.
            remove(&directory.path().join(FINISHED))?;
        }
        Some(earlier) if earlier.run_hash != started.run_hash => bail!(
            "{place}: an earlier {kind} stage here had other settings, data or another model\n  fix: restore the recipe, set another \
             name, or start anew with --restart"
        ),
        Some(_) => {
            let finished: Option<Json> = read(&directory.path().join(FINISHED));
            if finished.is_some_and(|finished| finished["run_hash"] == started.run_hash.as_str()) {
                eprintln!("{place} is finished; --restart runs it again");
                return Ok(Finish::Done);
            }
        }
        None if directory.checkpoints().is_dir() => bail!(
            "{place}: an earlier run here trained a model\n  fix: restore the recipe, set another name, or start anew with --restart"
        ),
        None => {}
    }
    directory.write(ACTION, &serde_json::to_string(&started)?)?;
    directory.write("plan.toml", &recipe::plan_text(plan)?)?;
    let finish = action.run(setting)?;
    match &finish {
        Finish::Done => directory.write(FINISHED, &json!({ "run_hash": started.run_hash }).to_string())?,
        Finish::Stopped => eprintln!("stopped; the same command goes on from there"),
        Finish::NotPassed(_) => {}
    }
    Ok(finish)
}

/// The model that the stage in a directory acts on; nothing where a stage trains one.
pub(crate) fn model_of(directory: &Path) -> Option<String> {
    Some(read::<Started>(&directory.join(ACTION))?.model)
}

/// Everything that the result depends on.
fn hash(action: &dyn Action, setting: &Setting<'_>) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut head = recipe::plan_view(setting.plan);
    for key in ["name", "run_directory", "threads"] {
        if let Some(fields) = head.as_object_mut() {
            fields.remove(key);
        }
    }
    for part in [action.kind().name(), &action.view().to_string(), &head.to_string(), setting.model] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    for path in action.inputs(setting) {
        let file = std::fs::File::open(&path);
        file.and_then(|file| hasher.update_reader(file).map(|_| ()))
            .with_context(|| format!("{} cannot be read\n  fix: make it readable", path.display()))?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn clear(action: &dyn Action, directory: &Path) -> anyhow::Result<()> {
    for name in [ACTION, FINISHED, "report.html"].iter().chain(action.outputs()) {
        remove(&directory.join(name))?;
    }
    Ok(())
}

/// Removes a file or a folder, if it is there.
pub(super) fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// A file's JSON; nothing if it is not there or is something else.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}
