//! What the golden files hold, and small models made from them.
#![allow(dead_code)] // Each test file uses a part.

use std::collections::BTreeMap;

use camelid_records::{Conversation, Message, Provenance, Record, Role};
use camelid_text::{Text, TextAssets};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

/// `templates.json` of `tools/golden_text.py`.
#[derive(Deserialize)]
pub(crate) struct Templates {
    pub(crate) now: String,
    pub(crate) tokenizer: Json,
    pub(crate) templates: BTreeMap<String, String>,
    pub(crate) ends: BTreeMap<String, (String, String)>,
    pub(crate) conversations: BTreeMap<String, Vec<Message>>,
    pub(crate) cases: Vec<Case>,
}

/// A conversation through a template.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) template: String,
    pub(crate) conversation: String,
    pub(crate) tools: Option<Json>,
    pub(crate) arguments: Map<String, Json>,
    pub(crate) rendered: Rendered,
    pub(crate) prompt: Rendered,
    pub(crate) ids: Option<Vec<u32>>,
    pub(crate) learned: Option<Vec<u32>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rendered {
    Text(String),
    Error(String),
}

impl Templates {
    pub(crate) fn read() -> Self {
        serde_json::from_str(include_str!("../golden/templates.json")).unwrap()
    }

    /// The small tokenizer with one of the templates.
    pub(crate) fn text(&self, template: &str) -> Text {
        let (bos, eos) = &self.ends[template];
        let source = Some(self.templates[template].clone());
        text(&self.tokenizer, source, &json!({ "bos_token": bos, "eos_token": eos }))
            .with_clock(self.now.parse().unwrap())
    }

    pub(crate) fn record(&self, case: &Case) -> Record {
        Record::Conversation(Conversation {
            messages: self.conversations[&case.conversation].clone(),
            tools: case.tools.clone(),
            template_arguments: case.arguments.clone(),
            provenance: provenance(),
        })
    }
}

pub(crate) fn text(tokenizer: &Json, chat_template: Option<String>, config: &Json) -> Text {
    let assets = TextAssets {
        tokenizer_json: tokenizer.to_string().into_bytes(),
        tokenizer_config: config.clone(),
        chat_template,
        generation_config: json!({}),
    };
    Text::new(assets).unwrap()
}

pub(crate) fn provenance() -> Provenance {
    Provenance { source: "data.jsonl".into(), row: 7 }
}

pub(crate) fn conversation(messages: &[(Role, &str)]) -> Conversation {
    let messages = messages.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    Conversation { messages, tools: None, template_arguments: Map::new(), provenance: provenance() }
}
