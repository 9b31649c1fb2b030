//! Reward models that choose among the answers to a benchmark's item.

use camelid_eval::task::{Context, Failure, FailureKind, Rater};
use camelid_objectives::reward::ensemble::Combine;
use camelid_objectives::reward::steps::{Aggregate, steps};
use camelid_records::{Conversation, Message, Provenance, Record, Role, Stepwise};
use camelid_text::{Encoded, Overlong, SpanPolicy, Text};
use camelid_train::{Example, RewardModels};
use serde_json::Map;

use super::answerers::message;
use crate::cli::{MachineArgs, SampleArgs};
use crate::machine;
use crate::reward_models::{self, Verdict};

/// What stands between two steps of an answer.
const SEPARATOR: &str = "\n";

/// Reads the scalar at the end of an answer or, of a process reward model, after each of its steps.
pub(crate) struct RewardRater {
    models: RewardModels,
    text: Text,
    by_steps: bool,
    rows_at_once: usize,
}

impl RewardRater {
    /// The reward models that arguments name; none where they name none.
    pub(crate) fn open(args: &SampleArgs, rows_at_once: usize, machine: &MachineArgs) -> anyhow::Result<Option<Self>> {
        if args.reward_model.is_empty() {
            return Ok(None);
        }
        let backend = || machine::open(machine.compute, machine.threads);
        let opened = reward_models::open(&args.reward_model, Combine::Mean, &backend, &mut |line| eprintln!("{line}"))?;
        match &opened.verdict {
            Verdict::Certified => {}
            Verdict::Objections(objections) => eprintln!("not certified: {}", objections.join("; ")),
            Verdict::Unknown => eprintln!("not certified: nobody has looked at this reward model"),
        }
        let (models, text) = (opened.models, opened.text);
        Ok(Some(Self { models, text, by_steps: args.rate_steps, rows_at_once }))
    }

    /// An answer as the reward model reads it, or its beginnings up to each step. Nothing of an answer without text.
    fn encoded(&self, context: &Context, answer: &str) -> Result<Vec<Encoded>, Failure> {
        let answer = self.text.without_control_tokens(answer);
        if answer.trim().is_empty() {
            return Ok(Vec::new());
        }
        let provenance = Provenance { source: "sampled".into(), row: 1 };
        let (messages, prompt) = match context {
            Context::Text(text) => (Vec::new(), text.clone()),
            Context::Chat(turns) => (turns.iter().map(message).collect::<Vec<Message>>(), String::new()),
        };
        let records = if self.by_steps {
            let steps = steps(&answer, SEPARATOR).into_iter().map(|step| step.text.to_owned()).collect();
            Stepwise { messages, prompt, steps, labels: Vec::new(), provenance }.prefixes()
        } else if messages.is_empty() {
            vec![Record::Completion { prompt, completion: answer, provenance }]
        } else {
            let messages = messages.into_iter().chain([Message::new(Role::Assistant, answer)]).collect();
            vec![Record::Conversation(Conversation {
                messages,
                tools: None,
                template_arguments: Map::new(),
                provenance,
            })]
        };
        let encode = |record: &Record| {
            // What is learned does not matter here, but a record must learn something.
            let written = self.text.encode_record(record, &SpanPolicy::default(), usize::MAX, Overlong::Reject);
            written.map_err(|reason| Failure {
                kind: FailureKind::Invalid,
                message: format!("the reward model cannot read an answer: {reason}"),
            })
        };
        records.iter().map(encode).collect()
    }
}

impl Rater for RewardRater {
    fn rate(&mut self, answers: &[(&Context, &str)]) -> Result<Vec<f64>, Failure> {
        let example = |(context, answer): &(&Context, &str)| {
            Ok(Example { sequences: self.encoded(context, answer)?, ..Example::default() })
        };
        let examples: Vec<Example> = answers.iter().map(example).collect::<Result<_, Failure>>()?;
        let asked: Vec<&Example> = examples.iter().filter(|example| !example.sequences.is_empty()).collect();
        let rewards = self
            .models
            .rewards(&asked, self.rows_at_once)
            .map_err(|error| Failure { kind: FailureKind::Server, message: error.to_string() })?;
        let mut rewards = rewards.into_iter();
        let by_steps = self.by_steps;
        let of = |example: &Example| {
            // An answer without text is worth less than any other.
            let given = if example.sequences.is_empty() { None } else { rewards.next() };
            match given {
                None => f64::NEG_INFINITY,
                // As log-odds again, which is what ratings are read as.
                Some(log_odds) if by_steps => logit(Aggregate::Product.of(&log_odds)),
                Some(rewards) => rewards.iter().sum(),
            }
        };
        Ok(examples.iter().map(of).collect())
    }
}

fn logit(probability: f64) -> f64 {
    (probability / (1.0 - probability)).ln()
}
