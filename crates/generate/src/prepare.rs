//! From what a request says to what an engine does.

use camelid_text::Text;

use crate::protocol::{ApiError, Decoding, Input};
use crate::random::fresh_number;
use crate::{Request, Sampler, Sampling, StopRules};

/// An engine's request for one input. `defaults` hold where the request says nothing; without a seed, a new one is
/// drawn. Errors name the field at fault.
pub fn prepare(
    input: &Input,
    decoding: &Decoding,
    text: &Text,
    defaults: &Sampling,
    context: usize,
) -> Result<Request, ApiError> {
    let (field, prompt) = encode(input, text)?;
    let room = context.saturating_sub(prompt.len());
    if prompt.len() > context || (room == 0 && decoding.max_tokens != Some(0)) {
        let length = prompt.len();
        let message = format!(
            "`{field}` has {length} tokens of the {context} that prompt and answer have together\n  fix: shorten it"
        );
        return Err(ApiError { code: Some("context_length_exceeded"), ..ApiError::field(field, message) });
    }
    let max_tokens = decoding.max_tokens.unwrap_or(room);
    if max_tokens > room {
        let message = format!(
            "`max_tokens` is {max_tokens}, but the prompt's {} tokens leave {room} of {context}\n  fix: ask for fewer \
             tokens or shorten the prompt",
            prompt.len()
        );
        return Err(ApiError { code: Some("context_length_exceeded"), ..ApiError::field("max_tokens", message) });
    }
    let unknown = decoding.stop_tokens.iter().find(|&&token| token as usize >= text.vocabulary_size());
    if let Some(token) = unknown {
        return Err(ApiError::field("stop_token_ids", unknown_token("stop_token_ids", *token, text)));
    }
    Ok(Request {
        prompt,
        samples: decoding.samples,
        max_tokens,
        sampling: sampling_of(decoding, defaults)?,
        stop: StopRules {
            strings: decoding.stop.clone(),
            tokens: decoding.stop_tokens.clone(),
            ignore_end: decoding.ignore_end,
        },
        choices: decoding.choices.iter().map(|choice| text.encode(choice)).collect(),
        top_log_probs: decoding.log_probs.max(decoding.prompt_log_probs).unwrap_or(0),
        prompt_log_probs: decoding.prompt_log_probs.is_some(),
    })
}

/// The field that holds the input, and the input's tokens.
fn encode(input: &Input, text: &Text) -> Result<(&'static str, Vec<u32>), ApiError> {
    let (field, tokens) = match input {
        Input::Chat { messages, tools, template_arguments } => {
            let tokens = text.encode_chat(messages, tools.as_ref(), template_arguments);
            let wrong =
                |error| ApiError::field("messages", format!("`messages` cannot be written as a prompt: {error}"));
            ("messages", tokens.map_err(wrong)?)
        }
        Input::Text(prompt) => ("prompt", text.encode_prompt(prompt)),
        Input::Tokens(tokens) => ("prompt", tokens.clone()),
    };
    if let Some(&token) = tokens.iter().find(|&&token| token as usize >= text.vocabulary_size()) {
        return Err(ApiError::field(field, unknown_token(field, token, text)));
    }
    if tokens.is_empty() {
        return Err(ApiError::field(field, format!("`{field}` has no tokens\n  fix: send at least one")));
    }
    Ok((field, tokens))
}

fn unknown_token(field: &str, token: u32, text: &Text) -> String {
    let size = text.vocabulary_size();
    format!("`{field}` holds token {token}, but the vocabulary has {size}\n  fix: use tokens of this model's tokenizer")
}

/// The decoding parameters: what the request says, else the defaults.
fn sampling_of(decoding: &Decoding, defaults: &Sampling) -> Result<Sampling, ApiError> {
    let sampling = Sampling {
        temperature: decoding.temperature.unwrap_or(defaults.temperature),
        top_k: decoding.top_k.unwrap_or(defaults.top_k),
        top_p: decoding.top_p.unwrap_or(defaults.top_p),
        min_p: decoding.min_p.unwrap_or(defaults.min_p),
        typical_p: decoding.typical_p.unwrap_or(defaults.typical_p),
        presence_penalty: decoding.presence_penalty.unwrap_or(defaults.presence_penalty),
        frequency_penalty: decoding.frequency_penalty.unwrap_or(defaults.frequency_penalty),
        repetition_penalty: decoding.repetition_penalty.unwrap_or(defaults.repetition_penalty),
        seed: decoding.seed.unwrap_or_else(fresh_number),
    };
    Sampler::new(sampling).map(|_| sampling).map_err(|error| ApiError::field(error.parameter, error.to_string()))
}
