//! A small transformer: trained from nothing, tuned on preferences, sampled and scored.

use std::collections::BTreeMap;

use camelid_generate::{Sampler, Sampling};
use camelid_kernels::{Compute, Cpu, CpuOptions};
use camelid_model::{
    ArchConfig, Engine, LoadedModel, ModelError, Transformer, TransformerOptions, Tuning, Want, WeightSource,
};
use camelid_text::{Encoded, Forest, TextAssets};
use camelid_train::{
    Example, Label, Ranking, Reduction, Requests, RunDirectory, Schedule, SftTask, Shape, Silent, Task, Trainer,
    TrainingData, TrainingPlan, below, stream,
};
use serde_json::json;

use crate::adapter;
use crate::methods::{Entry, Takes};
use crate::task::{self, EOS, LONGEST, Split, VOCABULARY};

const SFT_TEXTS: usize = 6_000;
const TRAINING_PROMPTS: usize = 512;
const ANSWERS: usize = 4;
const PROMPTS_A_STEP: usize = 32;
const TEST_PROMPTS: usize = 400;

/// What answers to held-out prompts are worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    pub(crate) reward: f64,
    /// Mean over answers of `log π - log π_SFT`: an estimate of the KL divergence, nats a sequence.
    pub(crate) divergence: f64,
    /// Tokens, the end included.
    pub(crate) length: f64,
}

type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

struct InMemory(Weights);

impl WeightSource for InMemory {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).map(|(shape, _)| shape.clone())
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        Ok(self.0[name].1.clone())
    }
}

/// The SFT policy of a seed, and the answers that it gave to the training prompts.
pub(crate) struct Policy {
    seed: u64,
    weights: Weights,
    prompts: Vec<Vec<u32>>,
    answers: Vec<Vec<Vec<u32>>>,
}

/// A policy tuned on preferences, with its reference inside.
pub(crate) struct Tuned {
    seed: u64,
    engine: Transformer<Cpu>,
}

fn config() -> serde_json::Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": VOCABULARY,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false,
        "bos_token_id": 0, "eos_token_id": 1, "hidden_act": "silu",
    })
}

/// Uniform weights of standard deviation `1/√in`, norms of 1.
fn random_weights(seed: u64) -> Weights {
    let arch = ArchConfig::from_hf(&config()).expect("the configuration above is complete");
    let mut random = stream(seed, "weights");
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let bound = (3.0 / *shape.last().unwrap_or(&1) as f32).sqrt();
        let mut uniform = || bound * (below(&mut random, 1 << 20) as f32 / (1 << 19) as f32 - 1.0);
        let count = shape.iter().product();
        let values = if shape.len() == 1 { vec![1.0; count] } else { (0..count).map(|_| uniform()).collect() };
        (name, (shape, values))
    };
    arch.tensors().into_iter().map(tensor).collect()
}

fn engine(weights: &Weights, tuning: Tuning, seed: u64) -> Transformer<Cpu> {
    let (arch, config) = (ArchConfig::from_hf(&config()).expect("as above"), config());
    let text = TextAssets {
        tokenizer_json: Vec::new(),
        tokenizer_config: json!({}),
        chat_template: None,
        generation_config: json!({}),
    };
    let model = LoadedModel { arch, config, weights: Box::new(InMemory(weights.clone())), text, source: String::new() };
    let backend = Cpu::new(CpuOptions { compute: Compute::F32, threads: Some(1) });
    Transformer::new(backend, model, tuning, seed, TransformerOptions::default()).expect("every tensor is there")
}

/// How long and in what steps something is trained.
struct Training {
    seed: u64,
    rate: f64,
    epochs: f64,
    batch_size: usize,
}

fn fit(engine: &mut dyn Engine, task: &mut dyn Task, examples: &[Example], training: &Training) {
    let &Training { seed, rate, epochs, batch_size } = training;
    let plan = TrainingPlan {
        seed,
        epochs,
        max_steps: 0,
        batch_size,
        inner_epochs: 1,
        mini_batches: 1,
        tokens_per_micro_batch: 4096,
        schedule: Schedule {
            shape: Shape::Cosine,
            learning_rate: rate,
            warmup: 0.1,
            final_share: 0.0,
            decay_share: 0.1,
        },
        weight_decay: 0.0,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        max_grad_norm: 1.0,
        ema: None,
        validation_share: 0.0,
        eval_every: 0,
        early_stop_patience: 0,
        checkpoint_every: 0,
        keep_checkpoints: 1,
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let directory = RunDirectory::open(folder.path()).expect("a run directory");
    let data = TrainingData { training: examples, validation: &[], name: &|record| record.to_string() };
    let requests = Requests::default();
    let trainer = Trainer { plan: &plan, data, directory: &directory, run_hash: String::new(), requests: &requests };
    // A rate that is too high may end in NaN; the policy is then scored as it stands.
    if let Err(error) = trainer.fit(task, engine, &mut Silent) {
        eprintln!("{}", error.to_string().lines().next().unwrap_or_default());
    }
}

/// An answer sampled at temperature 1, with its end unless it is too long.
fn answer(engine: &mut Transformer<Cpu>, prompt: &[u32], seed: u64) -> Vec<u32> {
    let mut sampler =
        Sampler::new(Sampling { temperature: 1.0, seed, ..Sampling::greedy() }).expect("parameters in range");
    let mut decoder = engine.decoder(prompt.len() + LONGEST + 1);
    let mut logits = decoder.append(prompt).expect("the prompt fits");
    let mut answer = Vec::new();
    while answer.len() <= LONGEST {
        if logits.iter().any(|logit| !logit.is_finite()) {
            break;
        }
        let token = sampler.pick(&logits, &[]);
        answer.push(token);
        if token == EOS {
            break;
        }
        if answer.len() <= LONGEST {
            logits = decoder.append(&[token]).expect("the answer fits");
        }
    }
    answer
}

impl Policy {
    /// Trains on the language, then answers the training prompts.
    pub(crate) fn from_nothing(seed: u64) -> Self {
        let mut full = engine(&random_weights(seed), Tuning::Full, seed);
        let mut random = stream(seed, "demonstrations");
        let demonstrations: Vec<Example> = task::prompts(seed, Split::Training, SFT_TEXTS)
            .iter()
            .enumerate()
            .map(|(record, prompt)| {
                Example::from(task::encode(prompt, &task::demonstration(prompt, &mut random), record as u32))
            })
            .collect();
        let training = Training { seed, rate: 3e-3, epochs: 3.0, batch_size: PROMPTS_A_STEP };
        fit(&mut full, &mut SftTask { reduction: Reduction::Tokens }, &demonstrations, &training);
        let prompts = task::prompts(seed + 1000, Split::Training, TRAINING_PROMPTS);
        let mut number = 0;
        let answers = prompts
            .iter()
            .map(|prompt| {
                (0..ANSWERS)
                    .map(|_| {
                        number += 1;
                        answer(&mut full, prompt, seed * 1_000_000 + number)
                    })
                    .collect()
            })
            .collect();
        let mut weights = Weights::new();
        let visited = full.visit_state(&mut |tensor| {
            if !tensor.name.ends_with("_moment") {
                weights.insert(tensor.name, (tensor.shape, tensor.values));
            }
            Ok(())
        });
        visited.expect("the state can be read");
        Self { seed, weights, prompts, answers }
    }

    /// The policy as it is, to be scored.
    pub(crate) fn clone_frozen(&self) -> Tuned {
        Tuned { seed: self.seed, engine: engine(&self.weights, adapter(), self.seed) }
    }

    /// The answers as a method takes them: ranked by gold reward, or one by one, good where above
    /// their prompt's mean.
    fn examples(&self, takes: Takes) -> Vec<Example> {
        let mut examples = Vec::new();
        for (prompt, answers) in self.prompts.iter().zip(&self.answers) {
            let mut scored: Vec<(f64, &Vec<u32>)> =
                answers.iter().map(|answer| (task::reward(prompt, answer), answer)).collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            scored.dedup_by(|a, b| a.1 == b.1);
            let pairs: Vec<(usize, usize)> = (0..scored.len())
                .flat_map(|worse| (0..worse).map(move |better| (better, worse)))
                .filter(|&(better, worse)| scored[better].0 > scored[worse].0)
                .collect();
            if pairs.is_empty() {
                continue;
            }
            let encode = |answer: &[u32], record: usize| task::encode(prompt, answer, record as u32);
            if takes == Takes::Single {
                let mean = scored.iter().map(|(score, _)| score).sum::<f64>() / scored.len() as f64;
                for (score, answer) in &scored {
                    let label = Label::Desirable(*score > mean);
                    examples.push(Example { sequences: vec![encode(answer, examples.len())], label });
                }
                continue;
            }
            let sequences: Vec<Encoded> = scored.iter().map(|(_, answer)| encode(answer, examples.len())).collect();
            let scores = scored.iter().map(|(score, _)| Some(*score)).collect();
            examples.push(Example { sequences, label: Label::Ranked(Ranking { pairs, scores, ..Ranking::default() }) });
        }
        examples
    }

    /// Tunes an adapter by a method. Every method sees each answer four times, in the same number of steps.
    pub(crate) fn tuned(&self, entry: &Entry, rate: f64) -> Tuned {
        let mut tuned = self.clone_frozen();
        let examples = self.examples(entry.takes);
        let batch_size = match entry.takes {
            Takes::Ranked => PROMPTS_A_STEP,
            Takes::Single => PROMPTS_A_STEP * ANSWERS,
        };
        let training = Training { seed: self.seed, rate, epochs: 4.0, batch_size };
        fit(&mut tuned.engine, (entry.task)().as_mut(), &examples, &training);
        tuned
    }
}

impl Tuned {
    /// Answers to prompts that nothing was trained on, scored.
    pub(crate) fn quality(mut self, split: Split) -> Quality {
        let prompts = task::prompts(self.seed + 2000, split, TEST_PROMPTS);
        let (mut reward, mut length) = (0.0, 0.0);
        let mut answered = Vec::with_capacity(prompts.len());
        for (number, prompt) in prompts.iter().enumerate() {
            let answer = answer(&mut self.engine, prompt, number as u64);
            reward += task::reward(prompt, &answer);
            length += answer.len() as f64;
            answered.push(task::encode(prompt, &answer, 0));
        }
        let forest = Forest::dense(&answered.iter().collect::<Vec<_>>());
        let mut log_prob = |without_adapter| {
            let scores = self.engine.forward(&forest, Want { without_adapter, ..Want::default() });
            let log_probs = scores.expect("the answers can be scored").log_probs;
            log_probs.iter().map(|&log_prob| f64::from(log_prob)).sum::<f64>()
        };
        let divergence = log_prob(false) - log_prob(true);
        let count = prompts.len() as f64;
        Quality { reward: reward / count, divergence: divergence / count, length: length / count }
    }
}
