//! Which kind of file this is: by its first bytes where they tell, by its name where they do not.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
};

use bytes::Bytes;
use serde_json::Value;

use super::{
    Row, Rows,
    compression::decompress,
    csv::CsvRows,
    json::{JsonArray, read_object},
    lines::JsonLines,
    parquet::parquet_rows,
};
use crate::RecordError;

/// How much of a file is looked at before its kind is decided.
const PEEK: u64 = 1 << 20;

const PARQUET: &[u8] = b"PAR1";

/// A file's rows.
pub(crate) fn open(path: &Path) -> Result<Rows<'static>, RecordError> {
    let file = File::open(path).map_err(|error| cannot_read(path, error))?;
    let is_folder = file.metadata().is_ok_and(|metadata| metadata.is_dir());
    if is_folder {
        return Err(RecordError::File {
            path: path.to_owned(),
            what: "this is a folder".into(),
            fix: "name the data files in it".into(),
        });
    }
    let mut reader = BufReader::new(file);
    let first = reader.fill_buf().map_err(|error| cannot_read(path, error))?;
    if first.starts_with(PARQUET) {
        return parquet_rows(path, reader.into_inner());
    }
    stream(path, Box::new(reader))
}

/// The rows of a file that is already in memory. `path` names it in messages and gives its extension.
pub(crate) fn open_bytes<'a>(path: &Path, bytes: &'a [u8]) -> Result<Rows<'a>, RecordError> {
    if bytes.starts_with(PARQUET) {
        return parquet_rows(path, Bytes::copy_from_slice(bytes));
    }
    stream(path, Box::new(bytes))
}

fn stream<'a>(path: &Path, file: Box<dyn BufRead + 'a>) -> Result<Rows<'a>, RecordError> {
    let (mut plain, compression) = decompress(file).map_err(|error| cannot_read(path, error))?;
    let broken = |error: io::Error| broken_stream(path, compression, error);

    let mut head = Vec::new();
    plain.by_ref().take(PEEK).read_to_end(&mut head).map_err(broken)?;
    if let Some((what, fix)) = foreign(&head) {
        return Err(RecordError::File { path: path.to_owned(), what: what.into(), fix: fix.into() });
    }
    let mark = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let whole = (head.len() as u64) < PEEK;
    let kind = Kind::decide(&head[mark..], whole, &extension(path));
    let mut start = Cursor::new(head);
    start.set_position(mark as u64);
    let reader: Box<dyn BufRead + 'a> = Box::new(start.chain(plain));
    let offset = mark as u64;

    let rows: Box<dyn Iterator<Item = io::Result<Row>> + 'a> = match kind {
        Kind::Lines => Box::new(JsonLines::new(reader, offset)),
        Kind::Array => Box::new(JsonArray::new(reader, offset)),
        Kind::Object => match read_object(reader, offset).map_err(broken)? {
            Ok(rows) => Box::new(rows.into_iter().map(Ok)),
            Err(fault) => {
                return Err(RecordError::File { path: path.to_owned(), what: fault.reason, fix: fault.fix });
            }
        },
        Kind::Csv { delimiter } => match CsvRows::new(reader, delimiter, offset).map_err(broken)? {
            Ok(rows) => Box::new(rows),
            Err(fault) => {
                return Err(RecordError::File { path: path.to_owned(), what: fault.reason, fix: fault.fix });
            }
        },
        Kind::Empty => {
            return Err(RecordError::File {
                path: path.to_owned(),
                what: "the file is empty".into(),
                fix: "check the path, or write the file again".into(),
            });
        }
        Kind::Unknown => {
            return Err(RecordError::File {
                path: path.to_owned(),
                what: "neither JSON nor Parquet by its first bytes, nor CSV by its name".into(),
                fix: "use .jsonl, .json, .csv, .tsv or .parquet, plain or compressed (.gz, .zst); plain text becomes \
                      JSONL with one {\"text\": \"...\"} a line"
                    .into(),
            });
        }
    };
    let path = path.to_owned();
    Ok(Box::new(rows.map(move |row| row.map_err(|error| broken_stream(&path, compression, error)))))
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Kind {
    Lines,
    Array,
    Object,
    Csv { delimiter: u8 },
    Empty,
    Unknown,
}

impl Kind {
    /// `head`: the file's beginning; `whole`: there is nothing after it.
    fn decide(head: &[u8], whole: bool, extension: &str) -> Self {
        let Some(start) = head.iter().position(|byte| !byte.is_ascii_whitespace()) else {
            return if whole { Kind::Empty } else { Kind::Unknown };
        };
        let head = &head[start..];
        let newline = head.iter().position(|&byte| byte == b'\n');
        let (line, rest) = head.split_at(newline.unwrap_or(head.len()));
        match extension {
            "tsv" => return Kind::Csv { delimiter: b'\t' },
            "csv" => return Kind::Csv { delimiter: delimiter(line) },
            _ => {}
        }
        let named_lines = matches!(extension, "jsonl" | "ndjson");
        let line_is_value = serde_json::from_slice::<Value>(line);
        let only_line = rest.trim_ascii().is_empty();
        match head[0] {
            b'[' if named_lines && line_is_value.is_ok() && !only_line => Kind::Lines,
            b'[' => Kind::Array,
            b'{' if named_lines => Kind::Lines,
            b'{' => match line_is_value {
                Ok(_) if only_line => Kind::Object,
                Err(error) if error.is_eof() && newline.is_some() => Kind::Object,
                _ => Kind::Lines,
            },
            _ if named_lines || extension == "json" => Kind::Lines,
            _ => Kind::Unknown,
        }
    }
}

/// A semicolon or tab where the header has no comma: what spreadsheets write in many locales.
fn delimiter(header: &[u8]) -> u8 {
    let has = |byte| header.contains(&byte);
    match () {
        () if has(b',') => b',',
        () if has(b'\t') => b'\t',
        () if has(b';') => b';',
        () => b',',
    }
}

/// Files that cannot be read as text rows, with what they are and what to do.
fn foreign(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let known: [(&[u8], &str, &str); 6] = [
        (PARQUET, "a Parquet file inside another compression", "decompress it; Parquet compresses its own pages"),
        (b"ARROW1", "an Arrow IPC file", "write it as Parquet or JSONL, for example with datasets' to_parquet"),
        (b"PK\x03\x04", "a zip archive", "unpack it and name the file inside"),
        (b"\x1f\x8b", "gzip data inside another compression", "decompress it once"),
        (b"\xff\xfe", "UTF-16 text", "save it as UTF-8: iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff", "UTF-16 text", "save it as UTF-8: iconv -f UTF-16 -t UTF-8"),
    ];
    known.iter().find(|(magic, _, _)| head.starts_with(magic)).map(|&(_, what, fix)| (what, fix))
}

/// The extension in lower case, below `.gz` and `.zst`.
fn extension(path: &Path) -> String {
    let lower = |path: &Path| path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match lower(path) {
        Some(outer) if matches!(outer.as_str(), "gz" | "gzip" | "zst" | "zstd") => {
            path.file_stem().and_then(|stem| lower(Path::new(stem))).unwrap_or_default()
        }
        Some(extension) => extension,
        None => String::new(),
    }
}

fn cannot_read(path: &Path, source: io::Error) -> RecordError {
    let fix = match source.kind() {
        io::ErrorKind::NotFound => "check the path; a relative one starts where the command runs",
        io::ErrorKind::PermissionDenied => "allow this user to read it",
        _ => "check the file and the disk it is on",
    };
    RecordError::Io { path: path.to_owned(), source, fix: fix.into() }
}

fn broken_stream(path: &Path, compression: Option<&str>, source: io::Error) -> RecordError {
    match compression {
        Some(name) => RecordError::File {
            path: path.to_owned(),
            what: format!("the {name} data is damaged or cut short ({source})"),
            fix: "fetch or compress the file again".into(),
        },
        None => cannot_read(path, source),
    }
}
