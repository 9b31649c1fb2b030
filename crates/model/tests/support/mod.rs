//! Golden files: small random models with what `transformers` and `peft` compute of them (`tools/golden_models.py`).

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use camelid_kernels::Backend;
use camelid_model::{
    ArchConfig, Cotangents, Engine, LoadedModel, ModelError, Transformer, TransformerOptions, Tuning, Update, Want,
    WeightSource,
};
use camelid_text::{Encoded, Forest, TextAssets};
use safetensors::SafeTensors;
use serde_json::{Value as Json, json};

/// Settings of the optimiser that the generating script uses.
pub(crate) const UPDATE: Update = Update {
    learning_rate: 1e-3,
    denominator: 1.0,
    max_grad_norm: f32::INFINITY,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.1,
};
/// Where the second series of losses clips.
pub(crate) const CLIP: f32 = 0.5;

#[derive(Clone)]
pub(crate) struct Values {
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Vec<f32>,
}

/// Weights in memory.
#[derive(Clone)]
struct Memory(HashMap<String, Values>);

impl WeightSource for Memory {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).map(|values| values.shape.clone())
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        Ok(self.0[name].numbers.clone())
    }
}

pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) config: Json,
    weights: Memory,
    pub(crate) adapter: HashMap<String, Values>,
    pub(crate) gradients: BTreeMap<String, Values>,
    pub(crate) tokens: Vec<u32>,
    /// `[tokens, vocabulary]`.
    pub(crate) logits: Vec<f32>,
    /// Mean loss before each step.
    pub(crate) losses: Vec<f64>,
    pub(crate) clipped: Vec<f64>,
}

impl Golden {
    pub(crate) fn read(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let of_json = |key: &str| -> Json { serde_json::from_str(&metadata[key]).unwrap() };
        let series = |key: &str| of_json(key).as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (mut weights, mut adapter, mut gradients) = (HashMap::new(), HashMap::new(), BTreeMap::new());
        let (mut tokens, mut logits) = (Vec::new(), Vec::new());
        for (label, view) in file.tensors() {
            let words = view.data().chunks_exact(4).map(|word| word.try_into().unwrap());
            if label == "tokens" {
                let longs = view.data().chunks_exact(8).map(|word| i64::from_le_bytes(word.try_into().unwrap()));
                tokens = longs.map(|token| u32::try_from(token).unwrap()).collect();
                continue;
            }
            let values = Values { shape: view.shape().to_vec(), numbers: words.map(f32::from_le_bytes).collect() };
            match label.split_once('/') {
                Some(("weight", name)) => drop(weights.insert(name.to_owned(), values)),
                Some(("adapter", name)) => drop(adapter.insert(name.to_owned(), values)),
                Some(("gradient", name)) => drop(gradients.insert(name.to_owned(), values)),
                _ => logits = values.numbers,
            }
        }
        Self {
            name: name.to_owned(),
            config: of_json("config"),
            weights: Memory(weights),
            adapter,
            gradients,
            tokens,
            logits,
            losses: series("losses"),
            clipped: series("clipped"),
        }
    }

    pub(crate) fn without_adapter(self) -> Self {
        Self { adapter: HashMap::new(), ..self }
    }

    pub(crate) fn model(&self) -> LoadedModel {
        LoadedModel {
            arch: ArchConfig::from_hf(&self.config).unwrap(),
            config: self.config.clone(),
            weights: Box::new(self.weights.clone()),
            text: TextAssets {
                tokenizer_json: Vec::new(),
                tokenizer_config: json!({}),
                chat_template: None,
                generation_config: json!({}),
            },
            source: self.name.clone(),
        }
    }

    /// The model on a backend; with an adapter, its values are those of the file.
    pub(crate) fn engine<B: Backend>(&self, backend: B, tuning: Tuning) -> Transformer<B> {
        self.engine_with(backend, tuning, TransformerOptions::default())
    }

    pub(crate) fn engine_with<B: Backend>(
        &self,
        backend: B,
        tuning: Tuning,
        options: TransformerOptions,
    ) -> Transformer<B> {
        let mut engine = Transformer::new(backend, self.model(), tuning, 1, options).unwrap();
        if !self.adapter.is_empty() {
            let fetch = &mut |name: &str| {
                let parameter = name.trim_end_matches(".first_moment").trim_end_matches(".second_moment");
                let values = &self.adapter[parameter].numbers;
                Ok(if parameter == name { values.clone() } else { vec![0.0; values.len()] })
            };
            engine.restore_state(0, fetch).unwrap();
        }
        engine
    }

    /// All tokens but the first as targets.
    pub(crate) fn forest(&self) -> Forest {
        let mut weights = vec![1.0; self.tokens.len()];
        weights[0] = 0.0;
        Forest::from_sequences(&[&Encoded { tokens: self.tokens.clone(), weights, record: 0 }])
    }

    /// Logits after each token, through the cache of keys and values.
    pub(crate) fn decoded_logits<B: Backend>(&self, engine: &mut Transformer<B>) -> Vec<f32> {
        let mut decoder = engine.decoder(self.tokens.len());
        self.tokens.iter().flat_map(|&token| decoder.append(&[token]).unwrap()).collect()
    }

    /// Our losses beside those of the file, ten steps.
    pub(crate) fn check_losses<B: Backend>(&self, engine: &mut Transformer<B>, clip: Option<f32>, tolerance: f64) {
        let (forest, targets) = (self.forest(), self.tokens.len() - 1);
        let expected = if clip.is_some() { &self.clipped } else { &self.losses };
        assert!(expected.len() == 10 && expected[9] < expected[0], "{}", self.name);
        for (step, &expected) in expected.iter().enumerate() {
            let loss = gradients_of(engine, &forest) / targets as f64;
            let difference = (loss - expected).abs() / expected;
            assert!(difference <= tolerance, "{} step {step}: {loss}, expected {expected}", self.name);
            let max_grad_norm = clip.unwrap_or(f32::INFINITY);
            engine.update(&Update { denominator: targets as f64, max_grad_norm, ..UPDATE }).unwrap();
        }
    }

    /// Our gradients of the summed loss beside those of the file, each within its largest element's share.
    pub(crate) fn check_gradients<B: Backend>(&self, engine: &mut Transformer<B>, tolerance: f32) {
        gradients_of(engine, &self.forest());
        let mut seen = 0;
        engine
            .visit_gradients(&mut |gradient| {
                let expected = &self.gradients[&gradient.name];
                assert_eq!(gradient.shape, expected.shape, "{} {}", self.name, gradient.name);
                let place = format!("gradient of {} in {}", gradient.name, self.name);
                check(&place, &gradient.values, &expected.numbers, tolerance);
                seen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, self.gradients.len(), "{}: parameters without a gradient", self.name);
    }
}

/// The norm of the difference within `tolerance` of the norm: for precisions in which single elements say little.
#[track_caller]
pub(crate) fn check_norm(what: &str, ours: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let norm = squares(&mut expected.iter().map(|&x| f64::from(x)));
    let difference = squares(&mut ours.iter().zip(expected).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    assert!(norm > 0.0 && difference / norm <= tolerance, "{what}: off by {}", difference / norm);
}

/// Adds the gradients of the summed negative log-likelihood and returns it.
pub(crate) fn gradients_of<B: Backend>(engine: &mut Transformer<B>, forest: &Forest) -> f64 {
    let scores = engine.forward(forest, Want { gradients: true, ..Want::default() }).unwrap();
    let cotangents = Cotangents { log_probs: vec![-1.0; scores.log_probs.len()], ..Cotangents::default() };
    engine.backward(&cotangents).unwrap();
    -scores.log_probs.iter().map(|&p| f64::from(p)).sum::<f64>()
}

/// Every element within `tolerance` of the largest.
#[track_caller]
pub(crate) fn check(what: &str, ours: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    assert!(largest > 0.0, "{what}: nothing to compare");
    let worst = ours.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
    // A NaN compares as neither.
    assert!(worst / largest <= tolerance && ours.iter().all(|x| x.is_finite()), "{what}: off by {}", worst / largest);
    if std::env::var_os("SHOW_DEVIATIONS").is_some() {
        println!("{what}: {:.1e}", worst / largest);
    }
}

/// Accumulated gradients, all in one list.
pub(crate) fn read_gradients(engine: &dyn Engine) -> Vec<f32> {
    let mut all = Vec::new();
    engine
        .visit_gradients(&mut |gradient| {
            all.extend(gradient.values);
            Ok(())
        })
        .unwrap();
    all
}

/// A tokenizer of as many tokens as the golden models have: `<pad>`, `<s>`, `</s>`, then letters.
pub(crate) fn byte_text() -> TextAssets {
    let specials = ["<pad>", "<s>", "</s>"];
    let letters = ('\u{100}'..).map(String::from);
    let names = specials.map(String::from).into_iter().chain(letters).take(VOCABULARY);
    let vocabulary: serde_json::Map<String, Json> = names.zip(0..).map(|(token, id)| (token, json!(id))).collect();
    let added: Vec<Json> = (0..)
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
    TextAssets {
        tokenizer_json: tokenizer.to_string().into_bytes(),
        tokenizer_config: json!({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}),
        chat_template: None,
        generation_config: json!({}),
    }
}

/// Of the golden models.
const VOCABULARY: usize = 48;
