//! A vocabulary learned from texts, for models that start from nothing.

use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerBuilder,
};

use crate::{TextAssets, TextError};

const BOS: &str = "<|begin|>";
const EOS: &str = "<|end|>";
const PAD: &str = "<|pad|>";

/// Fewest tokens: the 256 bytes and the three special ones.
const SMALLEST: usize = 259;

/// An answer goes on where the question ends: what a policy that completes texts wants.
const TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}\
                        {% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}";

impl TextAssets {
    /// A byte-level BPE tokenizer with at most `vocabulary` tokens, learned from `texts` (Sennrich 2016, arXiv 1508.07909, over bytes as
    /// in GPT-2), with tokens for beginning, end and padding, and a template that writes the assistant's turn right behind the
    /// user's. Any text can be encoded; the same texts give the same tokenizer. Fewer tokens come out where the texts have no more
    /// pairs that occur twice.
    pub fn learn(texts: &[String], vocabulary: usize) -> Result<Self, TextError> {
        if vocabulary < SMALLEST {
            let reason = format!("a vocabulary of {vocabulary} tokens is too small");
            return Err(TextError::new("vocabulary", reason, format!("use {SMALLEST} or more: bytes alone take 256")));
        }
        let failed = |error: tokenizers::Error| {
            TextError::new("vocabulary", error.to_string(), "check that the texts are ordinary text")
        };
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocabulary)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens([BOS, EOS, PAD].map(|token| AddedToken::from(token, true)).to_vec())
            .build();
        let mut tokenizer =
            TokenizerBuilder::<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>::new(
            )
            .with_model(BPE::default())
            .with_pre_tokenizer(Some(ByteLevel::new(false, true, true).into()))
            .with_decoder(Some(ByteLevel::new(false, true, true).into()))
            .build()
            .map_err(failed)?;
        tokenizer.train(&mut trainer, texts.iter()).map_err(failed)?;
        let id = |token: &str| json!(tokenizer.token_to_id(token));
        Ok(Self {
            tokenizer_json: tokenizer.to_string(false).map_err(failed)?.into_bytes(),
            tokenizer_config: json!({
                "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS, "pad_token": PAD,
                "add_bos_token": true, "clean_up_tokenization_spaces": false,
            }),
            chat_template: Some(TEMPLATE.to_owned()),
            generation_config: json!({
                "bos_token_id": id(BOS), "eos_token_id": id(EOS), "pad_token_id": id(PAD),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use camelid_records::{Message, Role};

    use super::*;
    use crate::Text;

    fn texts() -> Vec<String> {
        (0..40).map(|i| format!("the film number {i} is a wonderful film , and the {i}th one at that")).collect()
    }

    #[test]
    fn words_that_come_often_become_tokens_and_anything_can_be_written() {
        let assets = TextAssets::learn(&texts(), 300).unwrap();
        assert_eq!(assets, TextAssets::learn(&texts(), 300).unwrap());
        let text = Text::new(assets).unwrap();
        assert_eq!(text.vocabulary_size(), 300);
        assert_eq!(text.encode("the film").len(), 2);
        for any in ["", " ", "naïve 日本語 🦙", "a\tb\n"] {
            assert_eq!(text.decode(&text.encode(any)), any);
        }
    }

    #[test]
    fn an_answer_follows_its_question_and_ends() {
        let text = Text::new(TextAssets::learn(&texts(), 300).unwrap()).unwrap();
        let (bos, eos) = (text.bos().unwrap(), text.eos().unwrap());
        assert_eq!(text.stop_tokens(), [eos]);
        let question = [Message::new(Role::User, "the film")];
        let asked = text.encode_chat(&question, None, &serde_json::Map::new()).unwrap();
        assert_eq!(asked, text.encode_prompt("the film"));
        assert_eq!(asked[0], bos);
        let both = [Message::new(Role::User, "the film"), Message::new(Role::Assistant, " is")];
        let whole = text.render_chat(&both, None, &serde_json::Map::new(), false).unwrap();
        assert_eq!(whole, "<|begin|>the film is<|end|>");
    }

    #[test]
    fn a_vocabulary_holds_every_byte() {
        let error = TextAssets::learn(&texts(), 258).unwrap_err();
        assert!(error.to_string().contains("fix: use 259 or more"), "{error}");
    }
}
