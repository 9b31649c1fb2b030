//! An engine small enough to be right by inspection: a table of next-token logits, trained by `AdamW`.

pub(crate) mod run;

use std::cell::Cell;
use std::collections::BTreeMap;

use camelid_kernels::Memory;
use camelid_model::{
    Cotangents, Engine, Generate, Logits, ModelError, Piece, Scores, StateTensor, Update, Updated, Values, Want, Wanted,
};
use camelid_text::{Encoded, Forest, Text, TextAssets};
use camelid_train::{Schedule, Shape, TrainingPlan};
use serde_json::json;

pub(crate) const VOCABULARY: usize = 32;

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Sequences of one tree disturb each other.
    SharingLeaks,
    /// Generation computes something else than scoring.
    DecodingDiffers,
    /// With the adapter off it is another model than before training.
    ReferenceDiffers,
    /// Scores become NaN from the forward after this many updates on.
    NanAfter(u64),
    /// The gradient of this step is infinite although its loss is not.
    InfiniteGradientAt(u64),
    /// Updates fail from this one on.
    FailsAt(u64),
    /// The process ends while this reading of the state hands out its second tensor: in the middle of a checkpoint,
    /// which reads the state twice.
    DiesInReading(u64),
}

/// Next-token logits of each token, and behind them a value of each.
const SIZE: usize = (VOCABULARY + 1) * VOCABULARY;

/// `p(next | token) = softmax(logits[token])`.
#[derive(Clone, Default)]
pub(crate) struct Table {
    logits: Vec<f32>,
    /// What the table was before training: what it is with the adapter off.
    base: Vec<f32>,
    gradient: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    step: u64,
    /// The predecessor and token of each target of the last forward.
    kept: Vec<(usize, usize)>,
    fault: Fault,
    /// How often each record was trained on, by its tokens.
    pub(crate) seen: BTreeMap<Vec<u32>, usize>,
    readings: Cell<u64>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let zeros = vec![0.0; SIZE];
        // Not uniform, so that accuracy means something; an untrained value head says 0.
        let mut logits: Vec<f32> = (0..SIZE).map(|i| ((i * 7919) % 13) as f32 / 13.0).collect();
        logits[VOCABULARY * VOCABULARY..].fill(0.0);
        let base = logits.clone();
        Self { logits, base, gradient: zeros.clone(), first: zeros.clone(), second: zeros, ..Self::default() }
    }

    pub(crate) fn with(fault: Fault) -> Self {
        let mut table = Self { fault, ..Self::new() };
        if fault == Fault::ReferenceDiffers {
            table.base.iter_mut().step_by(3).for_each(|logit| *logit += 0.25);
        }
        table
    }

    /// One that says these tokens only.
    pub(crate) fn that_says(tokens: &[u32]) -> Self {
        let mut table = Self::new();
        for table in [&mut table.logits, &mut table.base] {
            for (place, logit) in table.iter_mut().enumerate().take(VOCABULARY * VOCABULARY) {
                *logit -= if tokens.contains(&((place % VOCABULARY) as u32)) { 0.0 } else { 40.0 };
            }
        }
        table
    }

    /// One whose answers are mostly one letter long; after the last four tokens they go on.
    pub(crate) fn that_ends(fault: Fault) -> Self {
        let mut table = Self::with(fault);
        for table in [&mut table.logits, &mut table.base] {
            table.chunks_mut(VOCABULARY).take(VOCABULARY - 4).for_each(|row| row[1] += 6.0);
        }
        table
    }

    /// Makes `next` all but certain after `token`.
    pub(crate) fn insist(&mut self, token: u32, next: u32) {
        self.logits[token as usize * VOCABULARY + next as usize] += 30.0;
    }

    fn distribution(&self, token: usize) -> Vec<f64> {
        softmax(&self.logits, token)
    }

    /// `p(· | token)`.
    pub(crate) fn probabilities(&self, token: u32) -> Vec<f64> {
        self.distribution(token as usize)
    }

    pub(crate) fn log_prob(&self, token: u32, next: u32) -> f64 {
        self.distribution(token as usize)[next as usize].ln()
    }
}

fn softmax(logits: &[f32], token: usize) -> Vec<f64> {
    let row = &logits[token * VOCABULARY..][..VOCABULARY];
    let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
    row.iter().map(|&logit| f64::from(logit).exp() / total).collect()
}

fn log_normaliser(row: &[f32]) -> f64 {
    row.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln()
}

fn broken(reason: &str) -> ModelError {
    ModelError::Invalid { reason: reason.into(), fix: "none, this is a test".into() }
}

/// The next token depends on the last one only, so there is nothing to keep.
impl Generate for Table {
    fn open_cache(&mut self, _rows: usize, _longest: usize) {}

    fn close_cache(&mut self) {}

    fn cache_row_bytes(&self) -> usize {
        0
    }

    fn max_positions(&self) -> usize {
        1 << 20
    }

    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn extend(&mut self, pieces: &[Piece<'_>]) -> Result<Logits, ModelError> {
        let mut logits = Logits { vocabulary: VOCABULARY, ..Logits::default() };
        for piece in pieces {
            let tokens = match piece.wanted {
                Wanted::Nothing => &[],
                Wanted::Last => &piece.tokens[piece.tokens.len() - 1..],
                Wanted::All => piece.tokens,
            };
            for &token in tokens {
                let row = &self.logits[token as usize * VOCABULARY..][..VOCABULARY];
                logits.values.extend_from_slice(row);
                let shift = if self.fault == Fault::DecodingDiffers { 1.0 } else { 0.0 };
                logits.log_normalisers.push(log_normaliser(row) - shift);
            }
        }
        Ok(logits)
    }
}

impl Engine for Table {
    fn forward(&mut self, forest: &Forest, want: Want) -> Result<Scores, ModelError> {
        if want.gradients {
            let mut branches: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for target in &forest.targets {
                let first = forest.tokens[target.row as usize];
                branches.entry(target.branch).or_insert_with(|| vec![first]).push(target.token);
            }
            for sequence in branches.into_values() {
                *self.seen.entry(sequence).or_default() += 1;
            }
        }
        self.kept = forest.targets.iter().map(|t| (forest.tokens[t.row as usize] as usize, t.token as usize)).collect();
        let shares = forest.runs.iter().any(|run| run.parent.is_some());
        let leak = if self.fault == Fault::SharingLeaks && shares { 0.5 } else { 0.0 };
        let nan = matches!(self.fault, Fault::NanAfter(step) if self.step >= step);
        let mut scores = Scores::default();
        for &(token, next) in &self.kept {
            if want.values == Values::Targets {
                scores.values.push(self.logits[VOCABULARY * VOCABULARY + token]);
            }
            if want.without_log_probs {
                continue;
            }
            let table = if want.without_adapter || want.reference { &self.base } else { &self.logits };
            let row = &table[token * VOCABULARY..][..VOCABULARY];
            let log_prob = (f64::from(row[next]) - log_normaliser(row)) as f32;
            let distribution = softmax(table, token);
            scores.log_probs.push(if nan { f32::NAN } else { log_prob - leak });
            scores.hits.push(distribution.iter().all(|&p| p <= distribution[next]));
        }
        Ok(scores)
    }

    fn backward(&mut self, cotangents: &Cotangents) -> Result<(), ModelError> {
        for (&(token, _), &cotangent) in self.kept.iter().zip(&cotangents.values) {
            self.gradient[VOCABULARY * VOCABULARY + token] += cotangent;
        }
        for (&(token, next), &cotangent) in self.kept.clone().iter().zip(&cotangents.log_probs) {
            for (other, p) in self.distribution(token).into_iter().enumerate() {
                let hit = f64::from(u8::from(other == next));
                self.gradient[token * VOCABULARY + other] += (f64::from(cotangent) * (hit - p)) as f32;
            }
        }
        Ok(())
    }

    fn update(&mut self, update: &Update) -> Result<Updated, ModelError> {
        if matches!(self.fault, Fault::FailsAt(step) if self.step + 1 >= step) {
            return Err(broken("out of memory"));
        }
        self.step += 1;
        if self.fault == Fault::InfiniteGradientAt(self.step) {
            self.gradient[0] = f32::INFINITY;
        }
        let squares: f64 = self.gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
        let grad_norm = squares.sqrt() / update.denominator;
        let clip = (f64::from(update.max_grad_norm) / grad_norm).min(1.0);
        let correction = |beta: f32| 1.0 - beta.powi(i32::try_from(self.step).unwrap_or(i32::MAX));
        let (first_correction, second_correction) = (correction(update.beta1), correction(update.beta2));
        for i in 0..self.logits.len() {
            let gradient = self.gradient[i] * (clip / update.denominator) as f32;
            self.first[i] = update.beta1 * self.first[i] + (1.0 - update.beta1) * gradient;
            self.second[i] = update.beta2 * self.second[i] + (1.0 - update.beta2) * gradient * gradient;
            let denominator = (self.second[i] / second_correction).sqrt() + update.epsilon;
            self.logits[i] *= 1.0 - update.learning_rate * update.weight_decay;
            self.logits[i] -= update.learning_rate * self.first[i] / first_correction / denominator;
        }
        self.zero_gradients();
        Ok(Updated { grad_norm, step: self.step })
    }

    fn update_reference(&mut self, share: f32) -> Result<(), ModelError> {
        for (base, logit) in self.base.iter_mut().zip(&self.logits) {
            *base = share * logit + (1.0 - share) * *base;
        }
        Ok(())
    }

    fn take_reference(&mut self) -> Result<(), ModelError> {
        self.logits.clone_from(&self.base);
        Ok(())
    }

    fn zero_gradients(&mut self) {
        self.gradient.fill(0.0);
    }

    fn decode_log_probs(&mut self, tokens: &[u32], from: usize) -> Result<Vec<f32>, ModelError> {
        let shift = if self.fault == Fault::DecodingDiffers { 1.0 } else { 0.0 };
        Ok((from..tokens.len()).map(|i| self.log_prob(tokens[i - 1], tokens[i]) as f32 + shift).collect())
    }

    fn visit_state(&self, visit: &mut dyn FnMut(StateTensor) -> Result<(), ModelError>) -> Result<(), ModelError> {
        self.readings.set(self.readings.get() + 1);
        for (name, values) in
            [("table", &self.logits), ("first", &self.first), ("second", &self.second), ("base", &self.base)]
        {
            if name == "first" && self.fault == Fault::DiesInReading(self.readings.get()) {
                std::panic::resume_unwind(Box::new("the process ends"));
            }
            visit(StateTensor { name: name.into(), shape: vec![VOCABULARY + 1, VOCABULARY], values: values.clone() })?;
        }
        Ok(())
    }

    fn restore_state(
        &mut self,
        step: u64,
        fetch: &mut dyn FnMut(&str) -> Result<Vec<f32>, ModelError>,
    ) -> Result<(), ModelError> {
        (self.logits, self.first, self.second) = (fetch("table")?, fetch("first")?, fetch("second")?);
        self.base = fetch("base")?;
        self.step = step;
        Ok(())
    }

    fn visit_gradients(&self, visit: &mut dyn FnMut(StateTensor) -> Result<(), ModelError>) -> Result<(), ModelError> {
        let values = self.gradient.clone();
        visit(StateTensor { name: "table".into(), shape: vec![VOCABULARY + 1, VOCABULARY], values })
    }

    fn save(&self, _folder: &std::path::Path) -> Result<(), ModelError> {
        Err(broken("nothing here saves a table"))
    }

    fn parameters(&self) -> (usize, usize) {
        (self.logits.len(), self.logits.len())
    }

    fn flops(&self, forest: &Forest, _gradients: bool) -> f64 {
        forest.tokens.len() as f64
    }

    fn memory(&self) -> Memory {
        Memory::default()
    }

    fn describe(&self) -> String {
        "a table".into()
    }
}

/// Letters as tokens, 0 for the beginning and 1 for the end of a text.
pub(crate) fn text() -> Text {
    let specials = ["<s>", "</s>"];
    let letters = ('a'..).map(String::from).take(VOCABULARY - specials.len());
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        specials.map(String::from).into_iter().chain(letters).zip(0..).map(|(token, id)| (token, json!(id))).collect();
    let added: Vec<serde_json::Value> = (0..)
        .zip(specials)
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary,
                  "merges": []},
    });
    let assets = TextAssets {
        tokenizer_json: tokenizer.to_string().into_bytes(),
        tokenizer_config: json!({"bos_token": "<s>", "eos_token": "</s>"}),
        chat_template: None,
        generation_config: json!({}),
    };
    Text::new(assets).unwrap()
}

/// Records of different lengths, all different; two and two start with the same token.
pub(crate) fn records(count: u32) -> Vec<Encoded> {
    let record = |record: u32| {
        let len = 3 + (record * 5) % 7;
        let token = |i| if i == 0 { record / 2 } else { record + i * (1 + record % 3) };
        let tokens: Vec<u32> = (0..len).map(|i| token(i) % VOCABULARY as u32).collect();
        let weights = (0..len).map(|i| if i == 0 { 0.0 } else { [1.0, 0.5][i as usize % 2] }).collect();
        Encoded { tokens, weights, record }
    };
    (0..count).map(record).collect()
}

pub(crate) fn plan() -> TrainingPlan {
    TrainingPlan {
        seed: 3,
        epochs: 4.0,
        max_steps: 0,
        batch_size: 5,
        inner_epochs: 1,
        mini_batches: 1,
        tokens_per_micro_batch: 1000,
        schedule: Schedule {
            shape: Shape::Cosine,
            learning_rate: 0.1,
            warmup: 2.0,
            final_share: 0.1,
            decay_share: 0.1,
        },
        weight_decay: 0.0,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        max_grad_norm: 1.0,
        ema: None,
        validation_share: 0.0,
        eval_every: 3,
        early_stop_patience: 0,
        checkpoint_every: 1,
        keep_checkpoints: 2,
    }
}
