//! Tokenizer and chat template of one model.

use camelid_records::Message;
use serde_json::{Map, Value as Json};
use tokenizers::Tokenizer;

use crate::spans::TurnShape;
use crate::template::ChatTemplate;
use crate::{TextAssets, TextError};

/// Text in, tokens out, and back.
pub struct Text {
    pub(crate) tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    assets: TextAssets,
    bos: Option<u32>,
    eos: Option<u32>,
    adds_bos: bool,
    stop_tokens: Vec<u32>,
    pub(crate) turns: Option<TurnShape>,
}

/// A token and where it comes from: bytes `start .. end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlacedToken {
    pub(crate) id: u32,
    pub(crate) end: usize,
}

impl Text {
    /// Errors name the file at fault: a tokenizer that cannot be read, a template that does not compile.
    pub fn new(assets: TextAssets) -> Result<Self, TextError> {
        let mut tokenizer = Tokenizer::from_bytes(&assets.tokenizer_json).map_err(|error| {
            TextError::new("tokenizer.json", error.to_string(), "fetch the file from the model's source again")
        })?;
        // Both would change what a record's tokens are behind our back.
        let _ = tokenizer.with_truncation(None);
        tokenizer.with_padding(None);
        let special = |key: &str| special_token(&assets.tokenizer_config, key);
        let id = |key: &str| special(key).and_then(|token| tokenizer.token_to_id(&token));
        let bos = id("bos_token");
        let generation_ids = ids(&assets.generation_config["eos_token_id"]);
        let eos = id("eos_token").or_else(|| generation_ids.first().copied());
        let bare = tokenizer.encode("", true).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default();
        let adds_bos = bos.is_some() && bare.first() == bos.as_ref();

        let mut variables = Map::new();
        for key in ["bos_token", "eos_token", "unk_token", "pad_token"] {
            variables.extend(special(key).map(|token| (key.to_owned(), Json::String(token))));
        }
        let template = match &assets.chat_template {
            Some(source) => Some(ChatTemplate::new(source, variables)?),
            None => None,
        };
        let turns = template.as_ref().and_then(|template| TurnShape::probe(template, &tokenizer));
        let mut stop_tokens: Vec<u32> = eos.into_iter().chain(generation_ids).collect();
        stop_tokens.extend(turns.as_ref().and_then(|turns| turns.end_of_turn_id));
        stop_tokens.sort_unstable();
        stop_tokens.dedup();
        Ok(Self { tokenizer, template, bos, eos, adds_bos, stop_tokens, turns, assets })
    }

    /// Tokens of plain text, without special tokens at its ends. Names of special tokens inside it become those.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    pub(crate) fn encode_placed(&self, text: &str) -> Result<Vec<PlacedToken>, TextError> {
        let encoding = self.tokenizer.encode(text, false).map_err(|error| {
            TextError::new("tokenizer", error.to_string(), "remove the characters that it cannot encode")
        })?;
        let places = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(places.map(|(&id, &(_, end))| PlacedToken { id, end }).collect())
    }

    /// Text of tokens, special ones included.
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens, false).unwrap_or_default()
    }

    /// Number of token ids, added ones included.
    pub fn vocabulary_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether a sequence starts with BOS even where no template puts it.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Tokens that end an answer, ascending.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    pub fn template(&self) -> Result<&ChatTemplate, TextError> {
        self.template.as_ref().ok_or_else(|| {
            let fix =
                "use an instruction-tuned model, put a chat_template.jinja beside its tokenizer, or use text records";
            TextError::new("chat template", "this model has none", fix)
        })
    }

    /// A conversation as the model's template writes it.
    pub fn render_chat(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        arguments: &Map<String, Json>,
        add_generation_prompt: bool,
    ) -> Result<String, TextError> {
        self.template()?.render(messages, tools, arguments, add_generation_prompt)
    }

    /// Tokens of a conversation up to where the model's answer starts.
    pub fn encode_chat(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        arguments: &Map<String, Json>,
    ) -> Result<Vec<u32>, TextError> {
        let mut tokens = self.encode(&self.render_chat(messages, tools, arguments, true)?);
        if self.adds_bos && tokens.first() != self.bos.as_ref() {
            tokens.splice(0..0, self.bos);
        }
        Ok(tokens)
    }

    pub fn assets(&self) -> &TextAssets {
        &self.assets
    }

    /// Changes whenever the same record could become other tokens.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let template = self.assets.chat_template.as_deref().unwrap_or_default();
        let config = self.assets.tokenizer_config.to_string();
        let generation = self.assets.generation_config.to_string();
        for part in [&self.assets.tokenizer_json[..], template.as_bytes(), config.as_bytes(), generation.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        if self.template.as_ref().is_some_and(ChatTemplate::uses_clock) {
            hasher.update(jiff::ZonedDateTime::now().date().to_string().as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// A special token is stated as text, or as an object with `content`.
fn special_token(config: &Json, key: &str) -> Option<String> {
    let value = config.get(key)?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

fn ids(value: &Json) -> Vec<u32> {
    let id = |value: &Json| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Json::Array(list) => list.iter().filter_map(id).collect(),
        single => id(single).into_iter().collect(),
    }
}
