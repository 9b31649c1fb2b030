//! Data files of a recipe: named, found, and read with the recipe's mapping.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use camelid_records::{Format, ReadOptions};
use serde::Serialize;

use super::RecipeError;
use super::entry::StageEntry;
use super::spec::{Source, SourceTable, Sources};

/// A file of records and how to read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct DataSource {
    pub(crate) path: PathBuf,
    /// Absent: found from the first rows and reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<Format>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) columns: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// Factor on the loss of its demonstrations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<f32>,
    /// Text in front of each of its prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<String>,
}

impl DataSource {
    pub(crate) fn read_options(&self) -> ReadOptions {
        ReadOptions { format: self.format, columns: self.columns.clone(), limit: self.limit }
    }
}

/// Checks that each file exists; a relative path is looked for where the command runs, then beside the recipe.
pub(crate) fn resolve_sources(
    recipe: &Path,
    place: &str,
    key: &str,
    sources: &Sources,
) -> Result<Vec<DataSource>, RecipeError> {
    let list = match sources {
        Sources::One(source) => vec![source.clone()],
        Sources::List(list) => list.clone(),
    };
    if list.is_empty() {
        let what = format!("`{key}` is an empty list");
        return Err(RecipeError::new(place.to_owned(), what, "name at least one file"));
    }
    list.into_iter().map(|source| resolve_source(recipe, place, key, source)).collect()
}

/// All files that a recipe's stages train on, held-out ones excepted.
pub(crate) fn tuning_files(recipe: &Path) -> Result<Vec<PathBuf>, RecipeError> {
    let spec = super::read(recipe, &[])?;
    let mut files = Vec::new();
    for (index, stage) in spec.stage.iter().enumerate() {
        let StageEntry::Tuning(stage) = stage else { continue };
        let place = format!("{}, stage {}", recipe.display(), index + 1);
        let pretraining = stage.pretraining.as_ref().map(super::ppo::PretrainingSpec::sources);
        for sources in std::iter::once(&stage.data).chain(pretraining) {
            files.extend(resolve_sources(recipe, &place, "data", sources)?.into_iter().map(|source| source.path));
        }
    }
    Ok(files)
}

fn resolve_source(recipe: &Path, place: &str, key: &str, source: Source) -> Result<DataSource, RecipeError> {
    let source = match source {
        Source::Path(path) => DataSource { path, ..DataSource::default() },
        Source::Table(SourceTable { path, format, columns, limit, weight, condition }) => {
            DataSource { path, format, columns, limit, weight, condition }
        }
    };
    let path = &source.path;
    let beside = recipe.parent().unwrap_or(Path::new("")).join(path);
    let Some(found) = [path.clone(), beside].into_iter().find(|candidate| candidate.exists()) else {
        let what = format!("`{key}`: the file {} does not exist", path.display());
        return Err(RecipeError::new(place.to_owned(), what, near_files(path)));
    };
    if found.is_dir() {
        let what = format!("`{key}`: {} is a folder", found.display());
        return Err(RecipeError::new(place.to_owned(), what, "name the files inside it, as a list"));
    }
    if source.limit == Some(0) {
        let what = format!("`{key}`: limit = 0 reads nothing from {}", found.display());
        return Err(RecipeError::new(place.to_owned(), what, "leave limit out to read all rows"));
    }
    if let Some(weight) = source.weight.filter(|weight| !(*weight > 0.0 && weight.is_finite())) {
        let what = format!("`{key}`: the weight of {} is {weight}", found.display());
        return Err(RecipeError::new(place.to_owned(), what, "use a number above 0; 1 is usual"));
    }
    Ok(DataSource { path: found, ..source })
}

/// Suggests the file most like the one that is missing.
fn near_files(path: &Path) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wanted = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let near = std::fs::read_dir(folder).ok().and_then(|entries| {
        entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .map(|name| (strsim::jaro_winkler(&wanted, &name), name))
            .filter(|(likeness, _)| *likeness > 0.85)
            .max_by(|a, b| a.0.total_cmp(&b.0))
    });
    match near {
        Some((_, name)) => format!("did you mean {}?", folder.join(name).display()),
        None => "check the path; it is relative to where the command runs, or to the recipe".into(),
    }
}
