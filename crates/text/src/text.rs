//! Tokenizer and chat template of one model.

use camelid_records::Message;
use jiff::civil::DateTime;
use serde_json::{Map, Value as Json};
use tokenizers::{PostProcessorWrapper, Tokenizer};

use crate::skeleton::SkeletonCache;
use crate::special_tokens::{self, SpecialTokens};
use crate::template::ChatTemplate;
use crate::{TextAssets, TextError};

/// Text in, tokens out, and back.
pub struct Text {
    /// Without post-processor: special tokens are put where this crate says, and offsets are not trimmed.
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    assets: TextAssets,
    pub(crate) special: SpecialTokens,
    pub(crate) skeletons: SkeletonCache,
    vocabulary_size: usize,
    hash: [u8; 32],
}

/// A token and the bytes of the text that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlacedToken {
    pub(crate) id: u32,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Text {
    /// Errors name the file at fault: a tokenizer that cannot be read, a template that does not compile.
    pub fn new(assets: TextAssets) -> Result<Self, TextError> {
        let mut tokenizer = Tokenizer::from_bytes(&assets.tokenizer_json).map_err(|error| {
            let fix = "fetch the file from the model's source again";
            TextError::new("tokenizer.json", format!("cannot be read: {error}"), fix)
        })?;
        special_tokens::add_configured(&mut tokenizer, &assets.tokenizer_config)?;
        // Either would change the tokens of a record behind our back.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| TextError::new("tokenizer.json", error.to_string(), "remove its `truncation`"))?;
        let template = match &assets.chat_template {
            Some(source) => {
                let variables = special_tokens::variables(&assets.tokenizer_config);
                Some(ChatTemplate::new(source)?.with_special_tokens(variables))
            }
            None => None,
        };
        let special = SpecialTokens::find(&assets, &tokenizer, template.as_ref());
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        let largest = tokenizer.get_vocab(true).into_values().max();
        let vocabulary_size = largest.map_or(0, |id| id as usize + 1);
        let hash = hash(&assets);
        let skeletons = SkeletonCache::default();
        Ok(Self { tokenizer, template, assets, special, skeletons, vocabulary_size, hash })
    }

    /// Fixes the time that templates see through `strftime_now`; else it is the time of [`Text::new`].
    #[must_use]
    pub fn with_clock(mut self, now: DateTime) -> Self {
        self.template = self.template.map(|template| template.with_clock(now));
        self.skeletons = SkeletonCache::default();
        self
    }

    /// Tokens of plain text, without special tokens at its ends. Names of special tokens inside it become those.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // Of the models in use, only word-level ones without an unknown token can fail, and then on every text.
        self.tokenizer.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    /// Tokens of the whole text, each with its bytes.
    pub(crate) fn encode_placed(&self, text: &str) -> Result<Vec<PlacedToken>, TextError> {
        let encoding = self.tokenizer.encode(text, false).map_err(|error| {
            TextError::new("tokenizer", error.to_string(), "remove the characters that it cannot encode")
        })?;
        let places = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(places.map(|(&id, &(start, end))| PlacedToken { id, start, end }).collect())
    }

    /// Text of tokens, special ones included; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens, false).unwrap_or_default()
    }

    /// The tokenizer's own spelling of a token, such as `Ġthe` or `▁the`.
    pub(crate) fn decode_piece(&self, token: u32) -> String {
        self.tokenizer.id_to_token(token).unwrap_or_default()
    }

    /// One more than the largest token id: how many rows an embedding needs.
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary_size
    }

    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// Ends a text without a template.
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    /// Whether a sequence starts with BOS even where no template puts it.
    pub fn adds_bos(&self) -> bool {
        self.special.adds_bos
    }

    /// Tokens that end an answer, ascending: end of text, and what the template writes after an answer.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.special.stop
    }

    /// The chat template, or an error that says what to do without one.
    pub fn template(&self) -> Result<&ChatTemplate, TextError> {
        self.template.as_ref().ok_or_else(|| {
            let fix = "use an instruction-tuned model, put a chat_template.jinja beside its tokenizer, or use \
                       prompt-completion or text records";
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

    /// Tokens of a conversation up to where the model's answer starts: what training saw before that answer.
    pub fn encode_chat(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        arguments: &Map<String, Json>,
    ) -> Result<Vec<u32>, TextError> {
        Ok(self.with_bos(self.encode(&self.render_chat(messages, tools, arguments, true)?)))
    }

    /// Tokens of a text that the model is to go on with: BOS where the tokenizer wants it.
    pub fn encode_prompt(&self, text: &str) -> Vec<u32> {
        self.with_bos(self.encode(text))
    }

    fn with_bos(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        if self.adds_bos() && tokens.first() != self.bos().as_ref() {
            tokens.splice(0..0, self.bos());
        }
        tokens
    }

    pub fn assets(&self) -> &TextAssets {
        &self.assets
    }

    /// Hash of tokenizer, settings and template.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

fn hash(assets: &TextAssets) -> [u8; 32] {
    let template = assets.chat_template.as_deref().unwrap_or_default();
    let config = assets.tokenizer_config.to_string();
    let generation = assets.generation_config.to_string();
    let mut hasher = blake3::Hasher::new();
    for part in [&assets.tokenizer_json[..], template.as_bytes(), config.as_bytes(), generation.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}
