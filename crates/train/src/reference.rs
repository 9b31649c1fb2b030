//! The reference policy's log-probabilities: what the policy was before this stage.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use camelid_model::{Engine, Want};
use camelid_text::Forest;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::task::{Example, branch_sums, forest, micro_batches};

/// How the reference is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The same model with its adapter switched off.
    AdapterOff,
    /// Log-probabilities taken before the first step and kept in this file, as all weights are trained.
    File(PathBuf),
}

/// Summed log-probabilities of each example's sequences under the reference, computed once.
pub struct Reference {
    source: Source,
    /// Hash of what they depend on: a file with another is not used.
    hash: String,
    /// By the example's record.
    known: HashMap<u32, Vec<f64>>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    record: u32,
    log_probs: Vec<f64>,
}

impl Reference {
    /// `hash` names the model, the data and the template; log-probabilities of other ones are not taken from the disk.
    pub fn new(source: Source, hash: String) -> Self {
        Self { source, hash, known: HashMap::new() }
    }

    /// Takes the log-probabilities of all `examples` from the file, or computes them and writes it. Must be called before
    /// the first step where all weights are trained; does nothing for an adapter.
    pub fn record(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        token_budget: usize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<(), TrainError> {
        let Source::File(path) = self.source.clone() else { return Ok(()) };
        self.known = self.load(&path).unwrap_or_default();
        let missing: Vec<&Example> =
            examples.iter().copied().filter(|example| !self.known.contains_key(&example.record())).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut done = 0;
        for batch in micro_batches(&missing, token_budget) {
            done += batch.len();
            self.compute(engine, &batch.iter().map(|&index| missing[index]).collect::<Vec<_>>(), Want::default())?;
            progress(done, missing.len());
        }
        self.save(&path)
    }

    /// Makes sure that the log-probabilities of these examples are known.
    pub(crate) fn prepare(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        token_budget: usize,
    ) -> Result<(), TrainError> {
        let missing: Vec<&Example> =
            examples.iter().copied().filter(|example| !self.known.contains_key(&example.record())).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if let Source::File(path) = &self.source {
            return Err(TrainError::file(
                path,
                format!("the reference log-probabilities of record {} are missing", missing[0].record() + 1),
                "run the stage again with --restart",
            ));
        }
        for batch in micro_batches(&missing, token_budget) {
            let part: Vec<&Example> = batch.iter().map(|&index| missing[index]).collect();
            self.compute(engine, &part, Want { without_adapter: true, ..Want::default() })?;
        }
        Ok(())
    }

    /// The reference's sums for each branch of any forest, with the adapter off.
    pub(crate) fn score(&self, engine: &mut dyn Engine, forest: &Forest) -> Result<Vec<f64>, TrainError> {
        if let Source::File(path) = &self.source {
            return Err(TrainError::file(
                path,
                "this method scores new responses under the reference, which a file cannot",
                "train an adapter (lora), whose reference is the model without it",
            ));
        }
        Ok(branch_sums(forest, &engine.forward(forest, Want { without_adapter: true, ..Want::default() })?))
    }

    /// `Σ log π_ref` of one sequence of an example.
    pub(crate) fn of(&self, example: &Example, sequence: usize) -> Result<f64, TrainError> {
        let known = self.known.get(&example.record()).and_then(|sums| sums.get(sequence));
        known.copied().ok_or_else(|| TrainError::Data {
            reason: format!("record {} was not scored by the reference", example.record() + 1),
            fix: "this is a defect of the trainer: please report it".into(),
        })
    }

    fn compute(&mut self, engine: &mut dyn Engine, examples: &[&Example], want: Want) -> Result<(), TrainError> {
        let forest = forest(examples);
        let mut sums = branch_sums(&forest, &engine.forward(&forest, want)?).into_iter();
        for example in examples {
            self.known.insert(example.record(), sums.by_ref().take(example.sequences.len()).collect());
        }
        Ok(())
    }

    /// What the file holds if it is of this run and whole: the hash first, then a line for each example.
    fn load(&self, path: &Path) -> Option<HashMap<u32, Vec<f64>>> {
        let text = std::fs::read_to_string(path).ok()?;
        let mut lines = text.lines();
        if lines.next()? != self.hash {
            return None;
        }
        let known =
            lines.map(|line| serde_json::from_str(line).ok().map(|Line { record, log_probs }| (record, log_probs)));
        known.collect()
    }

    fn save(&self, path: &Path) -> Result<(), TrainError> {
        let mut records: Vec<u32> = self.known.keys().copied().collect();
        records.sort_unstable();
        let mut text = format!("{}\n", self.hash);
        for record in records {
            let line = Line { record, log_probs: self.known[&record].clone() };
            // Numbers and a list of them: this cannot fail.
            text += &serde_json::to_string(&line).unwrap_or_default();
            text.push('\n');
        }
        let temporary = path.with_extension("partial");
        let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
        written.map_err(|error| TrainError::write(path, &error))
    }
}
