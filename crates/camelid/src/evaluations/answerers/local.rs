use camelid_eval::task::{Answer, Answerer, Context, Draw, Failure, FailureKind, Likelihood, Reply, Request};
use camelid_generate::engine::{Limits, answer_each};
use camelid_generate::{Finish, Sampling, StopRules};
use camelid_kernels::Cpu;
use camelid_model::{Generate, Transformer};
use camelid_text::Text;
use serde_json::Map;

use super::likelihoods::{Sequence, score};
use super::message;
use super::windows::windows;

/// A model in this process.
pub(crate) struct Local {
    pub(crate) engine: Transformer<Cpu>,
    pub(crate) text: Text,
    /// Prompt and answer together at most.
    pub(crate) context: usize,
    /// Different tokens scored at once.
    pub(crate) rows_at_once: usize,
    /// Answers drawn together, the tokens of their cache, and prompt tokens computed in one step.
    pub(crate) samples: usize,
    pub(crate) cache_tokens: usize,
    pub(crate) prompt_tokens: usize,
}

/// Requests scored between two reports, so that an interruption loses little.
const REQUESTS_AT_ONCE: usize = 512;

impl Answerer for Local {
    fn answer(
        &mut self,
        requests: &[Request],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure> {
        let (mut scored, mut generated) = (Vec::new(), Vec::new());
        for (place, request) in requests.iter().enumerate() {
            if matches!(request, Request::Generate { .. }) {
                generated.push(place);
            } else {
                scored.push(place);
            }
        }
        for part in scored.chunks(REQUESTS_AT_ONCE) {
            self.score_all(requests, part, done)?;
        }
        if generated.is_empty() { Ok(()) } else { self.generate_all(requests, &generated, done) }
    }
}

impl Local {
    /// What stands before an answer, as the model reads it.
    fn shown(&self, context: &Context) -> Result<String, Failure> {
        match context {
            Context::Text(text) => Ok(text.clone()),
            Context::Chat(turns) => {
                let messages: Vec<_> = turns.iter().map(message).collect();
                self.text
                    .render_chat(&messages, None, &Map::new(), true)
                    .map_err(|error| Failure { kind: FailureKind::Invalid, message: error.to_string() })
            }
        }
    }

    /// A context with a continuation. The two are tokenised together, and white space at the context's end belongs to the
    /// continuation, so that tokens are those the model was trained on (lm-evaluation-harness does so too).
    fn pair(&self, context: &str, continuation: &str) -> Sequence {
        let kept = context.trim_end();
        let whole = self.text.encode_prompt(&format!("{context}{continuation}"));
        let before = self.text.encode_prompt(kept).len();
        let scored = whole.len().saturating_sub(before);
        Sequence { tokens: whole, scored }
    }

    /// The sequences of a request whose log-likelihoods are wanted.
    fn sequences(&self, request: &Request) -> Result<Vec<Sequence>, Failure> {
        match request {
            Request::Choices { contexts, continuations } => {
                let contexts: Vec<String> =
                    contexts.iter().map(|context| self.shown(context)).collect::<Result<_, _>>()?;
                let pairs = continuations.iter().enumerate().filter_map(|(index, continuation)| {
                    let context = contexts.get(index).or_else(|| contexts.first())?;
                    Some(self.pair(context, continuation))
                });
                let pairs: Vec<Sequence> = pairs.collect();
                self.check(&pairs)?;
                Ok(pairs)
            }
            Request::Text { text } => {
                let tokens = self.text.encode(text);
                let prefix = self.text.bos().or_else(|| self.text.eos());
                let windows = windows(&tokens, prefix, self.context.saturating_sub(1).max(1));
                Ok(windows.into_iter().map(|(tokens, scored)| Sequence { tokens, scored }).collect())
            }
            Request::Generate { .. } => Ok(Vec::new()),
        }
    }

    fn check(&self, sequences: &[Sequence]) -> Result<(), Failure> {
        let failure = |kind, message: String| Err(Failure { kind, message });
        if let Some(long) = sequences.iter().find(|sequence| sequence.tokens.len() > self.context) {
            let message = format!("the prompt has {} tokens, the context {}", long.tokens.len(), self.context);
            return failure(FailureKind::Overflow, message);
        }
        // The first token of all has nothing before it that predicts it.
        if sequences.iter().any(|sequence| sequence.scored == 0 || sequence.scored >= sequence.tokens.len()) {
            return failure(FailureKind::Invalid, "a prompt or a choice has no tokens of its own".into());
        }
        Ok(())
    }

    fn score_all(
        &mut self,
        requests: &[Request],
        places: &[usize],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure> {
        let (mut sequences, mut owners) = (Vec::new(), Vec::new());
        let mut replies: Vec<(usize, bool, Vec<Option<Likelihood>>)> = Vec::new();
        for &place in places {
            match self.sequences(&requests[place]) {
                Err(failure) => done(place, Err(failure)),
                Ok(own) => {
                    owners.extend((0..own.len()).map(|index| (replies.len(), index)));
                    let is_text = matches!(requests[place], Request::Text { .. });
                    replies.push((place, is_text, vec![None; own.len()]));
                    sequences.extend(own);
                }
            }
        }
        // A text without tokens is as likely as can be.
        for (place, is_text, own) in &replies {
            if own.is_empty() {
                done(*place, Ok(Reply::Likelihoods(together(own, *is_text))));
            }
        }
        let scored = score(&mut self.engine, &sequences, self.rows_at_once, &mut |index, likelihood| {
            let (reply, own) = owners[index];
            let (place, is_text, likelihoods) = &mut replies[reply];
            likelihoods[own] = Some(likelihood);
            if likelihoods.iter().all(Option::is_some) {
                done(*place, Ok(Reply::Likelihoods(together(likelihoods, *is_text))));
            }
        });
        scored.map_err(|error| Failure { kind: FailureKind::Server, message: error.to_string() })
    }

    fn generate_all(
        &mut self,
        requests: &[Request],
        places: &[usize],
        done: &mut dyn FnMut(usize, Result<Reply, Failure>),
    ) -> Result<(), Failure> {
        let (mut asked, mut owners, mut longest) = (Vec::new(), Vec::new(), 0);
        for &place in places {
            let Request::Generate { context, stop, max_tokens, draw } = &requests[place] else { continue };
            let prompt = match self.shown(context) {
                Ok(shown) => self.text.encode_prompt(&shown),
                Err(failure) => {
                    done(place, Err(failure));
                    continue;
                }
            };
            let room = self.context.saturating_sub(prompt.len());
            if room == 0 || prompt.is_empty() {
                let message = format!("the prompt has {} tokens, the context {}", prompt.len(), self.context);
                done(place, Err(Failure { kind: FailureKind::Overflow, message }));
                continue;
            }
            let max_tokens = (*max_tokens).min(room);
            longest = longest.max(prompt.len() + max_tokens);
            owners.push(place);
            asked.push(camelid_generate::Request {
                prompt,
                samples: 1,
                max_tokens,
                sampling: draw.map_or_else(Sampling::greedy, sampling),
                stop: StopRules { strings: stop.clone(), ..StopRules::default() },
                choices: Vec::new(),
                top_log_probs: 0,
                prompt_log_probs: false,
            });
        }
        if asked.is_empty() {
            return Ok(());
        }
        let limits = Limits {
            context: longest,
            cache_tokens: self.cache_tokens.max(longest).next_multiple_of(64),
            samples: self.samples,
            prompt_tokens: self.prompt_tokens,
        };
        answer_each(&mut self.engine, &self.text, limits, asked, &mut |index, samples| {
            let Some(sample) = samples.into_iter().next() else { return };
            let truncated = sample.finish == Some(Finish::Length);
            let answer = Answer { text: sample.text, truncated, tokens: Some(sample.tokens.len()) };
            done(owners[index], Ok(Reply::Answer(answer)));
        })
        .map_err(|error| Failure { kind: FailureKind::Server, message: error.to_string() })
    }

    /// Most tokens that the model was made for.
    pub(crate) fn positions(&self) -> usize {
        self.engine.max_positions()
    }
}

fn sampling(draw: Draw) -> Sampling {
    Sampling { temperature: draw.temperature, top_p: draw.top_p, ..Sampling::plain(draw.seed) }
}

/// The likelihoods of choices, or of a text the one of all its windows.
fn together(parts: &[Option<Likelihood>], is_text: bool) -> Vec<Likelihood> {
    let parts = parts.iter().flatten().copied();
    if !is_text {
        return parts.collect();
    }
    let start = Likelihood { log_prob: 0.0, tokens: 0, greedy: Some(true) };
    vec![parts.fold(start, |sum, part| Likelihood {
        log_prob: sum.log_prob + part.log_prob,
        tokens: sum.tokens + part.tokens,
        greedy: sum.greedy.zip(part.greedy).map(|(one, other)| one && other),
    })]
}
