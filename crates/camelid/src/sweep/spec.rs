//! A sweep file as it may be written. Unknown keys are errors, as in recipes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use camelid_report::Scale;
use camelid_report::statistics::Better;
use serde::{Deserialize, Serialize};

use crate::recipe::{self, RecipeError, read_toml};

/// A sweep file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepSpec {
    /// Its directory is `runs/NAME` unless `directory` says otherwise.
    pub(crate) name: String,
    pub(crate) directory: Option<PathBuf>,
    /// Each variant is run with each of them.
    pub(crate) seeds: Vec<u64>,
    /// Changes to the recipe of every variant, as `camelid run --set` takes them.
    #[serde(default)]
    pub(crate) set: Vec<String>,
    /// Of intervals over seeds.
    #[serde(default = "usual_confidence")]
    pub(crate) confidence: f64,
    /// Metrics of the last evaluation that a table compares.
    #[serde(default)]
    pub(crate) table: Vec<String>,
    #[serde(default)]
    pub(crate) figure: Vec<FigureSpec>,
    pub(crate) variant: Vec<VariantSpec>,
}

fn usual_confidence() -> f64 {
    0.95
}

/// A recipe with changes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariantSpec {
    pub(crate) name: String,
    pub(crate) recipe: PathBuf,
    /// After those of the sweep.
    #[serde(default)]
    pub(crate) set: Vec<String>,
}

/// One metric against another: a point for each line of the last stage's `metrics.jsonl` that has both, a curve for each run.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FigureSpec {
    pub(crate) title: String,
    /// Metrics by name; `step` is one too.
    pub(crate) x: String,
    pub(crate) y: String,
    #[serde(default)]
    pub(crate) x_scale: ScaleSpec,
    #[serde(default)]
    pub(crate) y_scale: ScaleSpec,
    /// Which way each gets better.
    #[serde(default = "lower")]
    pub(crate) x_better: BetterSpec,
    #[serde(default = "higher")]
    pub(crate) y_better: BetterSpec,
    /// A point worse than what counts: with it, the frontier's hypervolume is measured.
    pub(crate) reference: Option<[f64; 2]>,
    /// Draw nothing beyond this x; what is measured there counts all the same.
    pub(crate) x_most: Option<f64>,
    /// Fit the laws of over-optimisation, with `x` a KL and `y` the gold reward.
    #[serde(default)]
    pub(crate) laws: bool,
    /// A curve that is known.
    pub(crate) curve: Option<Curve>,
}

fn lower() -> BetterSpec {
    BetterSpec::Lower
}

fn higher() -> BetterSpec {
    BetterSpec::Higher
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ScaleSpec {
    #[default]
    Linear,
    Log,
    /// The square root is drawn, as of a KL, whose root is a distance.
    Root,
}

impl ScaleSpec {
    pub(crate) fn scale(self) -> Scale {
        if self == Self::Log { Scale::Logarithmic } else { Scale::Linear }
    }

    /// What is drawn of a value.
    pub(crate) fn place(self, value: f64) -> f64 {
        if self == Self::Root { value.max(0.0).sqrt() } else { value }
    }

    pub(crate) fn label(self, name: &str) -> String {
        if self == Self::Root { format!("√ {name}") } else { name.to_owned() }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BetterSpec {
    Lower,
    Higher,
}

impl From<BetterSpec> for Better {
    fn from(spec: BetterSpec) -> Self {
        match spec {
            BetterSpec::Lower => Self::Lower,
            BetterSpec::Higher => Self::Higher,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Curve {
    /// Of `n`, the KL that the best of `n` samples has at most: `log n - (n - 1)/n`.
    BestOfNKl,
}

/// Keys that a sweep sets itself.
const OWN: [&str; 3] = ["seed", "name", "run_directory"];

/// Reads and checks a sweep, every variant's recipe included.
pub(crate) fn read(path: &Path) -> Result<SweepSpec, RecipeError> {
    let spec: SweepSpec = read_toml(path)?;
    check(&path.display().to_string(), &spec)?;
    for variant in &spec.variant {
        let place = |error: RecipeError| error.within(&format!("variant {:?}", variant.name));
        let changed = recipe::read(&variant.recipe, &spec.changes(variant, spec.seeds[0])).map_err(place)?;
        recipe::resolve(&variant.recipe, &changed).map_err(place)?;
    }
    Ok(spec)
}

fn check(place: &str, spec: &SweepSpec) -> Result<(), RecipeError> {
    let error = |what: String, fix: &str| Err(RecipeError::new(place.to_owned(), what, fix));
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    if !is_name(&spec.name) {
        return error(format!("`name` is {:?}", spec.name), "use letters, digits, - _ and .");
    }
    if spec.seeds.is_empty() {
        return error("`seeds` is empty".into(), "name at least one; three or more make intervals");
    }
    if spec.seeds.iter().collect::<BTreeSet<_>>().len() < spec.seeds.len() {
        return error("a seed stands there twice".into(), "name each once: the same seed gives the same run");
    }
    if spec.variant.is_empty() {
        return error("there is no variant".into(), "add a [[variant]] with a name and a recipe");
    }
    if !(spec.confidence > 0.0 && spec.confidence < 1.0) {
        return error(format!("`confidence` is {}", spec.confidence), "use a number between 0 and 1; 0.95 is usual");
    }
    let mut names = BTreeSet::new();
    for variant in &spec.variant {
        let name = &variant.name;
        if !is_name(name) {
            return error(format!("a variant's `name` is {name:?}"), "use letters, digits, - _ and .");
        }
        if !names.insert(name) {
            return error(format!("two variants are called {name:?}"), "give each a name of its own");
        }
        for change in spec.set.iter().chain(&variant.set) {
            let key = change.split('=').next().unwrap_or_default().trim();
            if OWN.contains(&key) {
                return error(format!("`set` changes `{key}`"), "leave it out: the sweep gives each run its own");
            }
        }
    }
    for figure in &spec.figure {
        if figure.reference.is_some_and(|[x, y]| !(x.is_finite() && y.is_finite())) {
            return error(format!("the `reference` of {:?} is not finite", figure.title), "name two numbers");
        }
        if figure.x_most.is_some_and(|most| !most.is_finite()) {
            return error(format!("`x_most` of {:?} is not finite", figure.title), "name a number, or leave it out");
        }
    }
    Ok(())
}

impl SweepSpec {
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_else(|| Path::new("runs").join(&self.name))
    }

    /// Where a run is at home.
    pub(crate) fn run_directory(&self, variant: &VariantSpec, seed: u64) -> PathBuf {
        self.directory().join(&variant.name).join(format!("seed-{seed}"))
    }

    /// All changes that make a variant's recipe the run with this seed.
    pub(crate) fn changes(&self, variant: &VariantSpec, seed: u64) -> Vec<String> {
        let directory = self.run_directory(variant, seed).display().to_string();
        let mut changes: Vec<String> = self.set.iter().chain(&variant.set).cloned().collect();
        changes.push(format!("name={:?}", format!("{}-seed-{seed}", variant.name)));
        changes.push(format!("seed={seed}"));
        changes.push(format!("run_directory={}", toml::Value::String(directory)));
        changes
    }

    pub(crate) fn runs(&self) -> usize {
        self.variant.len() * self.seeds.len()
    }
}
