//! Beam search and diverse beam search.
//!
//! **What it finds.** Answers of high probability as a whole. Each step extends every beam by every token and keeps the
//! `beams` best; an ended answer among the best is set aside with its score `log π(answer) / length^length_penalty`.
//!
//! **When to use it.** For the likeliest answer where there is little choice (translation, short facts), and in groups for a
//! handful of answers that differ, which rankings such as RRHF learn from. Where answers should sound human, sample.
//!
//! **Groups.** Beams are split into groups that choose one after the other at each step, each as a beam search of its own; a
//! token costs `diversity_penalty` for each time that an earlier group has gone on with it at this step. The cost stays in the
//! sum that beams compete and answers are ranked by.
//!
//! **Source.** Lengths, candidates and early stopping as in `transformers`; groups from Vijayakumar 2016 (arXiv 1610.02424,
//! eq. 5 with the Hamming penalty).
//!
//! **Reference numbers.** RRHF: 4 beams in 4 groups, penalty 1.
//!
//! Beams share the cache's rows of the tokens that they have in common, down to the single row, so that nothing is ever
//! copied: a beam is a list of rows, and a row is free when no beam has it.

use std::cmp::Ordering;

use camelid_model::{Generate, KeySpan, Logits, ModelError, Piece, Wanted};
use camelid_text::Text;

use super::answers::Answered;
use super::sample::top;
use super::scheduler::Limits;
use crate::{Finish, Stream, TokenScore};

/// What is searched for, and how widely.
#[derive(Clone, Debug, PartialEq)]
pub struct BeamSearch {
    /// Unfinished answers kept at each step, all groups together.
    pub beams: usize,
    /// Divides `beams`; 1 is plain beam search.
    pub groups: usize,
    /// In nats, from 0 up; only groups after the first feel it.
    pub diversity_penalty: f32,
    /// Exponent of the length that sums of log-probabilities are divided by: 0 compares sums, 1 means, and above 0 long
    /// answers gain.
    pub length_penalty: f32,
    pub early_stopping: EarlyStopping,
    /// Tokens of an answer at most.
    pub max_tokens: usize,
    /// End an answer, beside the model's own stop tokens.
    pub stop_tokens: Vec<u32>,
}

/// When a group that has as many ended answers as beams stops looking for better ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// At once.
    Full,
    /// When no beam would enter if it ended here: what a later end could gain by its length is not counted.
    #[default]
    Likely,
    /// Only when no beam can ever enter.
    Never,
}

impl BeamSearch {
    /// Plain beam search with `transformers`' defaults.
    pub fn new(beams: usize, max_tokens: usize) -> Self {
        Self {
            beams,
            groups: 1,
            diversity_penalty: 0.0,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::default(),
            max_tokens,
            stop_tokens: Vec::new(),
        }
    }

    /// Whether it can be done for a prompt of this many tokens under these limits.
    pub fn check(&self, prompt: usize, limits: &Limits) -> Result<(), BeamError> {
        let invalid = |message: String| Err(BeamError::Invalid(message));
        let Self { beams, groups, diversity_penalty, length_penalty, max_tokens, .. } = *self;
        if beams == 0 || beams > limits.samples {
            return invalid(format!("{beams} beams are asked for\n  fix: ask for 1 to {}", limits.samples));
        }
        if groups == 0 || !beams.is_multiple_of(groups) {
            return invalid(format!("{beams} beams cannot be split into {groups} groups\n  fix: choose a divisor"));
        }
        if !(diversity_penalty >= 0.0 && diversity_penalty.is_finite()) {
            return invalid(format!("the diversity penalty is {diversity_penalty}\n  fix: use a number from 0 up"));
        }
        if diversity_penalty > 0.0 && groups == 1 {
            return invalid("a diversity penalty has no effect within one group\n  fix: ask for more groups".into());
        }
        if !length_penalty.is_finite() {
            return invalid(format!("the length penalty is {length_penalty}\n  fix: use a number; 0 is off"));
        }
        if prompt == 0 || max_tokens == 0 {
            return invalid("prompt or answer has no tokens\n  fix: allow each at least one".into());
        }
        if prompt + max_tokens > limits.context {
            return invalid(format!(
                "prompt and answer have up to {} tokens together, the context holds {}\n  fix: shorten the prompt or ask for \
                 fewer tokens",
                prompt + max_tokens,
                limits.context
            ));
        }
        let rows = self.rows(prompt);
        if rows > limits.cache_tokens {
            let room = limits.cache_tokens;
            return invalid(format!(
                "the search may need {rows} tokens of cache, there are {room}\n  fix: ask for fewer beams or tokens"
            ));
        }
        Ok(())
    }

    /// Rows of cache that the search may need: beams of nothing in common but the prompt. The last token's is not computed.
    fn rows(&self, prompt: usize) -> usize {
        prompt + self.beams * (self.max_tokens - 1)
    }

    /// By which the answers of a group compete.
    fn score(&self, sum: f64, length: usize) -> f64 {
        sum / (length as f64).powf(f64::from(self.length_penalty))
    }
}

/// An answer that the search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    pub answer: Answered,
    /// Log-probability less what diversity cost, divided as `length_penalty` says; larger is better.
    pub score: f64,
}

/// Why there was no search.
#[derive(Debug, thiserror::Error)]
pub enum BeamError {
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The best answers to a prompt, best first, at most as many as beams: fewer where a small vocabulary has no more.
pub fn beam_search(
    engine: &mut dyn Generate,
    text: &Text,
    limits: Limits,
    prompt: &[u32],
    search: &BeamSearch,
) -> Result<Vec<Hypothesis>, BeamError> {
    search.check(prompt.len(), &limits)?;
    let rows = search.rows(prompt.len());
    engine.open_cache(rows, prompt.len() + search.max_tokens);
    let found = find(engine, text, &limits, prompt, search, rows);
    engine.close_cache();
    Ok(found?)
}

fn find(
    engine: &mut dyn Generate,
    text: &Text,
    limits: &Limits,
    prompt: &[u32],
    search: &BeamSearch,
    rows: usize,
) -> Result<Vec<Hypothesis>, ModelError> {
    let mut logits = compute_prompt(engine, prompt, limits.prompt_tokens.max(1))?;
    let stops: Vec<u32> = text.stop_tokens().iter().chain(&search.stop_tokens).copied().collect();
    let mut groups = vec![Group { beams: vec![Beam::default()], ..Group::default() }; search.groups];
    for length in 1..=search.max_tokens {
        let mut chosen = Vec::new();
        for group in groups.iter_mut().filter(|group| !group.over) {
            let more = group.advance(search, &logits, &stops, length, &chosen);
            chosen.extend(more);
        }
        if groups.iter().all(|group| group.over) {
            break;
        }
        let mut beams: Vec<&mut Beam> =
            groups.iter_mut().filter(|group| !group.over).flat_map(|group| &mut group.beams).collect();
        give_rows(&mut beams, prompt.len(), rows);
        logits = extend(engine, &beams, prompt.len())?;
        beams.iter_mut().enumerate().for_each(|(row, beam)| beam.logits = row);
    }
    let mut ended: Vec<Ended> = groups.into_iter().flat_map(|group| group.ended).collect();
    ended.sort_by(|a, b| b.score.total_cmp(&a.score));
    let hypothesis = |Ended { scores, score, finish }| {
        let shown = scores.len() - usize::from(finish == Finish::Stop);
        let mut stream = Stream::default();
        let printed = scores[..shown].iter().map(|score: &TokenScore| stream.push(score.token, text)).collect();
        Hypothesis { answer: Answered { text: printed, tokens: scores, finish: Some(finish) }, score }
    };
    Ok(ended.into_iter().map(hypothesis).collect())
}

/// An answer under way.
#[derive(Clone, Default)]
struct Beam {
    scores: Vec<TokenScore>,
    /// Cache rows of all tokens, but for the last one's until it is computed.
    rows: Vec<u32>,
    /// Log-probability less what diversity cost.
    sum: f64,
    /// Where the predictions after the last token are.
    logits: usize,
}

#[derive(Clone)]
struct Ended {
    scores: Vec<TokenScore>,
    score: f64,
    finish: Finish,
}

#[derive(Clone, Default)]
struct Group {
    /// Best first.
    beams: Vec<Beam>,
    /// Best first, at most as many as the group's beams.
    ended: Vec<Ended>,
    over: bool,
}

/// A beam's next token.
struct Candidate {
    beam: usize,
    token: u32,
    log_prob: f32,
    sum: f64,
}

impl Group {
    /// Gives answers their `length`-th token and returns the tokens that do not stop them. `chosen` are those of the earlier
    /// groups.
    fn advance(
        &mut self,
        search: &BeamSearch,
        logits: &Logits,
        stops: &[u32],
        length: usize,
        chosen: &[u32],
    ) -> Vec<u32> {
        let width = search.beams / search.groups;
        // Even if every stop token is among the best of every beam, enough candidates go on.
        let kept = width * (1 + stops.len().max(1));
        let candidates = self.candidates(logits, kept, chosen, search.diversity_penalty);
        let (mut next, mut tokens) = (Vec::with_capacity(width), Vec::with_capacity(width));
        for (rank, candidate) in candidates.into_iter().enumerate() {
            let stopped = stops.contains(&candidate.token);
            if !stopped && tokens.len() < width {
                tokens.push(candidate.token);
            }
            let ends = stopped || length == search.max_tokens;
            if !ends && next.len() == width || ends && rank >= width {
                continue;
            }
            let Candidate { beam, token, log_prob, sum } = candidate;
            let beam = &self.beams[beam];
            let mut scores = beam.scores.clone();
            // Nothing was drawn.
            scores.push(TokenScore { token, log_prob, sampling_log_prob: 0.0, top: Vec::new() });
            if ends {
                let finish = if stopped { Finish::Stop } else { Finish::Length };
                self.ended.push(Ended { scores, score: search.score(sum, length), finish });
            } else {
                next.push(Beam { scores, rows: beam.rows.clone(), sum, logits: 0 });
            }
        }
        self.ended.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.ended.truncate(width);
        self.beams = next;
        self.over = self.is_over(search, width, length);
        tokens
    }

    /// The best continuations of all beams, best first; equals in the order of beams and tokens.
    fn candidates(&self, logits: &Logits, kept: usize, chosen: &[u32], penalty: f32) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (place, beam) in self.beams.iter().enumerate() {
            // A penalty only lowers, so that the best after it are among the best before it and one for each that it hits.
            for (token, log_prob) in top(logits, beam.logits, kept + chosen.len()) {
                let times = chosen.iter().filter(|&&other| other == token).count();
                let sum = beam.sum + f64::from(log_prob) - f64::from(penalty) * times as f64;
                candidates.push(Candidate { beam: place, token, log_prob, sum });
            }
        }
        let order = |a: &Candidate, b: &Candidate| match b.sum.total_cmp(&a.sum) {
            Ordering::Equal => (a.beam, a.token).cmp(&(b.beam, b.token)),
            other => other,
        };
        candidates.sort_by(order);
        candidates.truncate(kept);
        candidates
    }

    fn is_over(&self, search: &BeamSearch, width: usize, length: usize) -> bool {
        let (Some(best), Some(worst)) = (self.beams.first(), self.ended.last()) else { return self.beams.is_empty() };
        // Sums only fall. Where length pays, a sum that falls no more is worth most at the greatest length.
        let patient = search.early_stopping == EarlyStopping::Never && search.length_penalty > 0.0;
        let reached = if patient { search.max_tokens } else { length };
        let hopeless = search.score(best.sum, reached) <= worst.score;
        self.ended.len() == width && (hopeless || search.early_stopping == EarlyStopping::Full)
    }
}

/// Computes the prompt into the first rows and returns what follows it.
fn compute_prompt(engine: &mut dyn Generate, prompt: &[u32], at_once: usize) -> Result<Logits, ModelError> {
    let mut logits = Logits::default();
    for (index, tokens) in prompt.chunks(at_once).enumerate() {
        let position = (index * at_once) as u32;
        let context = [KeySpan { row: 0, len: position, position: 0 }];
        let context = if position > 0 { &context[..] } else { &[] };
        let last = position as usize + tokens.len() == prompt.len();
        let wanted = if last { Wanted::Last } else { Wanted::Nothing };
        logits = engine.extend(&[Piece { tokens, position, context, row: position, wanted }])?;
    }
    Ok(logits)
}

/// A row for each beam's last token: the one after its last token's where that is free, so that rows stay neighbours, else
/// where most free rows follow.
fn give_rows(beams: &mut [&mut Beam], prompt: usize, rows: usize) {
    let mut used = vec![false; rows];
    used[..prompt].fill(true);
    beams.iter().flat_map(|beam| &beam.rows).for_each(|&row| used[row as usize] = true);
    for beam in beams {
        let next = beam.rows.last().map(|&row| row as usize + 1).filter(|&row| row < rows && !used[row]);
        let row = next.unwrap_or_else(|| longest_gap(&used));
        used[row] = true;
        beam.rows.push(row as u32);
    }
}

/// The start of the longest run of rows that are free. There always is one: see [`BeamSearch::rows`].
fn longest_gap(used: &[bool]) -> usize {
    let (mut best, mut longest, mut start) = (0, 0, 0);
    for (row, &used) in used.iter().enumerate() {
        if used {
            start = row + 1;
        } else if row + 1 - start > longest {
            (best, longest) = (start, row + 1 - start);
        }
    }
    best
}

/// Computes each beam's last token.
fn extend(engine: &mut dyn Generate, beams: &[&mut Beam], prompt: usize) -> Result<Logits, ModelError> {
    let contexts: Vec<Vec<KeySpan>> = beams.iter().map(|beam| context(&beam.rows, prompt)).collect();
    let tokens: Vec<u32> = beams.iter().filter_map(|beam| Some(beam.scores.last()?.token)).collect();
    let pieces = beams.iter().zip(&contexts).zip(tokens.chunks(1)).map(|((beam, context), tokens)| {
        let before = beam.rows.len() - 1;
        Piece { tokens, position: (prompt + before) as u32, context, row: beam.rows[before], wanted: Wanted::Last }
    });
    engine.extend(&pieces.collect::<Vec<_>>())
}

/// Where everything before a beam's last token is; neighbours are one span.
fn context(rows: &[u32], prompt: usize) -> Vec<KeySpan> {
    let mut spans = vec![KeySpan { row: 0, len: prompt as u32, position: 0 }];
    for (place, &row) in rows[..rows.len() - 1].iter().enumerate() {
        match spans.last_mut() {
            Some(last) if last.row + last.len == row => last.len += 1,
            _ => spans.push(KeySpan { row, len: 1, position: (prompt + place) as u32 }),
        }
    }
    spans
}
