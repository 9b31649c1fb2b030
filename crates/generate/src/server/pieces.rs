//! A reply piece by piece.

use std::mem;

use super::render::{Piece, Renderer};
use crate::protocol::Reply;
use crate::{Event, Finish, TokenScore};

/// What of a streamed reply has been given out.
pub(super) struct Pieces {
    id: String,
    created: u64,
    prompts: Vec<Prompt>,
    sampled: usize,
}

struct Prompt {
    scores: Vec<TokenScore>,
    samples: Vec<Sample>,
    done: bool,
}

#[derive(Clone, Default)]
struct Sample {
    begun: bool,
    /// Characters of the tokens given out.
    offset: usize,
}

impl Pieces {
    pub(super) fn new(id: String, created: u64, prompts: usize, samples: usize) -> Self {
        let prompt = || Prompt { scores: Vec::new(), samples: vec![Sample::default(); samples], done: false };
        Self { id, created, prompts: (0..prompts).map(|_| prompt()).collect(), sampled: 0 }
    }

    pub(super) fn done(&self) -> bool {
        self.prompts.iter().all(|prompt| prompt.done)
    }

    /// What an event adds to the reply, if anything.
    pub(super) fn push(&mut self, place: usize, event: Event, renderer: &Renderer) -> Option<Reply> {
        match event {
            Event::Prompt(scores) => {
                self.prompts.get_mut(place)?.scores = scores;
                None
            }
            Event::Token { sample, score, text } => {
                self.sampled += 1;
                self.piece(place, sample, &text, &[score], None, renderer)
            }
            Event::Finished { sample, finish, text } => self.piece(place, sample, &text, &[], Some(finish), renderer),
            Event::Done | Event::Failed(_) => {
                self.prompts.get_mut(place)?.done = true;
                None
            }
        }
    }

    /// What ends a stream that is to say how many tokens it took.
    pub(super) fn usage(&self, renderer: &Renderer) -> Reply {
        let usage = Some(renderer.usage(self.sampled));
        Reply { usage, ..renderer.frame(self.id.clone(), self.created, true) }
    }

    fn piece(
        &mut self,
        place: usize,
        number: usize,
        text: &str,
        scores: &[TokenScore],
        finish: Option<Finish>,
        renderer: &Renderer,
    ) -> Option<Reply> {
        let prompt = self.prompts.get_mut(place)?;
        let sample = prompt.samples.get_mut(number)?;
        let first = !mem::replace(&mut sample.begun, true);
        let body = &renderer.asked.body;
        let reports_tokens = !scores.is_empty() && (body.decoding.log_probs.is_some() || body.output.token_ids);
        if text.is_empty() && finish.is_none() && !first && !reports_tokens {
            return None;
        }
        let echo = if first { renderer.echo(place) } else { None };
        let echoed = echo.is_some().then_some((&renderer.asked.prompts[place][..], &prompt.scores[..]));
        let text = echo.unwrap_or_default() + text;
        let offset = sample.offset;
        sample.offset += renderer.width(echoed, scores);
        let piece = Piece { text, echoed, scores, first, finish };
        let choices = vec![renderer.choice(place, number, piece, offset, true)];
        Some(Reply { choices, ..renderer.frame(self.id.clone(), self.created, true) })
    }
}
