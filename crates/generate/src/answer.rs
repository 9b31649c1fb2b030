//! One answer: prompt in, tokens out until a stop token or the limit.

use camelid_text::Text;

use crate::{Sampler, Stream};

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model said so, by a stop token.
    Stop,
    /// The token limit was reached.
    Length,
    /// `on_text` asked to stop.
    Cancelled,
}

/// A finished answer. `tokens` includes the stop token, `text` does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub tokens: Vec<u32>,
    pub text: String,
    pub finish: Finish,
}

/// Generates one answer.
///
/// `append` feeds tokens to the model and returns the logits after the last of them. `on_text` gets text as it becomes
/// certain and returns whether to go on.
pub fn answer<E>(
    prompt: &[u32],
    max_tokens: usize,
    text: &Text,
    sampler: &mut Sampler,
    append: &mut dyn FnMut(&[u32]) -> Result<Vec<f32>, E>,
    on_text: &mut dyn FnMut(&str) -> bool,
) -> Result<Answer, E> {
    let mut stream = Stream::default();
    let mut context = prompt.to_vec();
    let mut printed = String::new();
    let mut logits = append(prompt)?;
    let mut tokens = Vec::new();
    let finish = loop {
        if tokens.len() == max_tokens {
            break Finish::Length;
        }
        let token = sampler.pick(&logits, &context);
        tokens.push(token);
        context.push(token);
        if text.stop_tokens().contains(&token) {
            break Finish::Stop;
        }
        let new = stream.push(token, text);
        printed.push_str(&new);
        if !new.is_empty() && !on_text(&new) {
            break Finish::Cancelled;
        }
        if tokens.len() < max_tokens {
            logits = append(&[token])?;
        }
    };
    Ok(Answer { tokens, text: printed, finish })
}
