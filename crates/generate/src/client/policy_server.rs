//! A `camelid serve` process that answers for a policy which is trained in another.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::{GenerateError, Generator, InvalidRemote, Prompt, RemoteGenerator, RemoteSettings, Sampled};
use crate::engine::Answered;
use crate::protocol::{Decoding, Input};
use crate::{Finish, Request, Sampling, TokenScore};

/// Loads the policy's weights into the server and has it answer with them. The server must take weight updates and read
/// the same disk.
pub struct PolicyServer {
    generator: RemoteGenerator,
    address: String,
}

#[derive(Deserialize)]
struct Loaded {
    weight_version: u64,
}

impl PolicyServer {
    /// Connects to nothing yet. `settings` as for any server; numbers of tokens are always asked for.
    pub fn new(settings: RemoteSettings) -> Result<Self, InvalidRemote> {
        let address = settings.base_url.clone();
        let generator = RemoteGenerator::new(RemoteSettings { token_ids: true, ..settings })?;
        Ok(Self { generator, address })
    }

    /// Goes on with the weights in `folder`, an adapter's or a model's, and returns their version.
    pub fn load(&self, folder: &Path) -> Result<u64, GenerateError> {
        // What the server resolves against its own working directory would be another folder.
        let absolute = std::path::absolute(folder).map_err(|error| {
            GenerateError::Invalid(format!(
                "{} is no path: {error}\n  fix: use another run directory",
                folder.display()
            ))
        })?;
        let reply = self.generator.post("admin/load_adapter", &json!({ "path": absolute }))?;
        let loaded: Loaded = serde_json::from_slice(&reply).map_err(|error| GenerateError::Malformed {
            reason: format!("no version of the weights ({error})"),
            body: super::shown(&reply),
        })?;
        Ok(loaded.weight_version)
    }

    /// Samples of each request, in their order, from the weights of this version. Sample `i` of a request is the one that an
    /// engine in this process draws. Servers tell log-probabilities under the model only, so that nothing but the model's own
    /// distribution and its most likely tokens can be asked for.
    pub fn answer(&self, requests: &[Request], version: u64) -> Result<Vec<Vec<Answered>>, GenerateError> {
        let own = |sampling: Sampling| {
            sampling == Sampling::plain(sampling.seed)
                || sampling == Sampling { seed: sampling.seed, ..Sampling::greedy() }
        };
        if requests.iter().any(|request| !own(request.sampling)) {
            let reason =
                "answers of a changed distribution have no known log-probabilities\n  fix: sample with temperature 1";
            return Err(GenerateError::Invalid(reason.into()));
        }
        let prompts: Vec<Prompt> = requests.iter().map(prompt).collect();
        let mut all = Vec::with_capacity(requests.len());
        for (index, generated) in self.generator.generate(&prompts).into_iter().enumerate() {
            let generated = generated?;
            if generated.weight_version != Some(version) {
                let found = generated.weight_version.map_or("unnamed".into(), |version| version.to_string());
                return Err(GenerateError::Failed(format!(
                    "{}: request {} was answered by weights {found}, not {version}\n  fix: let nobody else load weights into \
                     this server",
                    self.address,
                    index + 1
                )));
            }
            let answers: Option<Vec<Answered>> = generated.answers.into_iter().map(answered).collect();
            all.push(answers.ok_or_else(|| GenerateError::Malformed {
                reason: format!(
                    "the answer to request {} has no numbers or log-probabilities of its tokens",
                    index + 1
                ),
                body: self.address.clone(),
            })?);
        }
        Ok(all)
    }
}

/// The request as a server is asked for it.
fn prompt(request: &Request) -> Prompt {
    let Sampling { temperature, top_p, top_k, min_p, typical_p, repetition_penalty, .. } = request.sampling;
    // Said in full: what is left out is the server's own default.
    let decoding = Decoding {
        samples: request.samples,
        max_tokens: Some(request.max_tokens),
        temperature: Some(temperature),
        top_p: Some(top_p),
        top_k: Some(top_k),
        min_p: Some(min_p),
        typical_p: Some(typical_p),
        repetition_penalty: Some(repetition_penalty),
        presence_penalty: Some(0.0),
        frequency_penalty: Some(0.0),
        seed: Some(request.sampling.seed),
        stop: request.stop.strings.clone(),
        stop_tokens: request.stop.tokens.clone(),
        ignore_end: request.stop.ignore_end,
        log_probs: Some(0),
        ..Decoding::default()
    };
    Prompt { input: Input::Tokens(request.prompt.clone()), decoding }
}

/// Nothing where the server left out what training needs.
fn answered(sampled: Sampled) -> Option<Answered> {
    let Sampled { text, finish, tokens, log_probs, .. } = sampled;
    let (tokens, log_probs) = (tokens?, log_probs?);
    if tokens.len() != log_probs.len() {
        return None;
    }
    let score = |(token, log_prob)| TokenScore { token, log_prob, sampling_log_prob: log_prob, top: Vec::new() };
    Some(Answered {
        text,
        tokens: tokens.into_iter().zip(log_probs).map(score).collect(),
        finish: match finish.as_deref() {
            Some("stop") => Some(Finish::Stop),
            Some("length") => Some(Finish::Length),
            _ => None,
        },
    })
}
