//! The reward `judge`: a language model that says how good an answer is.

use camelid_objectives::reward::judge::Scale;
use camelid_train::rewards::Wording;
use serde::{Deserialize, Serialize};

use super::RecipeError;

/// What a judge is asked where the recipe does not say.
const PROMPT: &str = "Below is what somebody asked an assistant, and what the assistant answered. Judge whether the answer does what was \
                      asked, is true, and says it clearly without padding.\n\n[Asked]\n{prompt}\n\n[Answered]\n{answer}\n\n[Rating]\n\
                      From {low} (useless or harmful) to {high} (could not be better), say one whole number and nothing else.";

/// The table `judge` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JudgeSpec {
    /// The address of an OpenAI-compatible server; without it the model is loaded here.
    server: Option<String>,
    /// The name that the server answers under, or a model to load.
    model: Option<String>,
    /// Environment variable that holds the server's key.
    key_variable: Option<String>,
    /// With places for `{prompt}`, `{answer}`, `{low}` and `{high}`.
    prompt: Option<String>,
    /// The lowest and the highest rating.
    scale: Option<[u8; 2]>,
    /// Requests to the server at a time, and attempts for each.
    concurrency: Option<usize>,
    attempts: Option<u32>,
    /// More than this share of ratings that cannot be read ends the run.
    max_unparsed: Option<f64>,
}

/// As [`JudgeSpec`], resolved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JudgePlan {
    #[serde(flatten)]
    pub(crate) place: JudgePlace,
    pub(crate) prompt: String,
    scale: [u8; 2],
    pub(crate) max_unparsed: f64,
}

/// Who judges.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum JudgePlace {
    Server {
        server: String,
        /// Empty: whatever the server has.
        model: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        key_variable: Option<String>,
        concurrency: usize,
        attempts: u32,
    },
    Here {
        model: String,
    },
}

impl JudgePlan {
    pub(crate) fn scale(&self) -> Option<Scale> {
        Scale::new(self.scale[0], self.scale[1])
    }

    pub(crate) fn wording(&self) -> Option<Wording> {
        Wording::parse(&self.prompt)
    }
}

pub(super) fn resolve_judge(place: &str, spec: &JudgeSpec) -> Result<JudgePlan, RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let of_servers = [
        ("key_variable", spec.key_variable.is_some()),
        ("concurrency", spec.concurrency.is_some()),
        ("attempts", spec.attempts.is_some()),
    ];
    let model = spec.model.clone().unwrap_or_default();
    let who = match &spec.server {
        None => {
            if let Some((key, _)) = of_servers.into_iter().find(|(_, is_set)| *is_set) {
                return error(format!("`judge.{key}` is read with `server` only"), "remove it, or name a server");
            }
            if model.trim().is_empty() {
                return error("`judge` names no judge".into(), "give a `server`, or a `model` to load here");
            }
            JudgePlace::Here { model }
        }
        Some(server) => {
            if !server.starts_with("http://") && !server.starts_with("https://") {
                let what = format!("`judge.server` is {server:?}, which is no address");
                return error(what, "use one like \"http://127.0.0.1:8000\"; start one with camelid serve");
            }
            let (concurrency, attempts) = (spec.concurrency.unwrap_or(8), spec.attempts.unwrap_or(6));
            if concurrency == 0 || attempts == 0 {
                return error("`judge.concurrency` or `judge.attempts` is 0".into(), "use at least 1");
            }
            JudgePlace::Server {
                server: server.clone(),
                model,
                key_variable: spec.key_variable.clone(),
                concurrency,
                attempts,
            }
        }
    };
    let plan = JudgePlan {
        place: who,
        prompt: spec.prompt.clone().unwrap_or_else(|| PROMPT.into()),
        scale: spec.scale.unwrap_or([1, 9]),
        max_unparsed: spec.max_unparsed.unwrap_or(0.1),
    };
    if plan.wording().is_none() {
        return error("`judge.prompt` has no {answer} in it: every answer would be rated alike".into(), "put it in");
    }
    if plan.scale().is_none() {
        let [low, high] = plan.scale;
        let what = format!("`judge.scale` is from {low} to {high}");
        return error(
            what,
            "use two digits, the lower first; 1 to 9 is usual: ratings of two digits have no token of their own",
        );
    }
    if !(0.0..=1.0).contains(&plan.max_unparsed) {
        let what = format!("`judge.max_unparsed` is {}", plan.max_unparsed);
        return error(what, "use a share from 0 to 1; 0.1 is usual");
    }
    Ok(plan)
}
