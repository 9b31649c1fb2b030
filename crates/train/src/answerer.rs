//! Who draws the policy's answers: the engine that trains, or a server that is sent the policy's weights.

use std::path::PathBuf;

use camelid_generate::client::{GenerateError, PolicyServer};
use camelid_generate::engine::{Answered, Limits, Unanswered, answer_all};
use camelid_generate::{Finish, Request};
use camelid_model::{Engine, Want};
use camelid_objectives::reinforcement::mismatch::Mismatch;
use camelid_objectives::{Metric, Reduced};
use camelid_text::{Encoded, Text};

use crate::TrainError;
use crate::rollout::of_tokens;
use crate::task::Example;

/// Where answers come from.
#[derive(Default)]
pub enum Answerer {
    /// The engine that trains: its log-probabilities are those of training, bit for bit.
    #[default]
    Own,
    /// Another process.
    Server(Box<RolloutServer>),
}

/// A server and where it finds the policy's weights.
pub struct RolloutServer {
    pub server: PolicyServer,
    /// Written anew before each round.
    pub weights: PathBuf,
}

/// Answers and figures of how they were had.
pub(crate) type Drawn = (Vec<Vec<Answered>>, Vec<Metric>);

/// Beyond this mean difference of log-probabilities the server's model is another (`objectives::reinforcement::mismatch`).
const FARTHEST: f64 = 0.1;

impl Answerer {
    /// Answers to all requests, in their order. `records` are the requests' prompts, for messages.
    pub(crate) fn answer(
        &mut self,
        engine: &mut dyn Engine,
        text: &Text,
        requests: Vec<Request>,
        records: &[u32],
        token_budget: usize,
    ) -> Result<Drawn, TrainError> {
        match self {
            Self::Own => {
                let limits = limits(&requests);
                let answers = answer_all(engine, text, limits, requests, &mut |_| {});
                let answers = answers.map_err(|error| match error {
                    Unanswered::Model(error) => TrainError::from(error),
                    Unanswered::Refused { index, refusal } => TrainError::Data {
                        reason: format!("record {}: {refusal}", records[index] + 1),
                        fix: "shorten or remove the record".into(),
                    },
                })?;
                Ok((answers, Vec::new()))
            }
            Self::Server(server) => server.answer(engine, requests, token_budget),
        }
    }
}

impl RolloutServer {
    /// What the server computes may differ in the last bits (it has the adapter merged), so that log-probabilities are taken
    /// again from the engine that trains, and how far the server's were is told.
    fn answer(
        &self,
        engine: &mut dyn Engine,
        requests: Vec<Request>,
        token_budget: usize,
    ) -> Result<Drawn, TrainError> {
        engine.save(&self.weights)?;
        let version = self.server.load(&self.weights).map_err(unanswered)?;
        let mut answers = self.server.answer(&requests, version).map_err(unanswered)?;
        let examples: Vec<Example> = requests.iter().zip(&answers).map(|(request, group)| example(request, group)).collect();
        let own = of_tokens(engine, &examples.iter().collect::<Vec<_>>(), Want::default(), token_budget)?;
        let mut mismatch = Mismatch::default();
        for (answer, own) in answers.iter_mut().flatten().zip(own.into_iter().flatten()) {
            let server: Vec<f32> = answer.tokens.iter().map(|score| score.log_prob).collect();
            mismatch.add(&own, &server, &vec![1.0; server.len()]);
            answer.tokens.iter_mut().zip(own).for_each(|(score, own)| score.log_prob = own);
        }
        let mean = mismatch.difference.mean().unwrap_or(0.0);
        if mean > FARTHEST {
            return Err(TrainError::Data {
                reason: format!("the server's log-probabilities are {mean:.3} nats from the trainer's in the mean"),
                fix: "start the server with the model and the precision that this stage trains".into(),
            });
        }
        let figures = vec![
            Metric::new("sampling/server_logp_difference/mean", mismatch.difference),
            Metric::new("sampling/server_logp_difference/max", Reduced::new(mismatch.max_difference, 1.0)),
            Metric::new("sampling/importance_sampling_ratio/mean", mismatch.ratio),
            Metric::new("sampling/weight_version", Reduced::new(version as f64, 1.0)),
        ];
        Ok((answers, figures))
    }
}

fn unanswered(error: GenerateError) -> TrainError {
    let message = error.to_string();
    let (reason, fix) = message.split_once("\n  fix: ").unwrap_or((&message, "look at the server's log"));
    TrainError::Data { reason: format!("rollouts: {reason}"), fix: format!("{fix}; the run goes on from its last checkpoint") }
}

/// A prompt and its answers as what is scored.
fn example(request: &Request, group: &[Answered]) -> Example {
    let sequence = |answer: &Answered| Encoded {
        tokens: request.prompt.iter().copied().chain(answer.tokens.iter().map(|score| score.token)).collect(),
        weights: request.prompt.iter().map(|_| 0.0).chain(answer.tokens.iter().map(|_| 1.0)).collect(),
        record: 0,
    };
    Example { sequences: group.iter().map(sequence).collect(), ..Example::default() }
}

