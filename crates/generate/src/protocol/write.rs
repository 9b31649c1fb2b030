//! A request as JSON, for servers of others.

use serde_json::{Map, Value as Json, json};

use super::{Body, Decoding, Endpoint, Input};

/// The body of a request. It holds only what differs from the defaults, since some servers refuse fields that they do
/// not know; `limit_field` is the name of the limit of tokens, which differs between servers.
pub fn body_json(body: &Body, limit_field: &str) -> Json {
    let mut fields = Map::new();
    fields.extend(body.model.as_ref().map(|model| ("model".to_owned(), json!(model))));
    match (body.endpoint, &body.inputs[..]) {
        (Endpoint::Chat, [Input::Chat { messages, tools, template_arguments }, ..]) => {
            fields.insert("messages".into(), json!(messages));
            fields.extend(tools.as_ref().map(|tools| ("tools".to_owned(), tools.clone())));
            if !template_arguments.is_empty() {
                fields.insert("chat_template_kwargs".into(), json!(template_arguments));
            }
        }
        (_, [one]) => {
            fields.insert("prompt".into(), prompt(one));
        }
        (_, many) => {
            fields.insert("prompt".into(), many.iter().map(prompt).collect());
        }
    }
    write_decoding(&body.decoding, body.endpoint, limit_field, &mut fields);
    let output = body.output;
    let flags = [
        ("stream", output.stream),
        ("echo", output.echo),
        ("return_token_ids", output.token_ids),
        ("return_tokens_as_token_ids", output.tokens_as_ids),
    ];
    fields.extend(flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| (name.to_owned(), json!(true))));
    if output.include_usage {
        fields.insert("stream_options".into(), json!({ "include_usage": true }));
    }
    Json::Object(fields)
}

fn prompt(input: &Input) -> Json {
    match input {
        Input::Text(text) => json!(text),
        Input::Tokens(tokens) => json!(tokens),
        Input::Chat { messages, .. } => json!(messages),
    }
}

fn write_decoding(decoding: &Decoding, endpoint: Endpoint, limit_field: &str, fields: &mut Map<String, Json>) {
    let mut put = |name: &str, value: Option<Json>| fields.extend(value.map(|value| (name.to_owned(), value)));
    put("n", (decoding.samples != 1).then(|| json!(decoding.samples)));
    put(limit_field, decoding.max_tokens.map(Json::from));
    let numbers = [
        ("temperature", decoding.temperature),
        ("top_p", decoding.top_p),
        ("min_p", decoding.min_p),
        ("typical_p", decoding.typical_p),
        ("repetition_penalty", decoding.repetition_penalty),
        ("presence_penalty", decoding.presence_penalty),
        ("frequency_penalty", decoding.frequency_penalty),
    ];
    for (name, value) in numbers {
        put(name, value.map(plain));
    }
    // -1 means all tokens everywhere; 0 does not.
    put("top_k", decoding.top_k.map(|k| if k == 0 { json!(-1) } else { json!(k) }));
    put("seed", decoding.seed.map(Json::from));
    put("stop", (!decoding.stop.is_empty()).then(|| json!(decoding.stop)));
    put("stop_token_ids", (!decoding.stop_tokens.is_empty()).then(|| json!(decoding.stop_tokens)));
    put("ignore_eos", decoding.ignore_end.then(|| json!(true)));
    put("guided_choice", (!decoding.choices.is_empty()).then(|| json!(decoding.choices)));
    match endpoint {
        Endpoint::Chat => {
            put("logprobs", decoding.log_probs.map(|_| json!(true)));
            put("top_logprobs", decoding.log_probs.filter(|&top| top > 0).map(Json::from));
        }
        Endpoint::Completions => put("logprobs", decoding.log_probs.map(Json::from)),
    }
    put("prompt_logprobs", decoding.prompt_log_probs.map(Json::from));
}

/// The number as its author wrote it: 0.7, not the nearest 32-bit number's 0.699999988079071.
fn plain(value: f32) -> Json {
    value.to_string().parse::<f64>().map_or(Json::Null, Json::from)
}
