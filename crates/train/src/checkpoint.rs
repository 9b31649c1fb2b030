//! Checkpoints: complete or not there at all.
//!
//! A checkpoint is written into a folder of another name, every file synced, and then renamed; the hash of each model's state is
//! in `trainer.json`. A reader takes the newest one whose hashes are right.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use camelid_model::{Engine, ModelError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::TrainError;

/// Where a run stands, besides the engine's tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps of the loop taken.
    pub step: u64,
    /// Optimiser updates taken; more than steps where a step has several.
    pub updates: u64,
    pub num_tokens: u64,
    pub best_eval_loss: Option<f64>,
    /// The step after which validation gave that loss.
    pub best_step: Option<u64>,
    pub evaluations_without_improvement: u32,
    /// What the task carries from step to step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task: Vec<f64>,
    /// What the monitor has seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub monitor: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct TrainerFile {
    progress: Progress,
    /// Hash of the plan and the data: a checkpoint continues only the run that wrote it.
    run_hash: String,
    state_sha256: String,
    /// Of the other models that the task trains, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    companions_sha256: BTreeMap<String, String>,
}

/// The other models that a task trains, each with the name of its file.
pub(crate) type Companions<'a> = Vec<(&'static str, &'a mut dyn Engine)>;

const STATE: &str = "state.safetensors";
const TRAINER: &str = "trainer.json";

const TEMPORARY: &str = ".writing-";

fn state_name(companion: &str) -> String {
    format!("{companion}.safetensors")
}

fn checkpoint_path(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step}"))
}

/// Writes `folder/step-N` and removes all but the `keep` newest and that of step `spared`.
pub(crate) fn save(
    folder: &Path,
    engine: &dyn Engine,
    companions: &Companions<'_>,
    progress: &Progress,
    run_hash: &str,
    keep: usize,
    spared: Option<u64>,
) -> Result<PathBuf, TrainError> {
    let target = checkpoint_path(folder, progress.step);
    let temporary = folder.join(format!("{TEMPORARY}step-{}", progress.step));
    let write = || -> Result<(), TrainError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error: std::io::Error| TrainError::write(&path, &error)
        };
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(failed(&temporary))?;
        }
        fs::create_dir_all(&temporary).map_err(failed(&temporary))?;
        let state_sha256 = write_state(&temporary.join(STATE), engine)?;
        let mut companions_sha256 = BTreeMap::new();
        for (name, companion) in companions {
            let hash = write_state(&temporary.join(state_name(name)), &**companion)?;
            companions_sha256.insert((*name).to_owned(), hash);
        }
        let trainer =
            TrainerFile { progress: progress.clone(), run_hash: run_hash.to_owned(), state_sha256, companions_sha256 };
        let path = temporary.join(TRAINER);
        let text =
            serde_json::to_vec_pretty(&trainer).map_err(|error| TrainError::file(&path, error, "report this"))?;
        let mut file = File::create(&path).map_err(failed(&path))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed(&path))?;
        sync_folder(&temporary);
        if target.exists() {
            fs::remove_dir_all(&target).map_err(failed(&target))?;
        }
        fs::rename(&temporary, &target).map_err(failed(&target))?;
        sync_folder(folder);
        Ok(())
    };
    write().inspect_err(|_| {
        let _ = fs::remove_dir_all(&temporary);
    })?;
    for old in steps(folder).into_iter().rev().skip(keep.max(1)).filter(|&step| Some(step) != spared) {
        // Only after the new one is complete; one that cannot be removed does no harm.
        let _ = fs::remove_dir_all(checkpoint_path(folder, old));
    }
    Ok(target)
}

/// Makes names in a folder survive a power cut, where the system can.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Steps of the checkpoints in a folder, ascending.
fn steps(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let step = |name: &str| name.strip_prefix("step-")?.parse().ok();
    let mut steps: Vec<u64> = entries.filter_map(|entry| step(&entry.file_name().to_string_lossy())).collect();
    steps.sort_unstable();
    steps
}

/// Passes bytes on and hashes them.
struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Writes the engine's state as safetensors, a tensor at a time, and returns its SHA-256 in hexadecimal.
fn write_state(path: &Path, engine: &dyn Engine) -> Result<String, TrainError> {
    // The header comes first and needs all shapes: one pass for it, one for the values.
    let mut header = Map::new();
    let mut offset = 0;
    engine.visit_state(&mut |tensor| {
        let end = offset + 4 * tensor.values.len();
        header.insert(tensor.name, json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, end] }));
        offset = end;
        Ok(())
    })?;
    let mut header = Json::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    let io = |error: std::io::Error| TrainError::write(path, &error);
    let file = File::create(path).map_err(io)?;
    let mut out = Hashing { inner: BufWriter::with_capacity(1 << 20, file), hasher: Sha256::new() };
    out.write_all(&(header.len() as u64).to_le_bytes()).and_then(|()| out.write_all(&header)).map_err(io)?;
    let mut failure = None;
    engine
        .visit_state(&mut |tensor| {
            let bytes: Vec<u8> = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            out.write_all(&bytes).map_err(|error| {
                let reason = error.to_string();
                failure = Some(error);
                ModelError::Invalid { reason, fix: String::new() }
            })
        })
        .map_err(|error| failure.take().map_or_else(|| error.into(), io))?;
    out.flush().map_err(io)?;
    let Hashing { inner, hasher } = out;
    let file = inner.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    Ok(hexadecimal(&hasher.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Restores the newest checkpoint that is whole, telling `warn` of any that is not. `None` if there is none; an error
/// if none of those that are there is whole. Torn and damaged ones after it are removed.
pub(crate) fn restore_newest(
    folder: &Path,
    engine: &mut dyn Engine,
    companions: &mut Companions<'_>,
    run_hash: &str,
    warn: &mut dyn FnMut(&str),
) -> Result<Option<Progress>, TrainError> {
    remove_torn(folder);
    let found = steps(folder);
    for &step in found.iter().rev() {
        let path = checkpoint_path(folder, step);
        let Some(trainer) = read_trainer(&path, companions) else {
            warn(&format!("{}: the checkpoint is damaged, trying the one before", path.display()));
            continue;
        };
        if trainer.run_hash != run_hash {
            return Err(TrainError::file(
                &path,
                "this checkpoint was written by another recipe, or its data has changed since",
                "restore the recipe and data (plan.toml beside it shows the recipe), set another name, or start anew with --restart",
            ));
        }
        restore_all(&path, engine, companions, trainer.progress.updates)?;
        // The run writes them again; counted among the newest, they would push out whole ones.
        for damaged in found.into_iter().filter(|&other| other > step) {
            let damaged = checkpoint_path(folder, damaged);
            fs::remove_dir_all(&damaged).map_err(|error| TrainError::write(&damaged, &error))?;
        }
        return Ok(Some(trainer.progress));
    }
    if found.is_empty() {
        return Ok(None);
    }
    // Starting anew would throw away what a copy of the folder may still have.
    Err(TrainError::file(
        folder,
        "none of the checkpoints is whole",
        "restore one of them, or start anew with --restart",
    ))
}

/// Removes what a process that died left half written.
fn remove_torn(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            // One that stays takes room and nothing else: no reader looks at it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Restores the checkpoint of one step of this run.
pub(crate) fn restore_step(
    folder: &Path,
    engine: &mut dyn Engine,
    companions: &mut Companions<'_>,
    step: u64,
) -> Result<(), TrainError> {
    let path = checkpoint_path(folder, step);
    let Some(trainer) = read_trainer(&path, companions) else {
        let reason = "the checkpoint that validated best is damaged";
        return Err(TrainError::file(&path, reason, "restore it, or start anew with --restart"));
    };
    restore_all(&path, engine, companions, trainer.progress.updates)
}

/// The trainer's file, if every state that belongs beside it is there with the hash it names.
fn read_trainer(path: &Path, companions: &Companions<'_>) -> Option<TrainerFile> {
    let trainer: TrainerFile = serde_json::from_slice(&fs::read(path.join(TRAINER)).ok()?).ok()?;
    let mut whole = hash_of(&path.join(STATE))? == trainer.state_sha256;
    for (name, _) in companions {
        whole &= trainer.companions_sha256.get(*name) == Some(&hash_of(&path.join(state_name(name)))?);
    }
    whole.then_some(trainer)
}

fn hash_of(path: &Path) -> Option<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).ok()?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Some(hexadecimal(&hasher.finalize()))
}

/// Restores every model of a checkpoint. A companion takes an update whenever the engine does.
fn restore_all(
    path: &Path,
    engine: &mut dyn Engine,
    companions: &mut Companions<'_>,
    updates: u64,
) -> Result<(), TrainError> {
    restore(&path.join(STATE), engine, updates)?;
    companions.iter_mut().try_for_each(|(name, companion)| restore(&path.join(state_name(name)), *companion, updates))
}

fn restore(path: &Path, engine: &mut dyn Engine, updates: u64) -> Result<(), TrainError> {
    let damaged =
        |reason: String| TrainError::file(path, reason, "remove this checkpoint; the one before it is used then");
    let io = |error: std::io::Error| damaged(error.to_string());
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    let mut header = Vec::new();
    Read::by_ref(&mut file).take(length).read_to_end(&mut header).map_err(io)?;
    let header: Map<String, Json> = serde_json::from_slice(&header).map_err(|error| damaged(error.to_string()))?;
    engine.restore_state(updates, &mut |name| {
        let wrong = |reason: String| ModelError::File {
            path: path.to_owned(),
            reason,
            fix: "start anew with --restart".into(),
        };
        let range = header.get(name).map(|info| (&info["data_offsets"][0], &info["data_offsets"][1]));
        let Some((Some(start), Some(end))) = range.map(|(start, end)| (start.as_u64(), end.as_u64())) else {
            return Err(wrong(format!("tensor {name} is not in the checkpoint")));
        };
        let mut bytes = vec![0; end.saturating_sub(start) as usize];
        file.seek(SeekFrom::Start(8 + length + start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| wrong(format!("tensor {name}: {error}")))?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect())
    })?;
    Ok(())
}
