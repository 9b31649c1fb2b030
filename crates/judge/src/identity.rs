//! Which judge it was.

use serde::{Deserialize, Serialize};

use crate::strategy::{Strategy, fingerprint};

/// All that decides a judge's verdicts. A certificate of one judge says nothing of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its name, as the user gave it.
    pub model: String,
    /// The hash of its weights, vocabulary and template, where they are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// The server that it answers on. What weights a server has cannot be known from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    pub strategy: String,
    /// The hash of everything that the strategy says.
    pub prompts: String,
    /// What else decides answers: the kind of log-probabilities, the seed.
    pub settings: String,
}

impl Identity {
    /// Of a model under a strategy; `weights` or `server` is set by whoever knows it.
    pub fn new(model: impl Into<String>, strategy: &dyn Strategy, settings: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            weights: None,
            server: None,
            strategy: strategy.name().to_owned(),
            prompts: fingerprint(strategy),
            settings: settings.into(),
        }
    }

    /// The name under which certificates are kept. Where weights are known, the name of the model is not part of it.
    pub fn hash(&self) -> String {
        let model = self.weights.as_ref().unwrap_or(&self.model);
        let mut hasher = blake3::Hasher::new();
        for part in [model, self.server.as_deref().unwrap_or_default(), &self.strategy, &self.prompts, &self.settings] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::by_name;

    #[test]
    fn what_changes_a_judge_changes_its_hash() {
        let judge = Identity::new("m", by_name("rules").unwrap().as_ref(), "forced");
        let others = [
            Identity::new("n", by_name("rules").unwrap().as_ref(), "forced"),
            Identity::new("m", by_name("vanilla").unwrap().as_ref(), "forced"),
            Identity { server: Some("http://localhost/v1".into()), ..judge.clone() },
            Identity { weights: Some("f00".into()), ..judge.clone() },
            Identity { prompts: "0".into(), ..judge.clone() },
            Identity { settings: "reported".into(), ..judge.clone() },
        ];
        assert!(others.iter().all(|other| other.hash() != judge.hash()));
        let renamed = Identity { model: "n".into(), ..others[3].clone() };
        assert_eq!(renamed.hash(), others[3].hash());
    }
}
