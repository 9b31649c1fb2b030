//! Which tokens begin a sequence and which end a turn.

use camelid_records::{Message, Role};
use serde_json::{Map, Value as Json};
use tokenizers::{AddedToken, Tokenizer};

use crate::template::ChatTemplate;
use crate::{TextAssets, TextError};

/// The roles that tokens play.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpecialTokens {
    pub(crate) bos: Option<u32>,
    /// Ends a text; also ends a turn unless the template has another token for that.
    pub(crate) eos: Option<u32>,
    /// Whether a sequence starts with BOS even where no template puts it.
    pub(crate) adds_bos: bool,
    /// Tokens that end an answer, ascending.
    pub(crate) stop: Vec<u32>,
    /// What the template writes after an answer, if it holds no special token.
    pub(crate) missing_terminator: Option<String>,
    /// Texts that must not occur inside a message, as they would end it or begin another.
    pub(crate) reserved: Vec<String>,
}

/// Names under which the configuration states special tokens.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The special tokens that the configuration names, as variables of the template.
pub(crate) fn variables(config: &Json) -> Map<String, Json> {
    let named = |name: &str| Some((name.to_owned(), Json::String(stated(config, name)?)));
    NAMES.into_iter().filter_map(named).collect()
}

/// A special token is stated as text, or as an object with `content`.
fn stated(config: &Json, name: &str) -> Option<String> {
    let value = config.get(name)?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// Adds tokens that only `tokenizer_config.json` knows, as `transformers` does.
pub(crate) fn add_configured(tokenizer: &mut Tokenizer, config: &Json) -> Result<(), TextError> {
    let Some(entries) = config.get("added_tokens_decoder").and_then(Json::as_object) else { return Ok(()) };
    let known = tokenizer.get_added_tokens_decoder();
    let mut missing: Vec<(u32, AddedToken)> = Vec::new();
    for (id, entry) in entries {
        let (Ok(id), Some(content)) = (id.parse(), entry["content"].as_str()) else { continue };
        if !known.contains_key(&id) {
            let flag = |name: &str| entry[name].as_bool().unwrap_or(false);
            let token = AddedToken::from(content, flag("special")).single_word(flag("single_word"));
            let token = token.lstrip(flag("lstrip")).rstrip(flag("rstrip")).normalized(flag("normalized"));
            missing.push((id, token));
        }
    }
    missing.sort_by_key(|(id, _)| *id);
    for (id, token) in missing {
        let content = token.content.clone();
        let wrong = |reason: String| {
            let fix = "fetch tokenizer.json and tokenizer_config.json of the same model";
            TextError::new("tokenizer_config.json: added_tokens_decoder", reason, fix)
        };
        let added = if token.special { tokenizer.add_special_tokens([token]) } else { tokenizer.add_tokens([token]) };
        added.map_err(|error| wrong(error.to_string()))?;
        if tokenizer.token_to_id(&content) != Some(id) {
            let actual = tokenizer.token_to_id(&content);
            return Err(wrong(format!("token {content:?} is stated to have id {id}, but gets {actual:?}")));
        }
    }
    Ok(())
}

impl SpecialTokens {
    /// `tokenizer` must still have its post-processor.
    pub(crate) fn find(assets: &TextAssets, tokenizer: &Tokenizer, template: Option<&ChatTemplate>) -> Self {
        let id = |name: &str| stated(&assets.tokenizer_config, name).and_then(|token| tokenizer.token_to_id(&token));
        let first = |special: bool| {
            let encoding = tokenizer.encode("a", special).ok()?;
            encoding.get_ids().first().copied()
        };
        let put_in_front = first(true).filter(|token| first(false) != Some(*token));
        let bos = id("bos_token").or(put_in_front);
        let configured = assets.tokenizer_config.get("add_bos_token").and_then(Json::as_bool);
        let adds_bos = bos.is_some() && configured.unwrap_or(put_in_front == bos);

        let generation = ids(&assets.generation_config["eos_token_id"]);
        let eos = id("eos_token").or_else(|| generation.first().copied());
        let mut stop: Vec<u32> = eos.into_iter().chain(generation).collect();
        let mut missing_terminator = None;
        match template.and_then(after_an_answer) {
            None => {}
            Some(after) => match first_special_token(tokenizer, &after, &stop) {
                Some(end_of_turn) => stop.push(end_of_turn),
                None => missing_terminator = Some(after),
            },
        }
        stop.retain(|&token| tokenizer.id_to_token(token).is_some());
        stop.sort_unstable();
        stop.dedup();
        let texts = stop.iter().chain(&bos).filter_map(|&token| tokenizer.id_to_token(token));
        let mut reserved: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
        reserved.sort();
        reserved.dedup();
        Self { bos, eos, adds_bos, stop, missing_terminator, reserved }
    }
}

/// What a template writes after the last answer of a conversation; `None` if it refuses a plain exchange.
fn after_an_answer(template: &ChatTemplate) -> Option<String> {
    const ANSWER: &str = "camelidanswer";
    let exchange = [Message::new(Role::User, "camelidquestion"), Message::new(Role::Assistant, ANSWER)];
    let rendered = template.render(&exchange, None, &Map::new(), false).ok()?;
    let (_, after) = rendered.rsplit_once(ANSWER)?;
    Some(after.to_owned())
}

/// The first token of `text` that is special or one of `stop`.
fn first_special_token(tokenizer: &Tokenizer, text: &str, stop: &[u32]) -> Option<u32> {
    let added = tokenizer.get_added_tokens_decoder();
    let encoding = tokenizer.encode(text, false).ok()?;
    let special = |id: &u32| stop.contains(id) || added.get(id).is_some_and(|token| token.special);
    encoding.get_ids().iter().copied().find(special)
}

fn ids(value: &Json) -> Vec<u32> {
    let id = |value: &Json| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Json::Array(list) => list.iter().filter_map(id).collect(),
        single => id(single).into_iter().collect(),
    }
}
