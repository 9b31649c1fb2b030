//! The reference policy's log-probabilities: what the policy was before this stage.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use camelid_model::{Engine, Want};
use camelid_text::Forest;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::task::{Example, branch_sums, forest, micro_batches};

/// How the reference is had.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The same model with its adapter switched off.
    AdapterOff,
    /// Log-probabilities taken before the first step and kept in this file, as all weights are trained.
    File(PathBuf),
    /// A copy of the trained parameters that the engine keeps, and when it moves.
    Copy(Option<ReferenceUpdate>),
}

/// A reference that follows the policy (TR-DPO; Gorbatovski 2024, arXiv 2404.09656, eqs. 5 and 6): every so many steps
/// it becomes `share · policy + (1 - share) · reference`. A share of 1 is the paper's hard update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceUpdate {
    pub every: u64,
    pub share: f32,
}

impl Source {
    /// The forward pass that the reference's log-probabilities come from, before the first step and, but for a file, later.
    pub fn want(&self) -> Want {
        match self {
            Self::AdapterOff => Want { without_adapter: true, ..Want::default() },
            Self::File(_) => Want::default(),
            Self::Copy(_) => Want { reference: true, ..Want::default() },
        }
    }
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

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Takes the log-probabilities of all `examples` from the file, or computes them and writes it. Must be called before
    /// the first step where the source is a file; does nothing for others.
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

    /// After optimiser step `step`.
    pub(crate) fn follow(&mut self, engine: &mut dyn Engine, step: u64) -> Result<(), TrainError> {
        match self.source {
            Source::Copy(Some(ReferenceUpdate { every, share })) if step.is_multiple_of(every.max(1)) => {
                self.known.clear();
                Ok(engine.update_reference(share)?)
            }
            _ => Ok(()),
        }
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
            self.compute(engine, &part, self.source.want())?;
        }
        Ok(())
    }

    /// The reference's sums for each branch of any forest.
    pub(crate) fn score(&self, engine: &mut dyn Engine, forest: &Forest) -> Result<Vec<f64>, TrainError> {
        if let Source::File(path) = &self.source {
            return Err(TrainError::file(
                path,
                "this method scores new responses under the reference, which a file cannot",
                "keep a copy of the starting model instead",
            ));
        }
        Ok(branch_sums(forest, &engine.forward(forest, self.source.want())?))
    }

    /// `Σ log π_ref` of every sequence of each example, computed now and not remembered: what a record's prompt is answered
    /// differs each time.
    pub(crate) fn sums(
        &self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        token_budget: usize,
    ) -> Result<Vec<Vec<f64>>, TrainError> {
        let mut sums = vec![Vec::new(); examples.len()];
        for batch in micro_batches(examples, token_budget) {
            let part: Vec<&Example> = batch.iter().map(|&index| examples[index]).collect();
            let mut of_batch = self.score(engine, &forest(&part))?.into_iter();
            for (index, example) in batch.into_iter().zip(part) {
                sums[index] = of_batch.by_ref().take(example.sequences.len()).collect();
            }
        }
        Ok(sums)
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
