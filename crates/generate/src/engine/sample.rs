//! One answer in the making.

use camelid_model::{KeySpan, Logits};
use camelid_text::Text;

use super::blocks::{self, BLOCK};
use super::tail::{Passed, Tail};
use crate::{Event, Finish, Request, Sampler, Stream, TokenScore};

/// A sample of a request's prompt.
pub(crate) struct Sample {
    /// Which of the request's samples.
    pub(crate) number: usize,
    sampler: Sampler,
    stream: Stream,
    tail: Tail,
    /// Tokens drawn so far.
    pub(crate) tokens: Vec<u32>,
    /// Blocks for all drawn tokens but the last, whose keys are not computed yet.
    pub(crate) blocks: Vec<u32>,
    pub(crate) over: bool,
}

impl Sample {
    pub(crate) fn new(number: usize, sampler: Sampler) -> Self {
        let (stream, tail) = (Stream::default(), Tail::default());
        Self { number, sampler, stream, tail, tokens: Vec::new(), blocks: Vec::new(), over: false }
    }

    /// Tokens whose keys are in the cache, beyond the prompt's.
    fn computed(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }

    /// Whether the last token's keys need a block that the sample does not have yet.
    pub(crate) fn needs_block(&self) -> bool {
        self.computed() == self.blocks.len() * BLOCK
    }

    /// Cache row of the last token.
    pub(crate) fn row(&self) -> u32 {
        let place = self.computed();
        self.blocks[place / BLOCK] * BLOCK as u32 + (place % BLOCK) as u32
    }

    /// Where everything before the last token is.
    pub(crate) fn context(&self, prompt: &[KeySpan], prompt_tokens: usize) -> Vec<KeySpan> {
        let mut spans = prompt.to_vec();
        blocks::spans(&self.blocks, self.computed(), prompt_tokens, &mut spans);
        spans
    }

    /// Draws the next token from a row of logits. The second event, where there is one, ends the sample.
    pub(crate) fn advance(
        &mut self,
        request: &Request,
        text: &Text,
        logits: &Logits,
        row: usize,
    ) -> (Event, Option<Finish>) {
        let ends = |token: &u32| {
            (!request.stop.ignore_end && text.stop_tokens().contains(token)) || request.stop.tokens.contains(token)
        };
        let allowed = allowed(&request.choices, &self.tokens, text.stop_tokens());
        let normaliser = logits.log_normalisers[row];
        let drawn = self.sampler.draw(logits.row(row), normaliser, &request.prompt, &self.tokens, allowed.as_deref());
        let score = TokenScore {
            token: drawn.token,
            log_prob: logits.log_prob(row, drawn.token),
            sampling_log_prob: drawn.log_prob,
            top: top(logits, row, request.top_log_probs),
        };
        self.tokens.push(drawn.token);
        let token = |text| Event::Token { sample: self.number, score, text };
        if ends(&drawn.token) {
            return (token(String::new()), Some(Finish::Stop));
        }
        let certain = self.stream.push(drawn.token, text);
        match self.tail.push(&certain, &request.stop.strings) {
            Passed::Stopped(text) => (token(text), Some(Finish::Stop)),
            Passed::Text(text) => {
                let chosen = !request.choices.is_empty() && is_final(&request.choices, &self.tokens);
                let finish = if chosen {
                    Some(Finish::Stop)
                } else {
                    (self.tokens.len() >= request.max_tokens).then_some(Finish::Length)
                };
                (token(text), finish)
            }
        }
    }

    /// The sample's last event.
    pub(crate) fn finished(&mut self, finish: Finish) -> Event {
        Event::Finished { sample: self.number, finish, text: self.tail.flush() }
    }
}

/// Which tokens may follow under the choices; nothing where all may. An answer that is a choice already and the beginning of
/// another may also end.
fn allowed(choices: &[Vec<u32>], answer: &[u32], ends: &[u32]) -> Option<Vec<u32>> {
    if choices.is_empty() {
        return None;
    }
    let mut tokens: Vec<u32> = choices
        .iter()
        .filter(|choice| choice.starts_with(answer))
        .filter_map(|choice| choice.get(answer.len()).copied())
        .collect();
    if choices.iter().any(|choice| choice == answer) {
        tokens.extend(ends);
    }
    tokens.sort_unstable();
    tokens.dedup();
    Some(tokens)
}

/// Whether the answer is a choice that no other goes on from.
fn is_final(choices: &[Vec<u32>], answer: &[u32]) -> bool {
    choices.iter().any(|choice| choice == answer)
        && !choices.iter().any(|choice| choice.len() > answer.len() && choice.starts_with(answer))
}

/// The model's most likely tokens after a row.
pub(crate) fn top(logits: &Logits, row: usize, count: usize) -> Vec<(u32, f32)> {
    if count == 0 {
        return Vec::new();
    }
    let mut tokens: Vec<(u32, f32)> =
        logits.row(row).iter().enumerate().map(|(token, &logit)| (token as u32, logit)).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < tokens.len() {
        tokens.select_nth_unstable_by(count - 1, order);
        tokens.truncate(count);
    }
    tokens.sort_unstable_by(order);
    tokens.into_iter().map(|(token, _)| (token, logits.log_prob(row, token))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_leave_only_their_own_tokens() {
        let choices = vec![vec![1, 2], vec![1, 2, 3], vec![4]];
        assert_eq!(allowed(&choices, &[], &[9]), Some(vec![1, 4]));
        assert_eq!(allowed(&choices, &[1, 2], &[9]), Some(vec![3, 9]));
        assert!(is_final(&choices, &[4]) && is_final(&choices, &[1, 2, 3]) && !is_final(&choices, &[1, 2]));
        assert_eq!(allowed(&[], &[1], &[9]), None);
    }
}
