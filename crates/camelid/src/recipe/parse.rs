//! From a recipe's text and `--set` changes to a `RecipeSpec`, with errors that show the place and the fix.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::RecipeError;
use super::entry::KIND;
use super::spec::RecipeSpec;

/// Reads a recipe and applies `--set KEY=VALUE` changes.
pub(crate) fn read(path: &Path, changes: &[String]) -> Result<RecipeSpec, RecipeError> {
    parse(&path.display().to_string(), &text_of(path)?, changes)
}

/// Reads any other file of the same kind, as strictly.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, RecipeError> {
    let (name, text) = (path.display().to_string(), text_of(path)?);
    toml::from_str(&text).map_err(|error| explain(place(&name, &text, error.span()), &error))
}

fn text_of(path: &Path) -> Result<String, RecipeError> {
    std::fs::read_to_string(path).map_err(|error| {
        let fix = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path; recipes/ holds some to start from",
            std::io::ErrorKind::InvalidData => "save the file as UTF-8 text",
            std::io::ErrorKind::IsADirectory => "name the recipe file, not its folder",
            _ => "make the file readable",
        };
        RecipeError::new(path.display().to_string(), format!("the recipe cannot be read: {error}"), fix)
    })
}

/// As [`read`], on text; `name` is what errors call it.
pub(crate) fn parse(name: &str, text: &str, changes: &[String]) -> Result<RecipeSpec, RecipeError> {
    let written = of_text(text).map_err(|error| explain(place(name, text, error.span()), &error));
    if changes.is_empty() {
        return written;
    }
    let changed = apply(name, text, changes)?;
    of_text(&changed).or_else(|error| {
        // The fault is the file's own, or that of the first change that breaks it.
        written?;
        for count in 1..=changes.len() {
            let changed = apply(name, text, &changes[..count])?;
            if let Err(error) = of_text(&changed) {
                return Err(explain(format!("--set {}", changes[count - 1]), &error));
            }
        }
        Err(explain(name.to_owned(), &error))
    })
}

/// The kind of a stage decides which keys it may have, so it is put before them.
fn of_text(text: &str) -> Result<RecipeSpec, toml::de::Error> {
    let mut table = DeTable::parse(text)?;
    if let Some(DeValue::Array(stages)) = table.get_mut().get_mut("stage").map(Spanned::get_mut) {
        for stage in stages.iter_mut() {
            let DeValue::Table(stage) = stage.get_mut() else { continue };
            let Some(kind) = stage.remove_entry(KIND) else { continue };
            let rest = std::mem::take(stage);
            stage.extend(std::iter::once(kind).chain(rest));
        }
    }
    RecipeSpec::deserialize(toml::de::Deserializer::from(table))
}

fn apply(name: &str, text: &str, changes: &[String]) -> Result<String, RecipeError> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        RecipeError::new(place(name, text, error.span()), error.message().to_owned(), "correct the TOML syntax there")
    })?;
    for change in changes {
        let at = format!("--set {change}");
        let Some((key, value)) = change.split_once('=') else {
            return Err(RecipeError::new(at, "there is no `=`".into(), "write --set key=value"));
        };
        // A bare word is a string: --set model=qwen3-0.6b needs no quotes.
        let value: Value = value.trim().parse().unwrap_or_else(|_| value.trim().into());
        set(document.as_table_mut(), key.trim(), value).map_err(|(what, fix)| RecipeError::new(at, what, fix))?;
    }
    Ok(document.to_string())
}

/// Sets a dotted key. A number picks an element of a list of tables, counted from 1 as in messages; without a number
/// the list must have one element.
fn set(table: &mut dyn TableLike, key: &str, value: Value) -> Result<(), (String, String)> {
    let Some((head, rest)) = key.split_once('.') else {
        table.insert(key, Item::Value(value));
        return Ok(());
    };
    let child = table.entry(head).or_insert_with(|| Item::Table(toml_edit::Table::new()));
    if let Some(list) = child.as_array_of_tables_mut() {
        let (number, rest) = match rest.split_once('.') {
            Some((digits, rest)) if digits.chars().all(|c| c.is_ascii_digit()) => (digits.parse().unwrap_or(0), rest),
            _ if list.len() == 1 => (1, rest),
            _ => {
                let what = format!("the recipe has {} entries of `{head}`", list.len());
                return Err((what, format!("say which, such as {head}.1.{rest}")));
            }
        };
        let count = list.len();
        let Some(entry) = usize::checked_sub(number, 1).and_then(|index| list.get_mut(index)) else {
            return Err((format!("there is no {head} number {number}"), format!("use a number from 1 to {count}")));
        };
        return set(entry, rest, value);
    }
    match child.as_table_like_mut() {
        Some(child) => set(child, rest, value),
        None => Err((format!("`{head}` is a plain value, not a table"), format!("set {head} itself"))),
    }
}

fn place(name: &str, text: &str, span: Option<std::ops::Range<usize>>) -> String {
    match span.and_then(|span| text.get(..span.start)) {
        Some(before) => format!("{name}, line {}", before.matches('\n').count() + 1),
        None => name.to_owned(),
    }
}

fn explain(place: String, error: &toml::de::Error) -> RecipeError {
    let message = error.message();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (what, fix) = match quoted.split_first() {
        Some((&wrong, expected)) if message.starts_with("unknown ") => {
            let kind = if message.starts_with("unknown field") { "key" } else { "value" };
            (format!("unknown {kind} `{wrong}`"), nearest(wrong, expected))
        }
        Some((missing, _)) if message.starts_with("missing field") => {
            (format!("`{missing}` is missing"), format!("add `{missing} = ...`"))
        }
        _ if message.starts_with("duplicate key") => (message.to_owned(), "keep one of the two".into()),
        _ => (
            message.replace("expected usize", "expected a whole number from 0 up"),
            "correct the value; camelid plan shows what each key takes".into(),
        ),
    };
    RecipeError::new(place, what, fix)
}

/// Serde lists what it expected; the nearest of those is most likely what was meant.
fn nearest(wrong: &str, expected: &[&str]) -> String {
    let likeness = |name: &&&str| strsim::jaro_winkler(wrong, name);
    match expected.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))) {
        Some(near) if likeness(&near) > 0.75 => format!("did you mean `{near}`?"),
        Some(_) => format!("use one of {}", expected.join(", ")),
        None => "remove it".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::entry::StageEntry;

    const RECIPE: &str = "model = \"m\"\n\n[[stage]]\nkind = \"sft\"\ndata = \"d.jsonl\"\nlora = { rank = 8 }\n";

    fn changed(changes: &[&str]) -> Result<RecipeSpec, RecipeError> {
        let changes: Vec<String> = changes.iter().map(|&c| c.to_owned()).collect();
        parse("r.toml", RECIPE, &changes)
    }

    /// Their data may not be there, but every key is one that exists.
    #[test]
    fn the_recipes_that_are_shipped_parse() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
        let mut count = 0;
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let result = if text.contains("[[variant]]") {
                    read_toml::<crate::sweep::SweepSpec>(&path).map(|_| ())
                } else {
                    read(&path, &[]).map(|_| ())
                };
                result.unwrap_or_else(|error| panic!("{error}"));
                count += 1;
            }
        }
        assert!(count >= 3, "{count}");
    }

    #[test]
    fn changes_reach_nested_keys_with_and_without_a_stage_number() {
        let spec = changed(&["stage.learning_rate=2e-4", "stage.1.lora.rank=4", "model=other", "seed=9"]).unwrap();
        assert_eq!(spec.model, "other");
        assert_eq!(spec.seed, 9);
        let StageEntry::Tuning(stage) = &spec.stage[0] else { panic!("{spec:?}") };
        assert_eq!(stage.learning_rate, Some(2e-4));
        assert_eq!(stage.lora.as_ref().unwrap().rank, Some(4));
    }

    #[test]
    fn a_misspelt_key_is_placed_and_corrected() {
        let text = RECIPE.replace("lora =", "lorra =");
        let error = parse("r.toml", &text, &[]).unwrap_err().to_string();
        assert!(error.contains("r.toml, line 6"), "{error}");
        assert!(error.contains("did you mean `lora`?"), "{error}");
    }

    #[test]
    fn the_kind_may_stand_anywhere_and_decides_which_keys_there_are() {
        let text = "model = \"m\"\n\n[[stage]]\ndata = \"d.jsonl\"\nsamples = 4\nbeta = 0.1\nkind = \"KIND\"\n";
        let read = |kind: &str| parse("r.toml", &text.replace("KIND", kind), &[]);
        assert!(matches!(read("preference").unwrap().stage[0], StageEntry::Tuning(_)));
        let error = read("best-of-n").unwrap_err().to_string();
        assert!(error.starts_with("r.toml, line 6: unknown key `beta`"), "{error}");
        let error = read("best-of-m").unwrap_err().to_string();
        assert!(error.contains("line 7") && error.contains("did you mean `best-of-n`?"), "{error}");
        let error = parse("r.toml", &text.replace("kind", "knd"), &[]).unwrap_err().to_string();
        assert!(error.contains("`kind` is missing"), "{error}");
    }

    #[test]
    fn impossible_changes_name_themselves() {
        for (change, expected) in [
            ("seed", "there is no `=`"),
            ("stage.3.epochs=1", "there is no stage number 3"),
            ("model.size=1", "`model` is a plain value"),
            ("stage.epoch=1", "did you mean `epochs`?"),
        ] {
            let error = changed(&[change]).unwrap_err().to_string();
            assert!(error.contains(expected), "{change}: {error}");
        }
    }
}
