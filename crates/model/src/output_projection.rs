//! The output projection: log-probabilities of the targets, and gradients through them.

use camelid_kernels::{Backend, HeadCotangents, HeadOutputs, HeadTargets, Weight};

use crate::arch::ArchConfig;
use crate::batch::Targets;
use crate::engine::{Cotangents, Scores, Want};
use crate::linear::{LinearWeight, activations, floats};
use crate::tensor::Tensor;
use crate::transformer::Transformer;

/// The weight of the output projection.
pub(crate) enum Head<B: Backend> {
    /// The embedding table itself.
    Embedding,
    Own(LinearWeight<B>),
}

/// What the backward needs.
pub(crate) struct KeptHead<B: Backend> {
    /// Residual rows that predict, before the final norm.
    predicting: B::Buffer,
    statistics: B::Buffer,
    hidden: B::Buffer,
    log_normalisers: B::Buffer,
}

impl<B: Backend> Transformer<B> {
    pub(crate) fn head_weight(&self) -> Weight<'_, B::Buffer, B::Matrix> {
        head_weight(&self.arch, &self.head, &self.embedding)
    }

    /// Scores the targets from the residual stream.
    pub(crate) fn head_forward(
        &self,
        targets: &Targets<B>,
        x: &B::Buffer,
        want: Want,
        scores: &mut Scores,
    ) -> KeptHead<B> {
        let (backend, hidden) = (&self.backend, self.arch.hidden);
        let mut predicting = floats(backend, targets.rows * hidden);
        backend.gather_rows(x, &targets.row_indices, targets.rows, hidden, &mut predicting);
        let mut normed = activations(backend, targets.rows * hidden);
        let statistics = self.final_norm.forward(backend, &predicting, targets.rows, &mut normed);
        let mut log_probs = floats(backend, targets.count);
        let mut hits = floats(backend, targets.count);
        let mut log_normalisers = floats(backend, targets.rows);
        let mut entropies = want.entropy.then(|| floats(backend, targets.count));
        backend.head(
            &normed,
            targets.rows,
            self.head_weight(),
            self.arch.logit_softcap,
            HeadTargets { rows: &targets.local_rows, tokens: &targets.tokens, count: targets.count },
            HeadOutputs {
                log_probs: &mut log_probs,
                entropies: entropies.as_mut(),
                hits: &mut hits,
                log_normalisers: &mut log_normalisers,
            },
        );
        scores.log_probs = backend.read(&log_probs, 0, targets.count);
        scores.entropies = entropies.map(|e| backend.read(&e, 0, targets.count)).unwrap_or_default();
        scores.hits = backend.read(&hits, 0, targets.count).iter().map(|&hit| hit > 0.5).collect();
        KeptHead { predicting, statistics, hidden: normed, log_normalisers }
    }

    /// Gradients of the output projection and, into `dx`, of the residual stream.
    pub(crate) fn head_backward(
        &mut self,
        targets: &Targets<B>,
        kept: KeptHead<B>,
        cotangents: &Cotangents,
        dx: &mut B::Buffer,
    ) {
        let KeptHead { predicting, statistics, hidden: normed, log_normalisers } = kept;
        let (backend, hidden) = (&self.backend, self.arch.hidden);
        let dlog_probs = backend.upload(&cotangents.log_probs);
        let dentropies = (!cotangents.entropies.is_empty()).then(|| backend.upload(&cotangents.entropies));
        let mut dnormed = activations(backend, targets.rows * hidden);
        // Out of its tensor for the call, because the call also reads the tensor's value.
        let mut head_gradient =
            trained_head(&mut self.head, &mut self.embedding).and_then(|head| head.take_gradient(backend));
        backend.head_backward(
            &normed,
            targets.rows,
            head_weight(&self.arch, &self.head, &self.embedding),
            self.arch.logit_softcap,
            HeadTargets { rows: &targets.local_rows, tokens: &targets.tokens, count: targets.count },
            &log_normalisers,
            HeadCotangents { log_probs: &dlog_probs, entropies: dentropies.as_ref() },
            &mut dnormed,
            head_gradient.as_mut(),
        );
        if let Some(tensor) = trained_head(&mut self.head, &mut self.embedding) {
            tensor.put_gradient(head_gradient);
        }
        let mut dpredicting = floats(backend, targets.rows * hidden);
        self.final_norm.backward(backend, &dnormed, &predicting, &statistics, targets.rows, &mut dpredicting, false);
        backend.scatter_rows(&dpredicting, &targets.row_indices, targets.rows, hidden, dx, false);
    }
}

fn head_weight<'a, B: Backend>(
    arch: &ArchConfig,
    head: &'a Head<B>,
    embedding: &'a Tensor<B>,
) -> Weight<'a, B::Buffer, B::Matrix> {
    let (out, input) = (arch.vocabulary, arch.hidden);
    match head {
        Head::Embedding => Weight::Values { values: &embedding.value, out, input },
        Head::Own(weight) => weight.of(out, input),
    }
}

/// The tensor that holds the output projection, if it is trained.
fn trained_head<'a, B: Backend>(head: &'a mut Head<B>, embedding: &'a mut Tensor<B>) -> Option<&'a mut Tensor<B>> {
    match head {
        Head::Embedding => Some(embedding),
        Head::Own(weight) => weight.trained_mut(),
    }
}
