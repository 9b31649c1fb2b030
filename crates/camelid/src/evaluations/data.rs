//! A task's data on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use camelid_eval::task::{Item, Resolved, Row, Source, Task};
use camelid_records::{RawRow, raw_rows};
use serde_json::{Map, Value as Json};

/// Endings that a file may have beside the name that a task gives it.
const COMPRESSED: [&str; 3] = ["", ".gz", ".zst"];

/// Of a file that a star stands for, what the star stood for.
const STAR: &str = "_file";

/// What is asked and what exemplars are taken from.
pub(crate) struct TaskData {
    pub(crate) items: Vec<Item>,
    pub(crate) pool: Vec<Item>,
    /// Ready exemplars by group.
    pub(crate) texts: BTreeMap<String, String>,
}

/// The data folder has nothing that the task can use.
#[derive(Debug, thiserror::Error)]
#[error("{task}: there is no data in {}\n  fix: {get}", folder.display())]
pub(crate) struct NoData {
    task: String,
    folder: PathBuf,
    get: String,
}

/// Reads a task's items, at most `limit` of them, spread over the whole where there are more, and what exemplars come from.
pub(crate) fn read(task: &Task, folder: &Path, limit: Option<usize>, resolved: &Resolved) -> anyhow::Result<TaskData> {
    let (shots, seed) = (resolved.few_shot, resolved.seed);
    if task.definition.retrieval.is_some() {
        let items = spread(task.made_up(seed), limit);
        return Ok(TaskData { items, pool: Vec::new(), texts: BTreeMap::new() });
    }
    let few_shot = &task.definition.few_shot;
    let source = task.definition.sources.iter().find(|source| is_there(source, &source.evaluate, folder));
    let source = source.ok_or_else(|| NoData {
        task: task.name().to_owned(),
        folder: folder.to_owned(),
        get: task.definition.get.trim().replace("DATA", &folder.display().to_string()),
    })?;
    let all = task.items(source, &source.evaluate, rows(source, &source.evaluate, folder)?)?;
    let from_own = few_shot.given.is_empty() && few_shot.split.is_none() && few_shot.text.is_none();
    let pool = match few_shot.split.as_ref().filter(|_| shots > 0) {
        Some(split) if is_there(source, split, folder) => task.items(source, split, rows(source, split, folder)?)?,
        Some(split) => bail!(
            "{}: exemplars come from the split `{split}`, which is not in {}\n  fix: {}, or use --shots 0",
            task.name(),
            folder.display(),
            task.definition.get.trim()
        ),
        None if from_own && shots > 0 => all.clone(),
        None => Vec::new(),
    };
    let mut texts = BTreeMap::new();
    if let Some(pattern) = few_shot.text.as_ref().filter(|_| shots > 0) {
        for group in all.iter().filter_map(|item| item.group.as_ref()) {
            if texts.contains_key(group) {
                continue;
            }
            let path = folder.join(pattern.replace("{{ group }}", group));
            let text = std::fs::read_to_string(&path).with_context(|| {
                format!("{}: the exemplars {} cannot be read\n  fix: use --shots 0", task.name(), path.display())
            })?;
            texts.insert(group.clone(), task.ready_exemplars(&text)?);
        }
    }
    Ok(TaskData { items: spread(all, limit), pool, texts })
}

/// The files that [`read`] reads items and exemplars from; none where the data is not there.
pub(crate) fn paths(task: &Task, folder: &Path) -> Vec<PathBuf> {
    let Some(source) = task.definition.sources.iter().find(|source| is_there(source, &source.evaluate, folder)) else {
        return Vec::new();
    };
    let splits = std::iter::once(&source.evaluate).chain(&task.definition.few_shot.split);
    let patterns = splits.filter_map(|split| source.files.get(split));
    let mut paths: Vec<PathBuf> = patterns.flat_map(|pattern| files(pattern, folder)).map(|(path, _)| path).collect();
    paths.dedup();
    paths
}

/// Every n-th item, so that all subjects of a sorted file are there.
fn spread(items: Vec<Item>, limit: Option<usize>) -> Vec<Item> {
    let (count, Some(limit)) = (items.len(), limit) else { return items };
    if limit >= count {
        return items;
    }
    items
        .into_iter()
        .enumerate()
        .filter(|(place, _)| (place + 1) * limit / count > place * limit / count)
        .map(|(_, item)| item)
        .collect()
}

fn is_there(source: &Source, split: &str, folder: &Path) -> bool {
    source.files.get(split).is_some_and(|pattern| !files(pattern, folder).is_empty())
}

/// The files that a name stands for, each with what its star stands for. A star may stand in a folder's name too.
fn files(pattern: &str, folder: &Path) -> Vec<(PathBuf, Option<String>)> {
    let compressed = |path: PathBuf| {
        let mut found = COMPRESSED.iter().map(|ending| PathBuf::from(format!("{}{ending}", path.display())));
        found.find(|path| path.is_file())
    };
    let Some((before, after)) = pattern.split_once('*') else {
        return compressed(folder.join(pattern)).map(|path| (path, None)).into_iter().collect();
    };
    let (parent, before) = before.rsplit_once('/').unwrap_or(("", before));
    let (after, below) = after.split_once('/').map_or((after, None), |(after, below)| (after, Some(below)));
    let parent = folder.join(parent);
    let mut found: Vec<(PathBuf, Option<String>)> = parent
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let star = |name: &str| name.strip_prefix(before)?.strip_suffix(after).map(str::to_owned);
            if let Some(below) = below {
                return Some((compressed(parent.join(&name).join(below))?, Some(star(&name)?)));
            }
            let whole = COMPRESSED.iter().find_map(|ending| star(name.strip_suffix(ending)?));
            Some((parent.join(&name), Some(whole?)))
        })
        .collect();
    found.sort();
    found
}

fn rows(source: &Source, split: &str, folder: &Path) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (path, star) in source.files.get(split).map(|pattern| files(pattern, folder)).unwrap_or_default() {
        let read = match &source.columns {
            Some(columns) => table(&path, columns)?,
            None => objects(&path)?,
        };
        rows.extend(read.into_iter().map(|mut row| {
            if let Some(star) = &star {
                row.fields.insert(STAR.to_owned(), star.as_str().into());
            }
            row
        }));
    }
    Ok(rows)
}

fn objects(path: &Path) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for row in raw_rows(path)? {
        match row? {
            Ok(RawRow { provenance, fields }) => {
                rows.push(Row { place: format!("{}, row {}", provenance.source, provenance.row), fields });
            }
            // An item that is left out would change the figure without a word.
            Err(reject) => bail!(
                "{}, row {}: {}\n  fix: {}",
                reject.provenance.source,
                reject.provenance.row,
                reject.reason,
                reject.fix
            ),
        }
    }
    Ok(rows)
}

/// A table without a header; tabs where the name says so, and then quotes are text.
fn table(path: &Path, columns: &[String]) -> anyhow::Result<Vec<Row>> {
    let tabs = path.extension().is_some_and(|extension| extension == "tsv");
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).quoting(!tabs).delimiter(if tabs { b'\t' } else { b',' });
    let mut reader = builder.from_path(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut rows = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let place = format!("{}, row {}", path.display(), number + 1);
        let record = record.with_context(|| format!("{place}: is no row\n  fix: save the file as UTF-8"))?;
        if record.len() != columns.len() {
            bail!(
                "{place}: has {} cells, not the {} of {}\n  fix: get the file again",
                record.len(),
                columns.len(),
                columns.join(", ")
            );
        }
        let fields: Map<String, Json> =
            columns.iter().zip(&record).map(|(name, cell)| (name.clone(), cell.into())).collect();
        rows.push(Row { place, fields });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use camelid_eval::task::Exemplars;

    use super::*;

    fn one_shot() -> Resolved {
        Resolved {
            chat: false,
            few_shot: 1,
            exemplars: Exemplars::Turns,
            seed: 0,
            max_tokens: 4,
            sampling: None,
            hints: None,
        }
    }

    fn task(source: &str) -> Task {
        let text = format!(
            "name = \"t\"\nversion = 1\ntitle = \"t\"\naxis = \"reasoning\"\nlicence = \"MIT\"\nget = \"put it into DATA\"\n\
             [[source]]\nevaluate = \"test\"\n{source}\n[prompt]\nitem = \"{{{{ question }}}}\"\n[score]\nkind = \"generation\"\n\
             extract = \"number\"\nmax_tokens = 4\n"
        );
        Task::parse("t.toml", &text).unwrap()
    }

    #[test]
    fn what_is_absent_says_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            read(&task("files = { test = \"t.jsonl\" }"), folder.path(), None, &one_shot()).err().unwrap().to_string();
        assert!(error.ends_with(&format!("\n  fix: put it into {}", folder.path().display())), "{error}");
    }

    #[test]
    fn broken_rows_are_named_by_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        let whole = task("files = { test = \"t.jsonl\" }");
        for (second, expected) in [
            ("{\"question\": \"1+1\"", "row 2: not JSON"),
            ("{\"question\": \"?\"}", "row 2: task t: there is no field `answer`"),
        ] {
            std::fs::write(&path, format!("{{\"question\": \"1+1\", \"answer\": \"2\"}}\n{second}\n")).unwrap();
            let error = read(&whole, folder.path(), None, &one_shot()).err().unwrap().to_string();
            assert!(error.contains("t.jsonl, ") && error.contains(expected) && error.contains("\n  fix: "), "{error}");
        }
    }

    #[test]
    fn a_star_stands_for_files_and_tables_need_no_header() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("m_de.tsv"), "Zwei \"und\" eins?\t3\n").unwrap();
        std::fs::write(folder.path().join("m_bn.tsv"), "?\t1\n").unwrap();
        let task = task(
            "files = { test = \"m_*.tsv\" }\ncolumns = [\"question\", \"answer\"]\nfields = { group = \"_file\" }",
        );
        let data = read(&task, folder.path(), None, &one_shot()).unwrap();
        let groups: Vec<_> = data.items.iter().map(|item| item.group.clone().unwrap()).collect();
        assert_eq!(groups, ["bn", "de"]);
        assert_eq!(data.items[1].fields["question"], "Zwei \"und\" eins?");
        std::fs::write(folder.path().join("m_bn.tsv"), "?\t1\textra\n").unwrap();
        let error = read(&task, folder.path(), None, &one_shot()).err().unwrap().to_string();
        assert!(error.contains("m_bn.tsv, row 1: has 3 cells"), "{error}");
    }

    #[test]
    fn a_limit_takes_items_from_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let lines: Vec<String> = (0..10).map(|i| format!("{{\"question\": \"{i}\", \"answer\": \"{i}\"}}\n")).collect();
        let lines = lines.concat();
        std::fs::write(folder.path().join("t.jsonl"), lines).unwrap();
        let data = read(&task("files = { test = \"t.jsonl\" }"), folder.path(), Some(3), &one_shot()).unwrap();
        let ids: Vec<_> = data.items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["test-3", "test-6", "test-9"]);
        assert_eq!(data.pool.len(), 10);
    }
}
