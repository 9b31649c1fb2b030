//! Whether a tokenizer can belong to a model: every token it can produce needs a row of the embedding.

use std::collections::HashMap;
use std::path::Path;

use camelid_text::TextAssets;
use serde::Deserialize;
use serde_json::Value as Json;

use super::shared_file::file_error;
use crate::ModelError;

/// In Gemma 3's tokenizer also where the model takes text only and has no row for it.
const IMAGE_TOKEN_OF_GEMMA_3: &str = "<image_soft_token>";

/// Checks a tokenizer against an embedding of `rows` rows. `path` is named in the error.
pub(crate) fn check(path: &Path, text: &TextAssets, config: &Json, rows: usize) -> Result<(), ModelError> {
    #[derive(Deserialize)]
    struct Tokenizer {
        #[serde(default)]
        added_tokens: Vec<Added>,
        model: Model,
    }
    #[derive(Deserialize)]
    struct Added {
        id: u64,
        content: String,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: Vocabulary,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Vocabulary {
        Ids(HashMap<String, u64>),
        /// Unigram models list tokens in order, each with its score.
        Scores(Vec<(String, f64)>),
    }
    let tokenizer: Tokenizer = serde_json::from_slice(&text.tokenizer_json).map_err(|error| {
        file_error(path, format!("its tokenizer.json is broken: {error}"), "fetch tokenizer.json again")
    })?;
    let gemma3 = config["model_type"].as_str().is_some_and(|kind| kind.starts_with("gemma3"));
    let rows = rows as u64;
    let (learned, beyond) = match tokenizer.model.vocab {
        Vocabulary::Ids(ids) => {
            let beyond = ids.iter().filter(|(_, id)| **id >= rows).min_by_key(|(_, id)| **id);
            (ids.len() as u64, beyond.map(|(token, id)| (token.clone(), *id)))
        }
        Vocabulary::Scores(list) => {
            let beyond = list.get(rows as usize).map(|(token, _)| (token.clone(), rows));
            (list.len() as u64, beyond)
        }
    };
    let beyond = beyond.or_else(|| {
        let added = tokenizer.added_tokens.iter().filter(|added| added.id >= rows);
        let needed = added.filter(|added| !(gemma3 && added.content == IMAGE_TOKEN_OF_GEMMA_3));
        needed.map(|added| (added.content.clone(), added.id)).min_by_key(|(_, id)| *id)
    });
    match beyond {
        None => Ok(()),
        Some((token, id)) => Err(file_error(
            path,
            format!(
                "the vocabularies disagree: token {token:?} has id {id}, but the embedding has {rows} rows \
                 (the tokenizer has {learned} learned and {} added tokens)",
                tokenizer.added_tokens.len()
            ),
            "use the tokenizer that came with this model, or resize the model's embedding to the tokenizer",
        )),
    }
}
