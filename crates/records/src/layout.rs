//! Which columns hold what: the format of a file, decided once from its first rows.

mod suggest;

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{
    Format, ReadOptions, RecordError,
    convert::{is_transcript, truth},
    format::Field,
    rows::Row,
};

use suggest::{is_tree, nearest};

/// A format, and the column that holds each of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) format: Format,
    columns: BTreeMap<&'static str, String>,
}

impl Layout {
    /// Whether the file has a column for a field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.columns.contains_key(field)
    }

    /// The column that holds a field; the field's own name where the file has none.
    pub(crate) fn column(&self, field: &'static str) -> &str {
        self.columns.get(field).map_or(field, String::as_str)
    }

    /// Takes a field's value out of a row. Null counts as absent.
    pub(crate) fn take(&self, row: &mut Map<String, Value>, field: &'static str) -> Option<Value> {
        let value = row.get_mut(self.columns.get(field)?)?.take();
        (!value.is_null()).then_some(value)
    }

    /// Finds the layout of the rows in `sample`, among `formats`.
    pub(crate) fn decide(
        path: &Path,
        sample: &[Row],
        options: &ReadOptions,
        formats: &'static [Format],
    ) -> Result<Self, RecordError> {
        let columns = Columns::of(path, sample, formats)?;
        columns.check_mapping(options)?;
        if let Some(format) = options.format {
            if !formats.contains(&format) {
                let names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
                return Err(RecordError::Format {
                    path: path.to_owned(),
                    what: format!("the format `{format}` holds nothing that this use of the file needs"),
                    fix: format!("use one of {}, or leave `format` out", names.join(", ")),
                });
            }
            return columns.resolve(format, options).ok_or_else(|| columns.incomplete(format, options));
        }
        let mut fitting: Vec<Layout> = formats.iter().filter_map(|&format| columns.fit(format, options)).collect();
        if let Some(most) = fitting.iter().map(|layout| layout.format.says()).max() {
            fitting.retain(|layout| layout.format.says() == most);
        }
        // Raw text beside structured columns is a rendering of them, and a transcript is more than raw text.
        if fitting.len() > 1 {
            fitting.retain(|layout| layout.format != Format::Text);
        }
        // Labels of steps are more than a list of responses, a pair is more than a label.
        for (special, general) in [(Format::Stepwise, Format::Ranked), (Format::Pair, Format::Unpaired)] {
            if fitting.iter().any(|layout| layout.format == special) {
                fitting.retain(|layout| layout.format != general);
            }
        }
        match fitting.len() {
            1 => Ok(fitting.remove(0)),
            0 => Err(columns.unknown(options)),
            _ => Err(columns.ambiguous(&fitting)),
        }
    }
}

/// The columns of the first rows.
struct Columns {
    path: PathBuf,
    /// In the order of the file, each with its first value that is not null.
    found: Vec<(String, Value)>,
    /// Those that come into question.
    formats: &'static [Format],
}

impl Columns {
    fn of(path: &Path, sample: &[Row], formats: &'static [Format]) -> Result<Self, RecordError> {
        let mut found: Vec<(String, Value)> = Vec::new();
        let mut first_fault = None;
        for row in sample {
            let fields = match &row.fields {
                Ok(fields) => fields,
                Err(fault) => {
                    first_fault.get_or_insert((row.number, fault));
                    continue;
                }
            };
            for (name, value) in fields {
                match found.iter().position(|(known, _)| known == name) {
                    None if found.len() < COLUMN_LIMIT => found.push((name.clone(), value.clone())),
                    Some(known) if found[known].1.is_null() => found[known].1 = value.clone(),
                    None | Some(_) => {}
                }
            }
        }
        match first_fault {
            Some((number, fault)) if found.is_empty() => Err(RecordError::File {
                path: path.to_owned(),
                what: format!("none of the first {} rows can be read; row {number}: {}", sample.len(), fault.reason),
                fix: fault.fix.clone(),
            }),
            None if sample.is_empty() => Err(RecordError::File {
                path: path.to_owned(),
                what: "the file has no rows".into(),
                fix: "check the path, or write the file again".into(),
            }),
            _ => Ok(Self { path: path.to_owned(), found, formats }),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.found.iter().any(|(found, _)| found == name)
    }

    fn example(&self, name: &str) -> Option<&Value> {
        self.found.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    fn names(&self) -> String {
        match self.found.len() {
            0 => "none".into(),
            _ => self.found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        }
    }

    /// Every key of the mapping must be a field of the format (of any, where none is given), every value a column.
    fn check_mapping(&self, options: &ReadOptions) -> Result<(), RecordError> {
        let formats = options.format.map_or_else(|| self.formats.to_vec(), |format| vec![format]);
        let mut fields: Vec<&str> = formats.iter().flat_map(|format| format.fields()).map(|field| field.name).collect();
        fields.sort_unstable();
        fields.dedup();
        for (field, column) in &options.columns {
            if !fields.contains(&field.as_str()) {
                let of = options.format.map_or_else(|| "any format".into(), |format| format!("the format `{format}`"));
                return Err(RecordError::Column {
                    path: self.path.clone(),
                    what: format!("the mapping names `{field}`, which is no field of {of}"),
                    fix: nearest(field, &fields)
                        .map_or_else(|| format!("use {}", fields.join(", ")), |near| format!("did you mean `{near}`?")),
                });
            }
            if !self.has(column) {
                let names: Vec<&str> = self.found.iter().map(|(name, _)| name.as_str()).collect();
                return Err(RecordError::Column {
                    path: self.path.clone(),
                    what: format!("the mapping wants `{field}` from the column `{column}`, which the file lacks"),
                    fix: match nearest(column, &names) {
                        Some(near) => format!("did you mean `{near}`? The file has {}", self.names()),
                        None => format!("use a column of the file: {}", self.names()),
                    },
                });
            }
        }
        Ok(())
    }

    /// The layout of `format`, if each required field has a column.
    fn resolve(&self, format: Format, options: &ReadOptions) -> Option<Layout> {
        let mut columns = BTreeMap::new();
        for field in format.fields() {
            match self.column_of(field, options) {
                Some(column) => {
                    columns.insert(field.name, column);
                }
                None if field.required => return None,
                None => {}
            }
        }
        Some(Layout { format, columns })
    }

    fn column_of(&self, field: &Field, options: &ReadOptions) -> Option<String> {
        let default = || field.columns.iter().find(|name| self.has(name)).map(|&name| name.to_owned());
        options.columns.get(field.name).cloned().or_else(default)
    }

    /// As [`resolve`](Self::resolve), but only where the mapping and the values speak for the format too.
    fn fit(&self, format: Format, options: &ReadOptions) -> Option<Layout> {
        let layout = self.resolve(format, options)?;
        let belongs = |name: &String| format.fields().iter().any(|field| field.name == name);
        if !options.columns.keys().all(belongs) {
            return None;
        }
        if format == Format::HhTranscript {
            let example = self.example(layout.column("transcript"))?.as_str()?;
            return is_transcript(example).then_some(layout);
        }
        if format == Format::Oasst {
            return is_tree(self.example(layout.column("prompt"))?).then_some(layout);
        }
        if format == Format::Unpaired {
            let has = |field| layout.columns.contains_key(field);
            // Among prompts, a `label` may be anything that somebody wanted to know of them.
            let judges = !self.formats.contains(&Format::Prompt)
                || self.example(layout.column("label")).is_some_and(|label| truth(label, "label").is_ok());
            return (judges && (has("messages") || (has("prompt") && has("completion")))).then_some(layout);
        }
        Some(layout)
    }

    fn incomplete(&self, format: Format, options: &ReadOptions) -> RecordError {
        let missing = format.fields().iter().filter(|field| field.required && self.column_of(field, options).is_none());
        let missing: Vec<String> = missing.map(|field| format!("`{}`", field.columns.join("` or `"))).collect();
        RecordError::Format {
            path: self.path.clone(),
            what: format!(
                "the format `{format}` needs the column {}; the file has {}",
                missing.join(" and "),
                self.names()
            ),
            fix: self.suggest_mapping(format).unwrap_or_else(|| {
                let field = format.fields().first().map_or("text", |field| field.name);
                format!("name the column, such as columns = {{ {field} = \"...\" }}, or leave `format` out")
            }),
        }
    }

    fn unknown(&self, options: &ReadOptions) -> RecordError {
        let mut what = format!("no format fits the columns {}\n  the formats and their columns:", self.names());
        for &format in self.formats {
            let _ = write!(what, "\n    {format:<18}");
            let fields = format.fields();
            let names = |required| fields.iter().filter(move |field| field.required == required);
            let needed: Vec<String> = names(true).map(|field| field.columns.join(" or ")).collect();
            what += &needed.join(", ");
            let more: Vec<&str> = names(false).flat_map(|field| field.columns).copied().collect();
            if !more.is_empty() {
                let _ = write!(what, " (optional: {})", more.join(", "));
            }
        }
        if !options.columns.is_empty() {
            let mapped: Vec<&str> = options.columns.keys().map(String::as_str).collect();
            let _ = write!(what, "\n  the mapping gives {}", mapped.join(", "));
        }
        let fix = self.formats.iter().find_map(|&format| self.suggest_mapping(format)).unwrap_or_else(|| {
            let example = if self.formats.contains(&Format::Pair) {
                "chosen = \"...\", rejected = \"...\""
            } else {
                "instruction = \"...\", output = \"...\""
            };
            format!("say which column holds what, such as columns = {{ {example} }}")
        });
        RecordError::Format { path: self.path.clone(), what, fix }
    }

    fn ambiguous(&self, fitting: &[Layout]) -> RecordError {
        let names: Vec<String> = fitting.iter().map(|layout| layout.format.to_string()).collect();
        let choices: Vec<String> = names.iter().map(|name| format!("format = \"{name}\"")).collect();
        RecordError::Format {
            path: self.path.clone(),
            what: format!("the columns {} fit several formats: {}", self.names(), names.join(", ")),
            fix: format!("choose {}", choices.join(" or ")),
        }
    }
}

/// More columns than this are not remembered: a file whose rows are maps from words to numbers has no format anyway.
const COLUMN_LIMIT: usize = 100;
