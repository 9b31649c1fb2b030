//! Which tokens of a rendered conversation are learned.
//!
//! The conversation is rendered once and encoded once, as a whole. An answer is learned from where the generation
//! prompt ends, which is where the model will have to start, through the token that ends the turn; the line break that
//! many templates put after that is not. A turn of another role, if it is to be learned, is its text and the token that
//! ends it, where there is one.
//!
//! Where a message stands is read off the template's [skeleton](crate::skeleton). Where that fails, because the
//! template changes the text (removes thoughts, say), the messages before it are rendered as well, with a generation
//! prompt, and must be a prefix of the whole. If that fails too, the record is refused: nothing is guessed.
//!
//! A token belongs to a span if all of it lies inside. A token that also holds text from before the span is not
//! learned: no model sees such a token when it answers, as the prompt ends before it. Special tokens never straddle.

use camelid_records::{Conversation, Message, Role};

use crate::Text;
use crate::error::Fault;
use crate::policy::{Learn, SpanPolicy, has_calls, message_weights};
use crate::skeleton::{Placed, Render};
use crate::text::PlacedToken;

/// What is learned of one message, in bytes of the rendered text.
struct Region {
    message: usize,
    /// First byte learned.
    start: usize,
    /// The token that ends the turn is looked for from here ..
    text_end: usize,
    /// .. to here.
    limit: usize,
}

impl Text {
    /// Tokens of a conversation and their weights. BOS is not added yet.
    pub(crate) fn encode_turns(
        &self,
        conversation: &Conversation,
        policy: &SpanPolicy,
    ) -> Result<(Vec<u32>, Vec<f32>), Fault> {
        let weights = message_weights(conversation, policy)?;
        self.check_reserved(&conversation.messages)?;
        let render = |messages: &[Message], prompt: bool| {
            self.render_chat(messages, conversation.tools.as_ref(), &conversation.template_arguments, prompt)
        };
        let rendered = render(&conversation.messages, false)?;
        let placed = self.encode_placed(&rendered)?;
        let everything = policy.learn == Learn::Everything;
        let learned_to = if everything { rendered.trim_end().len() } else { 0 };
        let mut token_weights: Vec<f32> =
            placed.iter().map(|token| if token.end <= learned_to { 1.0 } else { 0.0 }).collect();
        let wanted: Vec<usize> = (0..weights.len())
            .filter(|&index| {
                let message = &conversation.messages[index];
                let says_something = !message.content.trim().is_empty() || has_calls(message);
                if everything { message.weight.is_some() && says_something } else { weights[index] != 0.0 }
            })
            .collect();
        for region in self.regions(conversation, &wanted, &rendered, &render)? {
            let tokens = self.tokens_of(&region, &placed, &conversation.messages[region.message])?;
            token_weights[tokens].fill(weights[region.message]);
        }
        Ok((placed.into_iter().map(|token| token.id).collect(), token_weights))
    }

    /// A text that may be said in a turn: without the control tokens that would end the turn or begin another.
    pub fn without_control_tokens(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // What is taken out may have stood between the halves of another.
        while let Some(token) = self.special.reserved.iter().find(|token| text.contains(token.as_str())) {
            text = text.replace(token.as_str(), "");
        }
        text
    }

    /// A token that ends a turn must not come from somebody's words.
    fn check_reserved(&self, messages: &[Message]) -> Result<(), Fault> {
        for (index, message) in messages.iter().enumerate() {
            let found = self.special.reserved.iter().find(|token| message.content.contains(token.as_str()));
            if let Some(token) = found {
                return Err(Fault::new(
                    format!("the text of message {} holds the control token {token}", index + 1),
                    "take the token out of the text: it would end the turn or begin another",
                ));
            }
        }
        Ok(())
    }

    fn regions(
        &self,
        conversation: &Conversation,
        wanted: &[usize],
        rendered: &str,
        render: &Render,
    ) -> Result<Vec<Region>, Fault> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let messages = &conversation.messages;
        let skeleton = self.skeletons.get(conversation, render);
        let placed = skeleton.and_then(|skeleton| skeleton.place(rendered, messages));
        let region = |&message: &usize| {
            let found =
                placed.as_ref().and_then(|placed| by_skeleton(message, messages[message].role, &placed[message]));
            match found {
                Some(region) => Ok(region),
                None => by_prefix(message, messages, rendered, render),
            }
        };
        wanted.iter().map(region).collect()
    }

    /// The tokens of a region, the one that ends the turn included.
    fn tokens_of(
        &self,
        region: &Region,
        placed: &[PlacedToken],
        message: &Message,
    ) -> Result<std::ops::Range<usize>, Fault> {
        let first = placed.partition_point(|token| token.start < region.start);
        let from = placed.partition_point(|token| token.start < region.text_end).max(first);
        let ends_turn = |token: &PlacedToken| self.special.stop.contains(&token.id);
        let candidates = placed[from..].iter().take_while(|token| token.end <= region.limit);
        let end = match candidates.enumerate().find(|(_, token)| ends_turn(token)) {
            Some((index, _)) => from + index + 1,
            None if message.role == Role::Assistant => {
                return Err(Fault::new(
                    format!(
                        "the chat template ends message {} without an end-of-turn token: a model would not learn to stop",
                        region.message + 1
                    ),
                    "use a chat template that writes the eos_token after each answer",
                ));
            }
            None => placed.partition_point(|token| token.end <= region.text_end),
        };
        if first >= end {
            return Err(Fault::new(
                format!("message {} has no token of its own", region.message + 1),
                "remove the record, or give the message weight 0",
            ));
        }
        Ok(first..end)
    }
}

fn by_skeleton(message: usize, role: Role, placed: &Placed) -> Option<Region> {
    let content = placed.content.clone();
    let start = match role {
        Role::Assistant => placed.answer.or(content.as_ref().map(|content| content.start))?,
        _ => content.as_ref()?.start,
    };
    let text_end = content.map_or(start, |content| content.end);
    Some(Region { message, start, text_end, limit: placed.limit })
}

fn by_prefix(index: usize, messages: &[Message], rendered: &str, render: &Render) -> Result<Region, Fault> {
    let message = &messages[index];
    let is_answer = message.role == Role::Assistant;
    let uncertain = |why: &str| {
        Fault::new(
            format!("the place of message {} in the rendered conversation is not certain: {why}", index + 1),
            "split the conversation so that this message is the last, or use a chat template that keeps what it wrote",
        )
    };
    let before = if index == 0 && !is_answer { String::new() } else { render(&messages[..index], is_answer)? };
    if !rendered.starts_with(&before) {
        return Err(uncertain("the chat template changes the text of a message, and rewrites earlier turns"));
    }
    let start = before.len();
    // With this message as the last one the template may write it otherwise; then the end stays open.
    let through = render(&messages[..=index], false).ok().filter(|through| rendered.starts_with(through.as_str()));
    let limit = through.map_or(rendered.len(), |through| through.len()).max(start);
    let region = &rendered[start..limit];
    // Templates drop thoughts, and what they keep is the end.
    let kept = message.content.rsplit("</think>").next().unwrap_or_default().trim();
    let place = region.find(kept).ok_or_else(|| uncertain("the chat template changes its text"))?;
    if is_answer {
        return Ok(Region { message: index, start, text_end: start + place + kept.len(), limit });
    }
    if region.matches(kept).count() != 1 {
        return Err(uncertain("its text occurs more than once"));
    }
    let text_end = start + place + kept.len();
    Ok(Region { message: index, start: start + place, text_end, limit })
}
