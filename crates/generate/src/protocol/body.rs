//! What a request asks for.

use camelid_records::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::fields::{Fields, from_json, one_or_many};
use super::{ApiError, messages};

/// Which of the two ways to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
}

/// What to go on with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A conversation, written by the model's chat template.
    Chat {
        messages: Vec<Message>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools: Option<Json>,
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        template_arguments: Map<String, Json>,
    },
    /// Plain text.
    Text(String),
    /// Tokens as they are.
    Tokens(Vec<u32>),
}

/// How to go on. What is `None` is left to the model's or the server's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Decoding {
    /// Answers to each prompt.
    pub samples: usize,
    /// Tokens of an answer at most.
    pub max_tokens: Option<usize>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    /// 0 keeps all tokens.
    pub top_k: Option<usize>,
    pub min_p: Option<f32>,
    pub typical_p: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub seed: Option<u64>,
    /// The answer ends before the first of these.
    pub stop: Vec<String>,
    pub stop_tokens: Vec<u32>,
    /// Go on after the model's own stop tokens.
    pub ignore_end: bool,
    /// Only these answers are possible; empty allows everything.
    pub choices: Vec<String>,
    /// Report each token's log-probability and this many of the most likely ones.
    pub log_probs: Option<usize>,
    /// The same for the prompt's tokens.
    pub prompt_log_probs: Option<usize>,
}

impl Default for Decoding {
    fn default() -> Self {
        Self {
            samples: 1,
            max_tokens: None,
            temperature: None,
            top_p: None,
            top_k: None,
            min_p: None,
            typical_p: None,
            repetition_penalty: None,
            presence_penalty: None,
            frequency_penalty: None,
            seed: None,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            ignore_end: false,
            choices: Vec::new(),
            log_probs: None,
            prompt_log_probs: None,
        }
    }
}

/// The shape of the reply.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own in a request")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Piece by piece, as server-sent events.
    pub stream: bool,
    /// A stream ends with the counts of tokens.
    pub include_usage: bool,
    /// The prompt stands before each answer.
    pub echo: bool,
    /// Report the tokens of prompt and answer (vLLM's `return_token_ids`).
    pub token_ids: bool,
    /// Spell tokens as `token_id:7` where log-probabilities are reported, which no two tokens share.
    pub tokens_as_ids: bool,
}

/// A request, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    pub endpoint: Endpoint,
    pub model: Option<String>,
    /// One conversation, or at least one prompt.
    pub inputs: Vec<Input>,
    pub decoding: Decoding,
    pub output: Output,
}

/// Answers to a prompt at most.
pub const MOST_SAMPLES: usize = 1024;
/// Alternatives reported at each place at most, as vLLM's default.
pub const MOST_LOG_PROBS: usize = 20;
/// Stop strings, stop tokens and choices at most: each is looked at for each token, while other requests wait.
const MOST_ALTERNATIVES: usize = 1024;
/// OpenAI's limit where a completion names none.
const COMPLETION_TOKENS: usize = 16;

impl Body {
    /// Reads a request's body. Errors name the field.
    pub fn parse(endpoint: Endpoint, body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        refuse_unsupported(&fields)?;
        let inputs = match endpoint {
            Endpoint::Chat => vec![chat(&mut fields)?],
            Endpoint::Completions => prompts(fields.take("prompt"))?,
        };
        let mut decoding = decoding(endpoint, &mut fields)?;
        if endpoint == Endpoint::Completions {
            decoding.max_tokens.get_or_insert(COMPLETION_TOKENS);
        }
        let stream = fields.flag("stream")?;
        let usage = include_usage(&mut fields)?;
        let output = Output {
            stream,
            include_usage: stream && usage,
            echo: fields.flag("echo")?,
            token_ids: fields.flag("return_token_ids")?,
            tokens_as_ids: fields.flag("return_tokens_as_token_ids")?,
        };
        if output.echo && endpoint == Endpoint::Chat {
            return Err(ApiError::unsupported("echo", "use /v1/completions"));
        }
        if stream && decoding.prompt_log_probs.is_some() {
            return Err(ApiError::unsupported("prompt_logprobs", "leave out `stream`"));
        }
        Ok(Self { endpoint, model: fields.read("model")?, inputs, decoding, output })
    }
}

fn chat(fields: &mut Fields) -> Result<Input, ApiError> {
    let Some(list) = fields.take("messages") else {
        return Err(ApiError::field("messages", "`messages` is missing\n  fix: send a list of messages"));
    };
    let messages = messages::messages(list)?;
    let unused = fields.take("tool_choice").is_some_and(|choice| choice == "none");
    let tools: Option<Vec<Map<String, Json>>> = fields.read("tools")?;
    let tools = tools.filter(|tools| !unused && !tools.is_empty()).map(Json::from);
    let mut template_arguments: Map<String, Json> = fields.read("chat_template_kwargs")?.unwrap_or_default();
    if let Some(effort) = fields.take("reasoning_effort") {
        template_arguments.insert("reasoning_effort".into(), effort);
    }
    Ok(Input::Chat { messages, tools, template_arguments })
}

/// Whether a stream is to end with the counts of tokens.
fn include_usage(fields: &mut Fields) -> Result<bool, ApiError> {
    #[derive(Default, Deserialize)]
    struct StreamOptions {
        include_usage: Option<bool>,
    }
    let options: StreamOptions = fields.read("stream_options")?.unwrap_or_default();
    Ok(options.include_usage.unwrap_or(false))
}

/// A text, tokens, or a list of either.
fn prompts(prompt: Option<Json>) -> Result<Vec<Input>, ApiError> {
    let fix = "send text, a list of texts, a list of token ids, or a list of such lists";
    let wrong = |what: &str| ApiError::field("prompt", format!("`prompt` {what}\n  fix: {fix}"));
    let tokens = |value: Json| from_json::<Vec<u32>>("prompt", value).map(Input::Tokens);
    match prompt {
        None => Err(wrong("is missing")),
        Some(Json::String(text)) => Ok(vec![Input::Text(text)]),
        Some(Json::Array(list)) => match list.first() {
            None => Err(wrong("is an empty list")),
            Some(Json::Number(_)) => Ok(vec![tokens(Json::Array(list))?]),
            Some(_) => {
                let each = list.into_iter().map(|one| match one {
                    Json::String(text) => Ok(Input::Text(text)),
                    Json::Array(_) => tokens(one),
                    _ => Err(wrong("holds something else than texts and lists of tokens")),
                });
                each.collect()
            }
        },
        Some(_) => Err(wrong("is neither text nor a list")),
    }
}

fn decoding(endpoint: Endpoint, fields: &mut Fields) -> Result<Decoding, ApiError> {
    let old_limit = fields.read("max_tokens")?;
    let limit = fields.read("max_completion_tokens")?.or(old_limit);
    let decoding = Decoding {
        samples: fields.read("n")?.unwrap_or(1),
        max_tokens: limit,
        temperature: fields.read("temperature")?,
        top_p: fields.read("top_p")?,
        top_k: fields.read::<i64>("top_k")?.map(top_k).transpose()?,
        min_p: fields.read("min_p")?,
        typical_p: fields.read("typical_p")?,
        repetition_penalty: fields.read("repetition_penalty")?,
        presence_penalty: fields.read("presence_penalty")?,
        frequency_penalty: fields.read("frequency_penalty")?,
        seed: fields.take("seed").as_ref().map(seed).transpose()?,
        stop: fields.take("stop").map_or(Ok(Vec::new()), |stop| one_or_many("stop", stop))?,
        stop_tokens: fields.read("stop_token_ids")?.unwrap_or_default(),
        ignore_end: fields.flag("ignore_eos")?,
        choices: choices(fields)?,
        log_probs: log_probs(endpoint, fields)?,
        prompt_log_probs: fields.read("prompt_logprobs")?,
    };
    let counts = [("logprobs", decoding.log_probs), ("prompt_logprobs", decoding.prompt_log_probs)];
    for (name, count) in counts {
        if count.is_some_and(|count| count > MOST_LOG_PROBS) {
            let message = format!("`{name}` asks for too many alternatives\n  fix: ask for at most {MOST_LOG_PROBS}");
            return Err(ApiError::field(name, message));
        }
    }
    if decoding.samples == 0 || decoding.samples > MOST_SAMPLES {
        let message = format!("`n` is {}\n  fix: use 1 to {MOST_SAMPLES}", decoding.samples);
        return Err(ApiError::field("n", message));
    }
    let lists = [
        ("stop", decoding.stop.len()),
        ("stop_token_ids", decoding.stop_tokens.len()),
        ("guided_choice", decoding.choices.len()),
    ];
    for (name, count) in lists {
        if count > MOST_ALTERNATIVES {
            let message = format!("`{name}` has {count} entries\n  fix: send at most {MOST_ALTERNATIVES}");
            return Err(ApiError::field(name, message));
        }
    }
    if decoding.stop.iter().any(String::is_empty) {
        return Err(ApiError::field("stop", "`stop` holds an empty text\n  fix: leave it out"));
    }
    Ok(decoding)
}

fn top_k(value: i64) -> Result<usize, ApiError> {
    match value {
        -1 => Ok(0),
        _ => usize::try_from(value).map_err(|_| {
            ApiError::field("top_k", format!("`top_k` is {value}\n  fix: use a number above 0, or 0 for all tokens"))
        }),
    }
}

/// Any 64-bit integer, signed or not, is a seed.
fn seed(value: &Json) -> Result<u64, ApiError> {
    let signed = value.as_i64().map(|seed| seed as u64);
    value
        .as_u64()
        .or(signed)
        .ok_or_else(|| ApiError::field("seed", format!("`seed` is {value}\n  fix: use a whole number of 64 bits")))
}

/// vLLM's `guided_choice`, which its newer releases spell `structured_outputs.choice`.
fn choices(fields: &mut Fields) -> Result<Vec<String>, ApiError> {
    let (name, value) = match fields.take("guided_choice") {
        Some(value) => ("guided_choice", value),
        None => match fields.take("structured_outputs") {
            Some(mut value) if value["choice"].is_array() => ("structured_outputs", value["choice"].take()),
            Some(_) => return Err(ApiError::unsupported("structured_outputs", "use its `choice` alone")),
            None => return Ok(Vec::new()),
        },
    };
    let choices: Vec<String> = from_json(name, value)?;
    if choices.is_empty() || choices.iter().any(String::is_empty) {
        let message = format!("`{name}` is empty or holds an empty text\n  fix: list the answers to choose from");
        return Err(ApiError::field(name, message));
    }
    Ok(choices)
}

/// A chat says whether and, beside it, how many; a completion says how many.
fn log_probs(endpoint: Endpoint, fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    if endpoint == Endpoint::Completions {
        return fields.read("logprobs");
    }
    let wanted = fields.flag("logprobs")?;
    let top = fields.read::<usize>("top_logprobs")?;
    if !wanted && top.is_some_and(|top| top > 0) {
        let message = "`top_logprobs` has no effect alone\n  fix: set `logprobs` to true";
        return Err(ApiError::field("top_logprobs", message));
    }
    Ok(wanted.then(|| top.unwrap_or(0)))
}

/// Fields that would change the answer in a way that nothing here can follow.
fn refuse_unsupported(fields: &Fields) -> Result<(), ApiError> {
    let leave_out = "leave it out";
    let choices_only = "use `guided_choice`, or check the answer yourself";
    let always = [
        ("audio", leave_out),
        ("functions", "describe them in `tools`"),
        ("function_call", "leave it out and read calls from the text"),
        ("suffix", "put the whole prompt before the answer"),
        ("prompt_embeds", "send text or tokens"),
        ("guided_json", choices_only),
        ("guided_regex", choices_only),
        ("guided_grammar", choices_only),
        ("json_schema", choices_only),
        ("regex", choices_only),
        ("ebnf", choices_only),
        ("chat_template", "the server uses the model's own template"),
        ("truncate_prompt_tokens", "shorten the prompt before it is sent"),
        ("prediction", leave_out),
        ("web_search_options", leave_out),
    ];
    // Fields that clients also send with a value that asks for nothing.
    let unless: [(&str, &dyn Fn(&Json) -> bool, &str); 11] = [
        ("tool_choice", &|value| value == "auto" || value == "none", "use \"auto\" and read calls from the text"),
        ("response_format", &|value| value["type"] == "text", choices_only),
        (
            "modalities",
            &|value| value.as_array().is_some_and(|list| list.iter().all(|one| one == "text")),
            "ask for text",
        ),
        ("logit_bias", &|value| value.as_object().is_some_and(Map::is_empty), leave_out),
        ("logits_processors", &|value| value.as_array().is_some_and(Vec::is_empty), leave_out),
        ("bad_words", &|value| value.as_array().is_some_and(Vec::is_empty), leave_out),
        (
            "best_of",
            &|value| Some(value) == fields.get("n").or(Some(&Json::from(1))),
            "use `n` and choose among the answers",
        ),
        ("use_beam_search", &|value| value == false, leave_out),
        ("min_tokens", &|value| value == 0, "use `ignore_eos` with `max_tokens`"),
        ("continue_final_message", &|value| value == false, "write the prompt yourself for /v1/completions"),
        ("add_generation_prompt", &|value| value == true, "write the prompt yourself for /v1/completions"),
    ];
    for (name, fix) in always {
        if fields.get(name).is_some() {
            return Err(ApiError::unsupported(name, fix));
        }
    }
    for (name, harmless, fix) in unless {
        if fields.get(name).is_some_and(|value| !harmless(value)) {
            return Err(ApiError::unsupported(name, fix));
        }
    }
    Ok(())
}
