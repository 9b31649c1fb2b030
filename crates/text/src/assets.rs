//! The files that turn text into tokens, wherever they come from.

use std::path::Path;

use serde_json::{Map, Value as Json, json};

use crate::TextError;
use crate::gguf_vocabulary::{GgufVocabulary, tokenizer_json};

/// Tokenizer, its settings, chat template and generation settings of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct TextAssets {
    /// Contents of `tokenizer.json`.
    pub tokenizer_json: Vec<u8>,
    /// Contents of `tokenizer_config.json`; an empty object if there is none.
    pub tokenizer_config: Json,
    /// Jinja source.
    pub chat_template: Option<String>,
    /// Contents of `generation_config.json`; an empty object if there is none.
    pub generation_config: Json,
}

impl TextAssets {
    /// Reads them from a Hugging Face folder.
    ///
    /// The template is `chat_template.jinja`, else the one in `chat_template.json`, else the one inside
    /// `tokenizer_config.json` (of several, the one named `default`). Special tokens that `tokenizer_config.json` does
    /// not name are taken from `special_tokens_map.json`; without `generation_config.json`, the ids that end an answer
    /// are those of `config.json`.
    pub fn from_folder(folder: &Path) -> Result<Self, TextError> {
        let tokenizer = folder.join("tokenizer.json");
        let tokenizer_json = std::fs::read(&tokenizer).map_err(|error| {
            let fix = "fetch tokenizer.json of this model; other tokenizer files cannot be read";
            TextError::new(tokenizer.display().to_string(), error.to_string(), fix)
        })?;
        let mut tokenizer_config = optional_json(&folder.join("tokenizer_config.json"))?;
        let special = optional_json(&folder.join("special_tokens_map.json"))?;
        add_missing(&mut tokenizer_config, &special, |_| true);
        let mut generation_config = optional_json(&folder.join("generation_config.json"))?;
        if !folder.join("generation_config.json").is_file() {
            let config = optional_json(&folder.join("config.json"))?;
            add_missing(&mut generation_config, &config, |key| GENERATION_IDS.contains(&key));
        }
        let jinja = folder.join("chat_template.jinja");
        let chat_template = if jinja.is_file() {
            Some(std::fs::read_to_string(&jinja).map_err(|error| {
                TextError::new(jinja.display().to_string(), error.to_string(), "save the template as UTF-8 text")
            })?)
        } else {
            let processor = optional_json(&folder.join("chat_template.json"))?;
            inline_template(&processor).or_else(|| inline_template(&tokenizer_config))
        };
        Ok(Self { tokenizer_json, tokenizer_config, chat_template, generation_config })
    }

    /// Rebuilds them from a GGUF file's vocabulary.
    pub fn from_gguf(vocabulary: &GgufVocabulary) -> Result<Self, TextError> {
        let mut config = Map::new();
        let named = |id: Option<u32>| id.and_then(|id| vocabulary.tokens.get(id as usize)).map(|token| json!(token));
        let special = [
            ("bos_token", vocabulary.bos),
            ("eos_token", vocabulary.eos),
            ("unk_token", vocabulary.unk),
            ("pad_token", vocabulary.padding),
        ];
        for (key, id) in special {
            config.extend(named(id).map(|token| (key.to_owned(), token)));
        }
        for (key, flag) in [("add_bos_token", vocabulary.add_bos), ("add_eos_token", vocabulary.add_eos)] {
            config.extend(flag.map(|flag| (key.to_owned(), json!(flag))));
        }
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        config.insert("clean_up_tokenization_spaces".into(), json!(false));
        let mut generation = Map::new();
        generation.extend(vocabulary.bos.map(|id| ("bos_token_id".to_owned(), json!(id))));
        generation.extend(vocabulary.eos.map(|id| ("eos_token_id".to_owned(), json!(id))));
        generation.extend(vocabulary.padding.map(|id| ("pad_token_id".to_owned(), json!(id))));
        let tokenizer_json = tokenizer_json(vocabulary)?.to_string().into_bytes();
        Ok(Self {
            tokenizer_json,
            tokenizer_config: Json::Object(config),
            chat_template: vocabulary.chat_template.clone(),
            generation_config: Json::Object(generation),
        })
    }

    /// Writes them as a Hugging Face folder holds them.
    pub fn write(&self, folder: &Path) -> Result<(), TextError> {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).map_err(|error| {
                TextError::new(path.display().to_string(), error.to_string(), "make room or permission for it")
            })
        };
        let pretty = |json: &Json| format!("{json:#}\n").into_bytes();
        write("tokenizer.json", &self.tokenizer_json)?;
        // The template has a file of its own; two copies could come to differ.
        let mut config = self.tokenizer_config.clone();
        if let Some(fields) = config.as_object_mut() {
            fields.remove("chat_template");
        }
        write("tokenizer_config.json", &pretty(&config))?;
        if self.generation_config.as_object().is_some_and(|fields| !fields.is_empty()) {
            write("generation_config.json", &pretty(&self.generation_config))?;
        }
        match &self.chat_template {
            Some(template) => write("chat_template.jinja", template.as_bytes()),
            None => Ok(()),
        }
    }
}

/// Token ids of `generation_config.json` that older models state in `config.json`.
const GENERATION_IDS: [&str; 3] = ["bos_token_id", "eos_token_id", "pad_token_id"];

/// Copies the fields of `from` that `to` lacks.
fn add_missing(to: &mut Json, from: &Json, wanted: impl Fn(&str) -> bool) {
    if let (Some(to), Some(from)) = (to.as_object_mut(), from.as_object()) {
        for (key, value) in from.iter().filter(|(key, value)| wanted(key) && !value.is_null()) {
            if to.get(key).is_none_or(Json::is_null) {
                to.insert(key.clone(), value.clone());
            }
        }
    }
}

fn optional_json(path: &Path) -> Result<Json, TextError> {
    if !path.is_file() {
        return Ok(json!({}));
    }
    let fix = "fetch the file from the model's source again";
    let wrong = |reason: String| TextError::new(path.display().to_string(), reason, fix);
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    match serde_json::from_slice(&bytes) {
        Ok(json @ Json::Object(_)) => Ok(json),
        Ok(_) => Err(wrong("is not a JSON object".into())),
        Err(error) => Err(wrong(format!("is not JSON: {error}"))),
    }
}

fn inline_template(config: &Json) -> Option<String> {
    match config.get("chat_template")? {
        Json::String(template) => Some(template.clone()),
        Json::Array(named) => {
            let is_default = |entry: &&Json| entry["name"] == "default";
            let entry = named.iter().find(is_default).or_else(|| named.first())?;
            entry["template"].as_str().map(str::to_owned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, contents) in files {
            std::fs::write(folder.path().join(name), contents).unwrap();
        }
        folder
    }

    #[track_caller]
    fn read(files: &[(&str, &str)]) -> TextAssets {
        TextAssets::from_folder(folder(files).path()).unwrap()
    }

    #[test]
    fn the_template_is_found_wherever_models_keep_it() {
        let one = r#"{"chat_template": "one"}"#;
        let named =
            r#"{"chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "two"}]}"#;
        let cases: [(&[(&str, &str)], Option<&str>); 6] = [
            (&[("tokenizer_config.json", one)], Some("one")),
            (&[("tokenizer_config.json", named)], Some("two")),
            (&[("tokenizer_config.json", one), ("chat_template.json", named)], Some("two")),
            (&[("tokenizer_config.json", one), ("chat_template.jinja", "three")], Some("three")),
            (&[("tokenizer_config.json", r#"{"chat_template": 3}"#)], None),
            (&[], None),
        ];
        for (files, expected) in cases {
            let files: Vec<_> = files.iter().copied().chain([("tokenizer.json", "{}")]).collect();
            assert_eq!(read(&files).chat_template.as_deref(), expected);
        }
    }

    #[test]
    fn older_files_fill_what_newer_ones_lack() {
        let assets = read(&[
            ("tokenizer.json", "{}"),
            ("tokenizer_config.json", r#"{"bos_token": "<b>", "eos_token": null}"#),
            ("special_tokens_map.json", r#"{"bos_token": "<x>", "eos_token": {"content": "<e>"}}"#),
            ("config.json", r#"{"eos_token_id": [1, 2], "hidden_size": 8}"#),
        ]);
        assert_eq!(assets.tokenizer_config, json!({"bos_token": "<b>", "eos_token": {"content": "<e>"}}));
        assert_eq!(assets.generation_config, json!({"eos_token_id": [1, 2]}));
    }

    #[test]
    fn what_is_written_reads_back() {
        let assets = TextAssets {
            tokenizer_json: b"{}".to_vec(),
            tokenizer_config: json!({"bos_token": "<b>"}),
            chat_template: Some("{{ messages }}".into()),
            generation_config: json!({"eos_token_id": 1}),
        };
        let folder = folder(&[]);
        assets.write(folder.path()).unwrap();
        assert_eq!(TextAssets::from_folder(folder.path()).unwrap(), assets);
    }

    #[track_caller]
    fn refused(files: &[(&str, &str)], expected: &str) {
        let error = TextAssets::from_folder(folder(files).path()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("\n  fix: "), "{error}");
    }

    #[test]
    fn broken_files_are_named() {
        refused(&[], "tokenizer.json: No such file");
        refused(&[("tokenizer.json", "{}"), ("tokenizer_config.json", "{")], "tokenizer_config.json: is not JSON");
        refused(&[("tokenizer.json", "{}"), ("generation_config.json", "[]")], "is not a JSON object");
    }
}
