//! A vocabulary for the table.

use camelid_text::{Text, TextAssets};
use serde_json::json;

use super::VOCABULARY;

/// Letters as tokens, 0 for the beginning and 1 for the end of a text.
pub(crate) fn text() -> Text {
    let specials = ["<s>", "</s>"];
    let letters = ('a'..).map(String::from).take(VOCABULARY - specials.len());
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        specials.map(String::from).into_iter().chain(letters).zip(0..).map(|(token, id)| (token, json!(id))).collect();
    let added: Vec<serde_json::Value> = (0..)
        .zip(specials)
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary,
                  "merges": []},
    });
    let assets = TextAssets {
        tokenizer_json: tokenizer.to_string().into_bytes(),
        tokenizer_config: json!({"bos_token": "<s>", "eos_token": "</s>"}),
        chat_template: None,
        generation_config: json!({}),
    };
    Text::new(assets).unwrap()
}
