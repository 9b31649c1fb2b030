//! What a stage trains on, and how it is scored.

use camelid_model::{Engine, Scores, Update, Want};
use camelid_objectives::{Metric, Outcome};
pub use camelid_records::Asked;
use camelid_records::{Conversation, Message, Provenance, Record, Role};
use camelid_text::{Encoded, Forest, pack};

use crate::TrainError;
use crate::rollout::{Rollout, Rollouts};

/// What is drawn, shuffled and counted as one: a record, or the responses to one prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// A record's one sequence; or each response behind its prompt, best first, and then a reference answer where the method reads one.
    pub sequences: Vec<Encoded>,
    pub label: Label,
}

/// What the data says of an example's sequences.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Label {
    /// A demonstration.
    #[default]
    None,
    Ranked(Ranking),
    /// Feedback on a single response.
    Desirable(bool),
    /// Whether each sequence, a solution up to one of its steps, is right so far.
    Steps(Vec<bool>),
    /// What the policy is to answer.
    Prompt(Box<Prompt>),
    /// Answers that the policy gave, one for each sequence.
    Sampled(Vec<Rollout>),
}

/// A prompt that the policy answers during training. The example's first sequence is what is asked; methods may want others
/// beside it: the data's own answer behind the prompt, or the prompt behind each of its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    pub asked: Asked,
    /// What the answer should be, where the data says.
    pub expected: Option<String>,
}

impl Prompt {
    /// The demonstration that it makes with an answer, for models with a vocabulary or a template of their own.
    pub fn answered(&self, answer: &str) -> Record {
        let provenance = Provenance { source: "sampled".into(), row: 1 };
        match &self.asked {
            Asked::Chat { messages, tools, template_arguments } => Record::Conversation(Conversation {
                messages: messages.iter().cloned().chain([Message::new(Role::Assistant, answer)]).collect(),
                tools: tools.clone(),
                template_arguments: template_arguments.clone(),
                provenance,
            }),
            Asked::Text(prompt) => {
                Record::Completion { prompt: prompt.clone(), completion: answer.to_owned(), provenance }
            }
        }
    }
}

/// How the responses to one prompt compare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// (better, worse) indices of sequences that are compared.
    pub pairs: Vec<(usize, usize)>,
    /// Score of each sequence, where the data has them.
    pub scores: Vec<Option<f64>>,
    /// How much better the best is; 0 where the data does not say.
    pub margin: f64,
    /// `Σ log π_ref` of each sequence, where it was had with the sequences; empty: the task's reference policy says.
    pub reference: Vec<f64>,
    /// The last sequence is no response but a reference answer, which is compared with none.
    pub has_reference_answer: bool,
}

impl From<Encoded> for Example {
    /// A demonstration.
    fn from(sequence: Encoded) -> Self {
        Self { sequences: vec![sequence], label: Label::None }
    }
}

impl Example {
    /// Tokens of all sequences, those they share counted each time.
    pub fn tokens(&self) -> usize {
        self.sequences.iter().map(|sequence| sequence.tokens.len()).sum()
    }

    /// Rows it takes in a forest.
    pub fn rows(&self) -> usize {
        match self.sequences.as_slice() {
            [sequence] => sequence.tokens.len(),
            sequences => Forest::from_sequences(&sequences.iter().collect::<Vec<_>>()).tokens.len(),
        }
    }

    /// Index of the record it came from.
    pub fn record(&self) -> u32 {
        self.sequences.first().map_or(0, |sequence| sequence.record)
    }
}

/// What a pass over examples is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Training,
    /// Nothing that training depends on may change.
    Evaluation,
}

/// Prompts that are answered together.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    pub examples: &'a [&'a Example],
    /// Steps taken before it; draws depend on it and the run's seed alone.
    pub step: u64,
    pub purpose: Purpose,
    /// Rows computed at once.
    pub token_budget: usize,
}

/// What a round's prompts became.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rolled {
    /// What is trained on; may be none.
    pub examples: Vec<Example>,
    /// Figures of the round.
    pub metrics: Vec<Metric>,
}

/// A kind of stage: how a micro-batch becomes a loss. One file each.
pub trait Task {
    /// Turns the prompts of a step, or of an evaluation, into what the policy answers; nothing where examples are trained on as
    /// they are.
    fn roll_out(&mut self, _engine: &mut dyn Engine, _round: &Round<'_>) -> Result<Option<Rolled>, TrainError> {
        Ok(None)
    }

    /// What draws the policy's answers; nothing where examples are trained on as they are.
    fn rollouts(&mut self) -> Option<&mut Rollouts> {
        None
    }

    /// Sees all examples of a step (or of an evaluation) before its first micro-batch: for what cannot be had from a
    /// micro-batch alone.
    fn begin(
        &mut self,
        _engine: &mut dyn Engine,
        _examples: &[&Example],
        _token_budget: usize,
        _purpose: Purpose,
    ) -> Result<(), TrainError> {
        Ok(())
    }

    /// After an optimiser update of the engine: other models that the task trains take theirs, one each.
    fn update(&mut self, _update: &Update) -> Result<(), TrainError> {
        Ok(())
    }

    /// Whether the updates that are left of this step would do harm; asked after each.
    fn step_is_over(&self) -> bool {
        false
    }

    /// Other models that the task trains, by the name of their file in a checkpoint; the same ones every time.
    fn companions(&mut self) -> Vec<(&'static str, &mut dyn Engine)> {
        Vec::new()
    }

    /// After step `step`, counted from 1.
    fn stepped(&mut self, _engine: &mut dyn Engine, _step: u64) -> Result<(), TrainError> {
        Ok(())
    }

    /// What it carries from step to step; part of each checkpoint.
    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Takes up what [`Self::state`] gave; nothing at the start of a run.
    fn restore(&mut self, _state: &[f64]) {}

    /// Scores a micro-batch and applies the objective. With `want.gradients`, the engine's last forward pass is the one
    /// that the derivatives belong to. `forest` has one branch for each sequence of the examples, in their order.
    fn score(
        &mut self,
        engine: &mut dyn Engine,
        examples: &[&Example],
        forest: &Forest,
        want: Want,
    ) -> Result<Outcome, TrainError>;
}

/// Indices of examples, in micro-batches of at most so many rows.
pub(crate) fn micro_batches(examples: &[&Example], token_budget: usize) -> Vec<Vec<usize>> {
    let rows: Vec<usize> = examples.iter().map(|example| example.rows()).collect();
    pack(&rows, token_budget)
}

/// Examples as one forest; what any of their sequences have in common is computed once.
pub(crate) fn forest(examples: &[&Example]) -> Forest {
    let sequences: Vec<&Encoded> = examples.iter().flat_map(|example| &example.sequences).collect();
    Forest::from_sequences(&sequences)
}

/// For each branch, the indices of its targets in the order of its tokens.
pub(crate) fn targets_of_branches(forest: &Forest) -> Vec<Vec<usize>> {
    let mut branches = vec![Vec::new(); forest.branches as usize];
    // Rows of a branch ascend with its tokens, as runs are in pre-order.
    for (index, target) in forest.targets.iter().enumerate() {
        branches[target.branch as usize].push(index);
    }
    branches
}

/// `Σ_t w_t log π(y_t)` of each branch.
pub(crate) fn branch_sums(forest: &Forest, scores: &Scores) -> Vec<f64> {
    let mut sums = vec![0.0; forest.branches as usize];
    for (target, &log_prob) in forest.targets.iter().zip(&scores.log_probs) {
        sums[target.branch as usize] += f64::from(target.weight) * f64::from(log_prob);
    }
    sums
}
