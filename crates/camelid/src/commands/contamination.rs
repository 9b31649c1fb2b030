//! `camelid contamination`: test items in the data that a model was tuned on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use camelid_eval::overlap::contamination::{Index, Split, TaskContamination};
use camelid_records::raw_rows;
use serde_json::json;

use crate::cli::ContaminationArgs;
use crate::evaluations::{CONTAMINATION_FILE, Contamination, Source, is_evaluation, load, text_table};
use crate::recipe;

/// A line on progress comes at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &ContaminationArgs) -> anyhow::Result<()> {
    let mut index = Index::default();
    let mut directories = Vec::new();
    for items in &args.items {
        add_items(&mut index, items, args, &mut directories)?;
    }
    for train in &args.train {
        let (task, file) = task_and_file(train, "--train")?;
        add_rows(&mut index, task, Split::Train, Path::new(file), args.field.as_deref())?;
    }
    if index.is_empty() {
        bail!("there are no items to look for\n  fix: name other --items or --tasks");
    }
    let mut sources = Vec::new();
    for path in data_files(&args.data)? {
        sources.push(scan(&mut index, &path)?);
    }
    let found = Contamination { sources, tasks: index.report() };
    if args.json {
        println!("{:#}", json!(found));
    } else {
        print!("{}", to_text(&found));
    }
    let outs = match &args.out {
        Some(out) => vec![out.clone()],
        None => directories.iter().map(|directory| directory.join(CONTAMINATION_FILE)).collect(),
    };
    for out in outs {
        std::fs::write(&out, format!("{:#}\n", json!(found)))
            .with_context(|| format!("{} cannot be written", out.display()))?;
        eprintln!("{}", out.display());
    }
    Ok(())
}

fn add_items(
    index: &mut Index,
    items: &str,
    args: &ContaminationArgs,
    directories: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    let directory = Path::new(items);
    if !is_evaluation(directory) {
        let (task, file) = task_and_file(items, "--items")?;
        return add_rows(index, task, Split::Test, Path::new(file), args.field.as_deref());
    }
    let loaded = load(directory)?;
    if let Some(unknown) = args.tasks.iter().find(|task| !loaded.items.contains_key(*task)) {
        let known: Vec<&str> = loaded.items.keys().map(String::as_str).collect();
        bail!("--tasks: {items} has no `{unknown}`\n  fix: name some of {}", known.join(", "));
    }
    for (task, items) in loaded.items.iter().filter(|(task, _)| args.tasks.is_empty() || args.tasks.contains(task)) {
        for item in items {
            index.add(task, Split::Test, &item.item, [item.prompt.as_str()]);
        }
    }
    directories.push(directory.to_owned());
    Ok(())
}

fn task_and_file<'a>(text: &'a str, flag: &str) -> anyhow::Result<(&'a str, &'a str)> {
    match text.split_once('=') {
        Some((task, file)) if !task.is_empty() && !file.is_empty() => Ok((task, file)),
        _ => bail!(
            "{flag} {text}: is no evaluation's directory\n  fix: name one, or write TASK=FILE for a file of items"
        ),
    }
}

/// Items from a data file, called by their row.
fn add_rows(index: &mut Index, task: &str, split: Split, path: &Path, field: Option<&str>) -> anyhow::Result<()> {
    for row in raw_rows(path)? {
        let row = match row? {
            Ok(row) => row,
            Err(reject) => bail!("{}: {}\n  fix: {}", reject.provenance, reject.reason, reject.fix),
        };
        let name = row.provenance.row.to_string();
        match field {
            None => index.add(task, split, &name, row.texts()),
            Some(field) => {
                let Some(text) = row.fields.get(field).and_then(serde_json::Value::as_str) else {
                    let columns: Vec<&str> = row.fields.keys().map(String::as_str).collect();
                    bail!(
                        "{}: there is no text `{field}`\n  fix: name a column of the file with --field: {}",
                        row.provenance,
                        columns.join(", ")
                    );
                };
                index.add(task, split, &name, [text]);
            }
        }
    }
    Ok(())
}

/// Data files, those of recipes included, each once.
fn data_files(data: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in data {
        let is_recipe = path.extension().is_some_and(|extension| extension == "toml");
        let more = if is_recipe { recipe::tuning_files(path)? } else { vec![path.clone()] };
        if more.is_empty() {
            bail!("{}: no stage of this recipe reads data\n  fix: name the data files themselves", path.display());
        }
        for file in more {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn scan(index: &mut Index, path: &Path) -> anyhow::Result<Source> {
    let name = path.display().to_string();
    let mut source = Source { path: path.to_owned(), rows: 0, unread: 0 };
    let mut last = Instant::now();
    for row in raw_rows(path)? {
        match row? {
            Ok(row) => {
                source.rows += 1;
                index.scan(row.texts(), &name, row.provenance.row);
            }
            Err(_) => source.unread += 1,
        }
        if last.elapsed() >= LINE_EVERY {
            eprintln!("{name}: {} rows", source.rows);
            last = Instant::now();
        }
    }
    Ok(source)
}

fn to_text(found: &Contamination) -> String {
    let heading =
        ["task", "label", "items", "leaked", "verbatim", "8 words", "not judged", "train items", "of these used"];
    let mut table = vec![heading.map(str::to_owned).to_vec()];
    for TaskContamination { task, label, test, train, .. } in &found.tasks {
        let mut cells = vec![task.clone(), label.name().to_owned()];
        let counts = [test.items, test.leaked, test.verbatim, test.near, test.unjudged, train.items, train.leaked];
        cells.extend(counts.map(|count| count.to_string()));
        table.push(cells);
    }
    let mut text = text_table(&table);
    text += "\nLeaked: 13 words in a row, or a shorter item whole, stand in the data. Verbatim: such runs cover 80 % of the item.\n";
    for Source { path, rows, unread } in &found.sources {
        let _ = write!(text, "{}: {rows} rows", path.display());
        if *unread > 0 {
            let _ = write!(text, ", {unread} could not be read");
        }
        text.push('\n');
    }
    for task in &found.tasks {
        for example in &task.examples {
            let _ = write!(
                text,
                "\n{} {} ({:.0} % of it) in {}:{}\n  {}\n",
                task.task,
                example.item,
                example.coverage * 100.0,
                example.place.source,
                example.place.row,
                example.text.replace('\n', " ")
            );
        }
    }
    text
}
