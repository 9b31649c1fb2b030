//! [`Engine`] for a [`Transformer`]: updates, state in and out, saving.

use std::path::Path;

use camelid_kernels::{AdamW, Backend, Compute, DType, Memory};
use camelid_text::Forest;

use crate::arch_hf::invalid;
use crate::block::Block;
use crate::engine::{Cotangents, Engine, Scores, StateTensor, Update, Updated, Want};
use crate::io::{ElementType, reward_text, write_hf_model, write_hf_reward_model, write_peft_adapter, write_text};
use crate::output_projection::Head;
use crate::tensor::Tensor;
use crate::transformer::{Transformer, outside_blocks_mut};
use crate::tuning::Tuning;
use crate::{LoadedModel, ModelError};

const FIRST_MOMENT: &str = ".first_moment";
const SECOND_MOMENT: &str = ".second_moment";
const REFERENCE: &str = ".reference";

/// An update that is carried out while the backward pass runs.
///
/// Where nothing is clipped, a parameter can be stepped as soon as its own gradient is complete, so the gradients of the
/// whole model never exist at once (Lv 2023, "Full Parameter Fine-tuning for Large Language Models with Limited
/// Resources", arXiv 2306.09782, does so for SGD).
pub(crate) struct EagerUpdate {
    constants: AdamW,
    /// Of the gradients so far, before they are divided.
    squares: f64,
}

impl EagerUpdate {
    pub(crate) fn step<B: Backend>(&mut self, backend: &B, tensors: Vec<&mut Tensor<B>>) -> Result<(), ModelError> {
        for tensor in tensors {
            self.squares += tensor.gradient_squares(backend)?;
            tensor.step(backend, self.constants);
        }
        Ok(())
    }
}

impl<B: Backend> Transformer<B> {
    /// Every tensor kept as values, in the order of the forward pass. The order is part of the checkpoint and of the
    /// gradient norm's sum.
    fn tensors(&self) -> Vec<&Tensor<B>> {
        let mut list = vec![&self.embedding];
        list.extend(self.blocks.iter().flat_map(Block::tensors));
        list.extend(self.final_norm.tensors());
        if let Head::Own(weight) = &self.head {
            list.extend(weight.trained());
        }
        list.extend(self.value_head.iter().map(|head| &head.weight));
        list
    }

    pub(crate) fn for_each_tensor_mut(&mut self, visit: &mut dyn FnMut(&B, &mut Tensor<B>)) {
        let Self { backend, embedding, blocks, final_norm, head, value_head, .. } = self;
        let outside = outside_blocks_mut(embedding, final_norm, head, value_head);
        for tensor in outside.into_iter().chain(blocks.iter_mut().flat_map(Block::tensors_mut)) {
            visit(backend, tensor);
        }
    }

    fn trained(&self) -> impl Iterator<Item = &Tensor<B>> {
        self.tensors().into_iter().filter(|tensor| tensor.training.is_some())
    }

    /// Global norm of the gradients divided by `denominator`; an error names the first that is not finite.
    fn gradient_norm(&self, denominator: f64) -> Result<f64, ModelError> {
        let mut sum = 0.0;
        for tensor in self.trained() {
            sum += tensor.gradient_squares(&self.backend)?;
        }
        Ok(sum.sqrt() / denominator)
    }

    /// Constants of the next step.
    fn constants(&self, update: &Update, clip: f64) -> AdamW {
        AdamW {
            learning_rate: update.learning_rate,
            beta1: update.beta1,
            beta2: update.beta2,
            epsilon: update.epsilon,
            weight_decay: update.weight_decay,
            step: self.step + 1,
            gradient_scale: (clip / update.denominator) as f32,
        }
    }

    /// Values of a tensor of the finished model under its checkpoint name: trained ones from the device, the rest from
    /// where they came from.
    fn final_values(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        match self.trained().find(|tensor| tensor.name == name) {
            Some(tensor) => Ok(self.backend.read(&tensor.value, 0, tensor.len())),
            None => self.weights.load(name),
        }
    }

    fn check_reference(&self) -> Result<(), ModelError> {
        if self.options.keep_reference {
            return Ok(());
        }
        Err(invalid("this model keeps no copy of its trained parameters", "build it with keep_reference"))
    }

    /// Takes the model apart again: what was loaded, unchanged by training.
    pub fn into_loaded(self) -> LoadedModel {
        let Self { arch, config, weights, text, source, .. } = self;
        LoadedModel { arch, config, weights, text, source }
    }
}

impl<B: Backend> Engine for Transformer<B> {
    fn forward(&mut self, forest: &Forest, want: Want) -> Result<Scores, ModelError> {
        if !want.reference {
            return self.run_forward(forest, want);
        }
        if !self.options.keep_reference || want.gradients {
            let reason = "a reference is wanted of a model that keeps none, or its gradients".to_owned();
            return Err(invalid(reason, "build the model with keep_reference, and score it without gradients"));
        }
        self.for_each_tensor_mut(&mut |_, tensor| tensor.swap_reference());
        let scores = self.run_forward(forest, want);
        self.for_each_tensor_mut(&mut |_, tensor| tensor.swap_reference());
        scores
    }

    fn backward(&mut self, cotangents: &Cotangents) -> Result<(), ModelError> {
        self.run_backward(cotangents, None)
    }

    fn update(&mut self, update: &Update) -> Result<Updated, ModelError> {
        check_denominator(update)?;
        let grad_norm = self.gradient_norm(update.denominator)?;
        let clip =
            if grad_norm > f64::from(update.max_grad_norm) { f64::from(update.max_grad_norm) / grad_norm } else { 1.0 };
        let constants = self.constants(update, clip);
        self.for_each_tensor_mut(&mut |backend, tensor| tensor.step(backend, constants));
        self.step = constants.step;
        Ok(Updated { grad_norm, step: self.step })
    }

    fn backward_and_update(&mut self, cotangents: &Cotangents, update: &Update) -> Result<Updated, ModelError> {
        if update.max_grad_norm.is_finite() {
            self.backward(cotangents)?;
            return self.update(update);
        }
        check_denominator(update)?;
        let mut eager = EagerUpdate { constants: self.constants(update, 1.0), squares: 0.0 };
        self.run_backward(cotangents, Some(&mut eager))?;
        self.step = eager.constants.step;
        Ok(Updated { grad_norm: eager.squares.sqrt() / update.denominator, step: self.step })
    }

    fn update_reference(&mut self, share: f32) -> Result<(), ModelError> {
        self.check_reference()?;
        self.for_each_tensor_mut(&mut |backend, tensor| tensor.move_reference(backend, share));
        Ok(())
    }

    fn take_reference(&mut self) -> Result<(), ModelError> {
        self.check_reference()?;
        self.for_each_tensor_mut(&mut |backend, tensor| tensor.take_reference(backend));
        Ok(())
    }

    fn zero_gradients(&mut self) {
        self.for_each_tensor_mut(&mut |_, tensor| tensor.put_gradient(None));
    }

    fn decode_log_probs(&mut self, tokens: &[u32], from: usize) -> Result<Vec<f32>, ModelError> {
        if from == 0 || from >= tokens.len() {
            return Err(invalid(format!("token {from} of {} cannot be decoded", tokens.len()), "start at 1 or later"));
        }
        let mut decoder = self.decoder(tokens.len());
        let mut logits = decoder.predict(&tokens[..from])?;
        let mut log_probs = Vec::new();
        for (index, &token) in tokens.iter().enumerate().skip(from) {
            log_probs.push(logits.log_prob(0, token));
            if index + 1 < tokens.len() {
                logits = decoder.predict(&[token])?;
            }
        }
        Ok(log_probs)
    }

    fn visit_state(&self, visit: &mut dyn FnMut(StateTensor) -> Result<(), ModelError>) -> Result<(), ModelError> {
        for tensor in self.trained() {
            visit(tensor.state(&self.backend, "", &tensor.value))?;
            if let Some(training) = &tensor.training {
                visit(tensor.state(&self.backend, FIRST_MOMENT, &training.first_moment))?;
                visit(tensor.state(&self.backend, SECOND_MOMENT, &training.second_moment))?;
                if let Some(reference) = &training.reference {
                    visit(tensor.state(&self.backend, REFERENCE, reference))?;
                }
            }
        }
        Ok(())
    }

    fn restore_state(
        &mut self,
        step: u64,
        fetch: &mut dyn FnMut(&str) -> Result<Vec<f32>, ModelError>,
    ) -> Result<(), ModelError> {
        let mut outcome = Ok(());
        self.for_each_tensor_mut(&mut |backend, tensor| {
            if outcome.is_ok() {
                outcome = restore(backend, tensor, fetch);
            }
        });
        outcome?;
        self.step = step;
        self.zero_gradients();
        Ok(())
    }

    fn visit_gradients(&self, visit: &mut dyn FnMut(StateTensor) -> Result<(), ModelError>) -> Result<(), ModelError> {
        for tensor in self.trained() {
            if let Some(training) = &tensor.training {
                let zeros = || self.backend.zeros(DType::F32, tensor.len());
                match &training.gradient {
                    Some(gradient) => visit(tensor.state(&self.backend, "", gradient))?,
                    None => visit(tensor.state(&self.backend, "", &zeros()))?,
                }
            }
        }
        Ok(())
    }

    fn save(&self, folder: &Path) -> Result<(), ModelError> {
        if let Tuning::LowRank(low_rank) = &self.tuning {
            let tensors: Vec<StateTensor> =
                self.trained().map(|tensor| tensor.state(&self.backend, "", &tensor.value)).collect();
            write_peft_adapter(folder, low_rank, &self.source, &tensors)?;
            let text = if self.value_head.is_some() { &reward_text(&self.text) } else { &self.text };
            return write_text(folder, text);
        }
        let mut fetch = |name: &str| self.final_values(name);
        if self.value_head.is_some() {
            write_hf_reward_model(folder, &self.arch, &self.config, ElementType::F32, &mut fetch)?;
            return write_text(folder, &reward_text(&self.text));
        }
        write_hf_model(folder, &self.arch, &self.config, ElementType::F32, &mut fetch)?;
        write_text(folder, &self.text)
    }

    fn parameters(&self) -> (usize, usize) {
        let trained: usize = self.trained().map(Tensor::len).sum();
        let adapter = if matches!(self.tuning, Tuning::LowRank(_)) { trained } else { 0 };
        (self.arch.parameters() + adapter, trained)
    }

    fn flops(&self, forest: &Forest, gradients: bool) -> f64 {
        crate::flops::count(self, forest, gradients)
    }

    fn memory(&self) -> Memory {
        self.backend.memory()
    }

    fn describe(&self) -> String {
        let precision = match self.backend.compute() {
            Compute::F32 => "f32",
            Compute::Bf16 => "bf16 products, f32 sums",
        };
        format!("{}, {precision}", self.backend.name())
    }
}

fn check_denominator(update: &Update) -> Result<(), ModelError> {
    if update.denominator > 0.0 && update.denominator.is_finite() {
        return Ok(());
    }
    let reason = format!("an update was asked to divide by {}", update.denominator);
    Err(invalid(reason, "a batch must train at least one token"))
}

fn restore<B: Backend>(
    backend: &B,
    tensor: &mut Tensor<B>,
    fetch: &mut dyn FnMut(&str) -> Result<Vec<f32>, ModelError>,
) -> Result<(), ModelError> {
    let (name, len) = (tensor.name.clone(), tensor.len());
    let Some(training) = &mut tensor.training else { return Ok(()) };
    let parts = [
        ("", &mut tensor.value),
        (FIRST_MOMENT, &mut training.first_moment),
        (SECOND_MOMENT, &mut training.second_moment),
    ];
    let reference = training.reference.as_mut().map(|reference| (REFERENCE, reference));
    for (suffix, buffer) in parts.into_iter().chain(reference) {
        let name = format!("{name}{suffix}");
        let values = fetch(&name)?;
        if values.len() != len {
            let reason = format!("checkpoint tensor {name} has {} elements, the model {len}", values.len());
            return Err(invalid(reason, "resume with the recipe that wrote the checkpoint"));
        }
        backend.write(buffer, 0, &values);
    }
    Ok(())
}
