//! A small tokenizer.

use std::sync::Arc;

use camelid_text::{Text, TextAssets};
use serde_json::{Map, Value as Json, json};

/// Each byte is a token; three special ones follow.
pub(crate) fn text() -> Arc<Text> {
    let vocabulary: Map<String, Json> =
        byte_names().into_iter().enumerate().map(|(id, name)| (name, json!(id))).collect();
    let special = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"].into_iter().enumerate().map(|(place, content)| {
        json!({ "id": 256 + place, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    });
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": special.collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                   "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": [] }
    });
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let assets = TextAssets {
        tokenizer_json: tokenizer.to_string().into_bytes(),
        tokenizer_config: json!({ "eos_token": "<|im_end|>" }),
        chat_template: Some(template.into()),
        generation_config: json!({}),
    };
    Arc::new(Text::new(assets).unwrap())
}

/// GPT-2's printable spelling of each byte, which makes byte and token one number.
fn byte_names() -> Vec<String> {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut next = 256;
    let mut name = |byte: u32| {
        if printable(byte) {
            return byte;
        }
        next += 1;
        next - 1
    };
    (0..256).map(|byte| char::from_u32(name(byte)).unwrap().to_string()).collect()
}
