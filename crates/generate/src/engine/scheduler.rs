//! What is computed next: requests are let in as the cache allows, prompts go in parts, and every running sample gets a token
//! a step.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use camelid_model::{Generate, KeySpan, Logits, ModelError, Piece, Wanted};
use camelid_text::Text;

use super::blocks::{self, BLOCK, BlockHash, Blocks, blocks_of};
use super::sample::{Sample, top};
use crate::{Event, Finish, InvalidSampling, Load, Refusal, Request, Sampler, Sink, TokenScore};

/// How much an engine takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of prompt and answer together at most.
    pub context: usize,
    /// Tokens that the cache holds.
    pub cache_tokens: usize,
    /// Samples that run together.
    pub samples: usize,
    /// Prompt tokens computed in one step at most, so that running samples do not wait long.
    pub prompt_tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { context: 2048, cache_tokens: 16_384, samples: 64, prompt_tokens: 512 }
    }
}

/// Rows of logits kept at once where a prompt is scored.
const SCORED_AT_ONCE: usize = 128;

/// A request in the engine's hands.
struct Running {
    request: Request,
    sink: Sink,
    cancelled: Arc<AtomicBool>,
    hashes: Vec<BlockHash>,
    /// Prompt tokens in the cache.
    computed: usize,
    prompt_blocks: Vec<u32>,
    prompt_scores: Vec<TokenScore>,
    /// Empty until the prompt is computed.
    samples: Vec<Sample>,
    promised: usize,
    over: bool,
}

struct Waiting {
    request: Request,
    sink: Sink,
    cancelled: Arc<AtomicBool>,
}

/// See the module's description.
pub struct Scheduler {
    limits: Limits,
    blocks: Blocks,
    waiting: VecDeque<Waiting>,
    running: Vec<Running>,
    load: Load,
}

/// What a piece's logits are for.
enum Purpose {
    /// Tokens of the prompt from this place on are scored; the last row, if it is the prompt's, starts the samples.
    Prompt {
        running: usize,
        from: usize,
    },
    Sample {
        running: usize,
        sample: usize,
    },
}

impl Running {
    fn wanted_tokens(&self) -> usize {
        self.request.prompt.len() - self.computed
    }

    fn send(&mut self, event: Event) {
        if !self.over && !(self.sink)(event) {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }
}

impl Scheduler {
    /// For a cache of `limits.cache_tokens` rows, opened by the caller.
    pub fn new(limits: Limits) -> Self {
        let load = Load { cache_size: limits.cache_tokens, ..Load::default() };
        Self { limits, blocks: Blocks::new(limits.cache_tokens), waiting: VecDeque::new(), running: Vec::new(), load }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    pub fn load(&self) -> Load {
        Load {
            waiting: self.waiting.len(),
            running: self.running.iter().map(|running| running.samples.len()).sum(),
            cache_used: self.blocks.used() * BLOCK,
            ..self.load
        }
    }

    /// Whether a request can ever be served under these limits.
    pub fn check(limits: &Limits, request: &Request) -> Result<(), Refusal> {
        let invalid = |field, message: String| Err(Refusal::Invalid { field, message });
        let Request { prompt, samples, max_tokens, choices, .. } = request;
        if prompt.is_empty() {
            return invalid("prompt", "the prompt has no tokens\n  fix: send at least one".into());
        }
        if *samples == 0 || *samples > limits.samples {
            let message = format!("`n` asks for {samples} samples\n  fix: ask for 1 to {}", limits.samples);
            return invalid("n", message);
        }
        if prompt.len() + max_tokens > limits.context {
            let total = prompt.len() + max_tokens;
            let message = format!(
                "prompt and `max_tokens` are up to {total} tokens together, the context holds {}\n  fix: shorten the prompt or \
                 ask for fewer tokens",
                limits.context
            );
            return invalid("max_tokens", message);
        }
        if promise_of(request) > limits.cache_tokens / BLOCK {
            let field = if *samples > 1 { "n" } else { "max_tokens" };
            let message = format!(
                "with this `{field}` the request may need {} tokens of cache, there are {}\n  fix: ask for fewer samples \
                 or tokens",
                promise_of(request) * BLOCK,
                limits.cache_tokens
            );
            return invalid(field, message);
        }
        if choices.iter().any(Vec::is_empty) {
            return invalid("guided_choice", "`guided_choice` holds one without tokens\n  fix: leave it out".into());
        }
        let refusal = |error: InvalidSampling| Refusal::Invalid { field: error.parameter, message: error.to_string() };
        Sampler::new(request.sampling).map(drop).map_err(refusal)
    }

    /// Queues a request that [`Self::check`] has passed. Setting `cancelled` ends it at the next step.
    pub fn submit(&mut self, request: Request, sink: Sink, cancelled: Arc<AtomicBool>) {
        self.waiting.push_back(Waiting { request, sink, cancelled });
    }

    /// The weights have changed: what the cache holds must not be shared with new requests.
    pub fn forget(&mut self) {
        self.blocks.forget();
    }

    /// Computes one step. After an error every request in hand has failed and the scheduler is ready for others.
    pub fn step(&mut self, engine: &mut dyn Generate, text: &Text) -> Result<(), ModelError> {
        self.drop_cancelled();
        self.admit();
        let (pieces, purposes) = self.plan();
        let borrowed: Vec<Piece<'_>> = pieces.iter().map(Planned::piece).collect();
        match engine.extend(&borrowed) {
            Ok(logits) => {
                self.settle(&pieces, &purposes, &logits, text);
                Ok(())
            }
            Err(error) => {
                let message = error.to_string();
                for index in 0..self.running.len() {
                    self.running[index].send(Event::Failed(message.clone()));
                    self.end(index);
                }
                self.running.clear();
                Err(error)
            }
        }
    }

    fn drop_cancelled(&mut self) {
        self.waiting.retain(|waiting| !waiting.cancelled.load(Ordering::Relaxed));
        for index in 0..self.running.len() {
            if self.running[index].cancelled.load(Ordering::Relaxed) {
                self.end(index);
            }
        }
        self.running.retain(|running| !running.over);
    }

    /// Lets requests in, in their order, while there is room for the most that each may need.
    fn admit(&mut self) {
        let mut samples: usize = self.running.iter().map(|running| running.request.samples).sum();
        // Blocks that running prompts are about to compute: who begins with one waits for it instead of computing it again.
        let mut coming: HashSet<BlockHash> = HashSet::new();
        for running in &self.running {
            coming.extend(running.hashes.iter().skip(running.computed / BLOCK));
        }
        while let Some(waiting) = self.waiting.front() {
            let request = &waiting.request;
            let hashes = if request.prompt_log_probs { Vec::new() } else { blocks::hashes(&request.prompt) };
            let full = samples + request.samples > self.limits.samples && samples > 0;
            if full || hashes.iter().any(|hash| coming.contains(hash)) || !self.blocks.promise(promise_of(request)) {
                break;
            }
            let Some(Waiting { request, sink, cancelled }) = self.waiting.pop_front() else { break };
            samples += request.samples;
            self.load.prompt_tokens += request.prompt.len() as u64;
            let promised = promise_of(&request);
            // At least the last token is computed, for its logits.
            let sharable = (request.prompt.len() - 1) / BLOCK;
            let prompt_blocks: Vec<u32> =
                hashes.iter().take(sharable).map_while(|hash| self.blocks.share(hash)).collect();
            let computed = prompt_blocks.len() * BLOCK;
            self.load.cached_prompt_tokens += computed as u64;
            coming.extend(hashes.iter().skip(prompt_blocks.len()));
            self.running.push(Running {
                request,
                sink,
                cancelled,
                hashes,
                computed,
                prompt_blocks,
                prompt_scores: Vec::new(),
                samples: Vec::new(),
                promised,
                over: false,
            });
        }
    }

    /// The pieces of a step and what each is for.
    fn plan(&mut self) -> (Vec<Planned>, Vec<Purpose>) {
        let (mut pieces, mut purposes) = (Vec::new(), Vec::new());
        let (mut budget, mut scored) = (self.limits.prompt_tokens, SCORED_AT_ONCE);
        for (index, running) in self.running.iter_mut().enumerate() {
            for (place, sample) in running.samples.iter_mut().enumerate() {
                if sample.needs_block() {
                    sample.blocks.extend(self.blocks.take());
                }
                let (spans, tokens) = (prompt_spans(&running.prompt_blocks, running.computed), running.computed);
                pieces.push(Planned {
                    tokens: sample.tokens.last().copied().into_iter().collect(),
                    position: (tokens + sample.tokens.len() - 1) as u32,
                    context: sample.context(&spans, tokens),
                    row: sample.row(),
                    wanted: Wanted::Last,
                });
                purposes.push(Purpose::Sample { running: index, sample: place });
            }
            // A piece a block, so that its rows are neighbours.
            while running.wanted_tokens() > 0 && budget > 0 && (scored > 0 || !running.request.prompt_log_probs) {
                let from = running.computed;
                let mut len = running.wanted_tokens().min(BLOCK - from % BLOCK).min(budget);
                if running.request.prompt_log_probs {
                    len = len.min(scored);
                    scored -= len;
                }
                budget -= len;
                if running.prompt_blocks.len() * BLOCK == from {
                    running.prompt_blocks.extend(self.blocks.take());
                }
                let last = from + len == running.request.prompt.len();
                pieces.push(Planned {
                    tokens: running.request.prompt[from..from + len].to_vec(),
                    position: from as u32,
                    context: prompt_spans(&running.prompt_blocks, from),
                    row: running.prompt_blocks[from / BLOCK] * BLOCK as u32 + (from % BLOCK) as u32,
                    wanted: match (running.request.prompt_log_probs, last) {
                        (true, _) => Wanted::All,
                        (false, true) => Wanted::Last,
                        (false, false) => Wanted::Nothing,
                    },
                });
                purposes.push(Purpose::Prompt { running: index, from });
                running.computed += len;
            }
        }
        (pieces, purposes)
    }

    /// Takes a step's logits up: scores of prompts, tokens of samples.
    fn settle(&mut self, pieces: &[Planned], purposes: &[Purpose], logits: &Logits, text: &Text) {
        let mut row = 0;
        for (piece, purpose) in pieces.iter().zip(purposes) {
            let rows = match piece.wanted {
                Wanted::Nothing => 0,
                Wanted::Last => 1,
                Wanted::All => piece.tokens.len(),
            };
            match *purpose {
                Purpose::Prompt { running, from } => {
                    self.settle_prompt(running, from, piece, logits, row..row + rows, text);
                }
                Purpose::Sample { running, sample } => self.advance(running, sample, logits, row, text),
            }
            row += rows;
        }
        for index in 0..self.running.len() {
            let running = &mut self.running[index];
            running.samples.retain(|sample| !sample.over);
            let begun = running.wanted_tokens() == 0;
            if begun && !running.over && running.samples.is_empty() {
                running.send(Event::Done);
                self.end(index);
            }
        }
        self.running.retain(|running| !running.over);
    }

    fn settle_prompt(
        &mut self,
        index: usize,
        from: usize,
        piece: &Planned,
        logits: &Logits,
        rows: std::ops::Range<usize>,
        text: &Text,
    ) {
        let running = &mut self.running[index];
        let end = from + piece.tokens.len();
        if end.is_multiple_of(BLOCK)
            && let Some(&hash) = running.hashes.get(end / BLOCK - 1)
        {
            self.blocks.publish(running.prompt_blocks[end / BLOCK - 1], hash);
        }
        if running.request.prompt_log_probs {
            for (offset, row) in rows.clone().enumerate() {
                let Some(&token) = running.request.prompt.get(from + offset + 1) else { break };
                let log_prob = logits.log_prob(row, token);
                let top = top(logits, row, running.request.top_log_probs);
                running.prompt_scores.push(TokenScore { token, log_prob, sampling_log_prob: log_prob, top });
            }
        }
        if end < running.request.prompt.len() {
            return;
        }
        if running.request.prompt_log_probs {
            let scores = std::mem::take(&mut running.prompt_scores);
            running.send(Event::Prompt(scores));
        }
        if running.request.max_tokens == 0 {
            for sample in 0..running.request.samples {
                running.send(Event::Finished { sample, finish: Finish::Length, text: String::new() });
            }
            return;
        }
        let (sampling, count) = (running.request.sampling, running.request.samples);
        // `check` has tried the parameters.
        let samplers = (0..count).filter_map(|number| Some((number, Sampler::for_sample(sampling, number).ok()?)));
        running.samples = samplers.map(|(number, sampler)| Sample::new(number, sampler)).collect();
        for sample in 0..running.samples.len() {
            self.advance(index, sample, logits, rows.end - 1, text);
        }
    }

    /// Gives a sample its next token; one that ends gives its blocks back.
    fn advance(&mut self, index: usize, sample: usize, logits: &Logits, row: usize, text: &Text) {
        self.load.sampled_tokens += 1;
        let running = &mut self.running[index];
        let (event, finish) = running.samples[sample].advance(&running.request, text, logits, row);
        running.send(event);
        let Some(finish) = finish else { return };
        let event = running.samples[sample].finished(finish);
        running.send(event);
        running.samples[sample].over = true;
        for block in running.samples[sample].blocks.drain(..) {
            self.blocks.release(block);
        }
    }

    /// Gives back what a request has.
    fn end(&mut self, index: usize) {
        let running = &mut self.running[index];
        if running.over {
            return;
        }
        running.over = true;
        let of_samples = running.samples.drain(..).flat_map(|sample| sample.blocks);
        for block in running.prompt_blocks.drain(..).chain(of_samples) {
            self.blocks.release(block);
        }
        self.blocks.take_back_promise(running.promised);
    }
}

/// Blocks that a request may need at most.
fn promise_of(request: &Request) -> usize {
    blocks_of(request.prompt.len()) + request.samples * blocks_of(request.max_tokens)
}

/// Where a prompt's first tokens are.
fn prompt_spans(blocks: &[u32], tokens: usize) -> Vec<KeySpan> {
    let mut spans = Vec::new();
    blocks::spans(blocks, tokens, 0, &mut spans);
    spans
}

/// A piece that owns what it refers to.
struct Planned {
    tokens: Vec<u32>,
    position: u32,
    context: Vec<KeySpan>,
    row: u32,
    wanted: Wanted,
}

impl Planned {
    fn piece(&self) -> Piece<'_> {
        let Self { tokens, position, context, row, wanted } = self;
        Piece { tokens, position: *position, context, row: *row, wanted: *wanted }
    }
}
