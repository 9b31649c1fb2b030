//! Short names of models and what they stand for on the hub.

use anyhow::bail;

/// A model that may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) organisation: String,
    pub(super) name: String,
    /// Its folder in Camelid's cache.
    pub(super) folder: String,
    /// Whether the Python package carries it.
    pub(super) in_package: bool,
}

impl Known {
    /// `organisation/name`.
    pub(super) fn repository(&self) -> String {
        format!("{}/{}", self.organisation, self.name)
    }
}

/// The one model in the Python package.
const IN_PACKAGE: &str = "smollm2-135m-instruct";

const NAMES: [(&str, &str, &str); 25] = [
    ("smollm2-135m", "HuggingFaceTB", "SmolLM2-135M"),
    ("smollm2-135m-instruct", "HuggingFaceTB", "SmolLM2-135M-Instruct"),
    ("smollm2-360m", "HuggingFaceTB", "SmolLM2-360M"),
    ("smollm2-360m-instruct", "HuggingFaceTB", "SmolLM2-360M-Instruct"),
    ("smollm2-1.7b", "HuggingFaceTB", "SmolLM2-1.7B"),
    ("smollm2-1.7b-instruct", "HuggingFaceTB", "SmolLM2-1.7B-Instruct"),
    ("qwen2.5-0.5b", "Qwen", "Qwen2.5-0.5B"),
    ("qwen2.5-0.5b-instruct", "Qwen", "Qwen2.5-0.5B-Instruct"),
    ("qwen2.5-1.5b", "Qwen", "Qwen2.5-1.5B"),
    ("qwen2.5-1.5b-instruct", "Qwen", "Qwen2.5-1.5B-Instruct"),
    ("qwen3-0.6b", "Qwen", "Qwen3-0.6B"),
    ("qwen3-0.6b-base", "Qwen", "Qwen3-0.6B-Base"),
    ("qwen3-1.7b", "Qwen", "Qwen3-1.7B"),
    ("qwen3-1.7b-base", "Qwen", "Qwen3-1.7B-Base"),
    ("llama-3.2-1b", "meta-llama", "Llama-3.2-1B"),
    ("llama-3.2-1b-instruct", "meta-llama", "Llama-3.2-1B-Instruct"),
    ("gemma-3-270m", "google", "gemma-3-270m"),
    ("gemma-3-270m-it", "google", "gemma-3-270m-it"),
    ("gemma-3-1b-pt", "google", "gemma-3-1b-pt"),
    ("gemma-3-1b-it", "google", "gemma-3-1b-it"),
    ("pythia-14m", "EleutherAI", "pythia-14m"),
    ("pythia-70m", "EleutherAI", "pythia-70m"),
    ("pythia-160m", "EleutherAI", "pythia-160m"),
    ("pythia-410m", "EleutherAI", "pythia-410m"),
    ("mistral-7b-instruct-v0.3", "mistralai", "Mistral-7B-Instruct-v0.3"),
];

/// What a name stands for. A full name of a known model shares its folder with the short one.
pub(super) fn resolve(name: &str) -> anyhow::Result<Known> {
    let lower = name.to_ascii_lowercase();
    let known = |(short, organisation, model): &(&str, &str, &str)| Known {
        organisation: (*organisation).to_owned(),
        name: (*model).to_owned(),
        folder: (*short).to_owned(),
        in_package: *short == IN_PACKAGE,
    };
    if let Some(entry) = NAMES.iter().find(|(short, organisation, model)| {
        *short == lower || lower == format!("{organisation}/{model}").to_ascii_lowercase()
    }) {
        return Ok(known(entry));
    }
    if let Some((organisation, model)) = name.split_once('/').filter(|(a, b)| is_part(a) && is_part(b)) {
        return Ok(Known {
            organisation: organisation.to_owned(),
            name: model.to_owned(),
            folder: format!("{organisation}--{model}"),
            in_package: false,
        });
    }
    let nearest = NAMES
        .iter()
        .map(|(short, ..)| (strsim::jaro_winkler(short, &lower), *short))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let fix = match nearest {
        Some((_, short)) => format!("did you mean {short}? Or name a path, or organisation/name as on huggingface.co"),
        None => "name a path, organisation/name as on huggingface.co, or a known model such as smollm2-135m-instruct"
            .to_owned(),
    };
    bail!("{name}: there is no such path, and no known model has this name\n  fix: {fix}")
}

/// Characters that the hub allows, and nothing that means another folder.
fn is_part(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && !text.contains("--")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
