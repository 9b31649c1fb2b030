//! From a server's reply to answers.

use std::collections::BTreeMap;

use super::{Alternative, GenerateError, Generated, Sampled, shown};
use crate::protocol::{Choice, LogProbs, PromptLogProb, Reply, ReplyMessage, TopLogProb};

/// Reads a whole reply of either endpoint to a request for `samples` answers.
///
/// It is malformed if it is no JSON of that shape, holds another number of choices, or holds a choice with neither text,
/// thoughts, calls nor a word on why it ended. An empty text that ended for a reason is an answer: a model can choose to
/// say nothing.
pub fn read_reply(body: &[u8], samples: usize) -> Result<Generated, GenerateError> {
    let malformed = |reason: String| GenerateError::Malformed { reason, body: shown(body) };
    let mut reply: Reply = serde_json::from_slice(body).map_err(|error| malformed(format!("no reply ({error})")))?;
    if reply.choices.len() != samples {
        return Err(malformed(format!("{} choices instead of {samples}", reply.choices.len())));
    }
    reply.choices.sort_by_key(|choice| choice.index);
    let first = reply.choices.first_mut();
    let (first_tokens, first_scores) =
        first.map(|choice| (choice.prompt_token_ids.take(), choice.prompt_logprobs.take())).unwrap_or_default();
    let prompt_tokens = reply.prompt_token_ids.or(first_tokens);
    let scores = reply.prompt_logprobs.or(first_scores);
    let prompt_log_probs = prompt_tokens.as_ref().zip(scores).and_then(|(tokens, scores)| chosen(tokens, &scores));
    let answers: Option<Vec<_>> = reply.choices.into_iter().map(sampled).collect();
    Ok(Generated {
        answers: answers.ok_or_else(|| malformed("a choice without an answer".into()))?,
        model: reply.model,
        usage: reply.usage.unwrap_or_default(),
        prompt_tokens,
        prompt_log_probs,
        weight_version: reply.weight_version,
        cached: false,
    })
}

fn sampled(choice: Choice) -> Option<Sampled> {
    let ReplyMessage { content, reasoning_content, reasoning, refusal, tool_calls, .. } =
        choice.message.unwrap_or_default();
    let reasoning = reasoning_content.or(reasoning).filter(|text| !text.is_empty());
    let tool_calls = tool_calls.filter(|calls| calls.as_array().is_some_and(|calls| !calls.is_empty()));
    let text = content.or(choice.text).or(refusal);
    let says_nothing = text.as_ref().is_none_or(String::is_empty) && reasoning.is_none() && tool_calls.is_none();
    if says_nothing && (text.is_none() || choice.finish_reason.is_none()) {
        return None;
    }
    let scores = choice.logprobs.unwrap_or_default();
    let alternatives = alternatives(&scores);
    let names: Option<Vec<String>> = match &scores.content {
        Some(content) => Some(content.iter().map(|entry| entry.token.clone()).collect()),
        None => scores.tokens,
    };
    let log_probs = match scores.content {
        Some(content) => Some(content.iter().map(|entry| entry.logprob).collect()),
        None => scores.token_logprobs.and_then(|scores| scores.into_iter().collect()),
    };
    Some(Sampled {
        text: text.unwrap_or_default(),
        finish: choice.finish_reason,
        reasoning,
        tool_calls,
        tokens: choice.token_ids.or_else(|| names.and_then(|names| numbers(&names))),
        log_probs,
        sampling_log_probs: None,
        alternatives,
        beam_score: None,
    })
}

/// The most likely tokens at each place, of either endpoint; `None` where none are told.
fn alternatives(scores: &LogProbs) -> Option<Vec<Vec<Alternative>>> {
    let one = |text: &str, log_prob: f32| Alternative { text: text.to_owned(), log_prob };
    let places: Vec<Vec<Alternative>> = match (&scores.content, &scores.top_logprobs) {
        (Some(content), _) => {
            let of = |top: &TopLogProb| one(&top.token, top.logprob);
            content.iter().map(|place| place.top_logprobs.iter().map(of).collect()).collect()
        }
        (None, Some(places)) => {
            // By name in this form, and with the token that was drawn even where others are likelier.
            let of = |(text, log_prob): (&String, &f32)| one(text, *log_prob);
            let by_likelihood = |place: &Option<BTreeMap<String, f32>>| {
                let mut place: Vec<Alternative> = place.iter().flatten().map(of).collect();
                place.sort_by(|left, right| right.log_prob.total_cmp(&left.log_prob));
                place
            };
            places.iter().map(by_likelihood).collect()
        }
        (None, None) => return None,
    };
    places.iter().any(|place| !place.is_empty()).then_some(places)
}

/// Tokens that a server spelled as their numbers.
fn numbers(names: &[String]) -> Option<Vec<u32>> {
    names.iter().map(|name| name.strip_prefix("token_id:")?.parse().ok()).collect()
}

/// Of each place's alternatives, the token that stood there.
fn chosen(tokens: &[u32], scores: &[Option<BTreeMap<String, PromptLogProb>>]) -> Option<Vec<f32>> {
    let own = |(token, scores): (&u32, &Option<BTreeMap<String, PromptLogProb>>)| {
        Some(scores.as_ref()?.get(&token.to_string())?.logprob)
    };
    (tokens.len() == scores.len()).then(|| tokens.iter().zip(scores).skip(1).map(own).collect())?
}
