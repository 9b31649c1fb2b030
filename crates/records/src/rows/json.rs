//! A JSON document: an array of row objects, read element by element, or one object.

use std::io::{self, BufRead, Read};

use serde_json::{Map, Value};

use super::{ROW_LIMIT, Row, object_fields, parse_object, too_long};
use crate::fault::{Fault, shorten};

/// The elements of a top-level array. Elements are cut apart by their brackets and quotes alone and parsed one at a
/// time, so that a broken one costs only itself and a large file is never held at once.
pub(super) struct JsonArray<'a> {
    reader: Box<dyn BufRead + 'a>,
    /// Bytes taken from the reader ahead of need; those from `position` on are still to be scanned.
    buffer: Vec<u8>,
    position: usize,
    number: u64,
    offset: u64,
    state: ArrayState,
}

/// How many bytes are taken from the reader at a time.
const BUFFER: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq)]
enum ArrayState {
    BeforeArray,
    Inside,
    AfterArray,
    Done,
}

/// An element's extent while it is being scanned.
#[derive(Default)]
struct Element {
    bytes: Vec<u8>,
    length: u64,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Element {
    /// Adds a byte that is known to belong to the element.
    fn push(&mut self, byte: u8) {
        if self.bytes.len() < ROW_LIMIT {
            self.bytes.push(byte);
        }
        self.length += 1;
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Whether a comma or a closing bracket would now belong to the array and not to the element.
    fn is_closed(&self) -> bool {
        self.depth == 0 && !self.in_string
    }
}

impl<'a> JsonArray<'a> {
    pub(super) fn new(reader: Box<dyn BufRead + 'a>, offset: u64) -> Self {
        Self { reader, buffer: Vec::new(), position: 0, number: 0, offset, state: ArrayState::BeforeArray }
    }

    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        if self.position == self.buffer.len() {
            self.buffer.clear();
            self.position = 0;
            self.reader.by_ref().take(BUFFER as u64).read_to_end(&mut self.buffer)?;
        }
        let byte = self.buffer.get(self.position).copied();
        self.position += usize::from(byte.is_some());
        self.offset += u64::from(byte.is_some());
        Ok(byte)
    }

    fn next_element(&mut self) -> io::Result<Option<Row>> {
        if self.state == ArrayState::BeforeArray {
            while self.next_byte()?.is_some_and(|byte| byte != b'[') {}
            self.state = ArrayState::Inside;
        }
        if self.state == ArrayState::AfterArray {
            return self.after_array();
        }
        if self.state == ArrayState::Done {
            return Ok(None);
        }
        let mut element = Element::default();
        let mut start = self.offset;
        loop {
            let byte = self.next_byte()?;
            match byte {
                Some(b',') if element.is_closed() => break,
                Some(b']') if element.is_closed() => {
                    self.state = ArrayState::AfterArray;
                    if element.bytes.is_empty() {
                        return self.after_array();
                    }
                    break;
                }
                Some(byte) if element.bytes.is_empty() && byte.is_ascii_whitespace() => start = self.offset,
                Some(byte) => element.push(byte),
                None => {
                    self.state = ArrayState::Done;
                    return Ok(Some(self.truncated(&element)));
                }
            }
        }
        self.number += 1;
        if element.length > element.bytes.len() as u64 {
            let raw = shorten(&element.bytes, element.length);
            return Ok(Some(Row { number: self.number, fields: Err(too_long(element.length)), raw }));
        }
        Ok(Some(parse_object(self.number, element.bytes.trim_ascii_end(), start)))
    }

    /// Nothing but white space may follow the array.
    fn after_array(&mut self) -> io::Result<Option<Row>> {
        self.state = ArrayState::Done;
        while let Some(byte) = self.next_byte()? {
            if !byte.is_ascii_whitespace() {
                self.number += 1;
                let reason = format!("text after the array's end, at byte {}; it is not read", self.offset);
                let fix = "keep one array a file, or write JSON Lines, one object a line";
                return Ok(Some(Row { number: self.number, fields: Err(Fault::new(reason, fix)), raw: String::new() }));
            }
        }
        Ok(None)
    }

    fn truncated(&mut self, element: &Element) -> Row {
        self.number += 1;
        let reason = format!("the file ends inside its array, at byte {}", self.offset);
        let fix = "the file was cut short: fetch or write it again, and end the array with ]";
        Row { number: self.number, fields: Err(Fault::new(reason, fix)), raw: shorten(&element.bytes, element.length) }
    }
}

impl Iterator for JsonArray<'_> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<io::Result<Row>> {
        self.next_element().transpose()
    }
}

/// The largest document that is one object and must therefore be held whole.
const DOCUMENT_LIMIT: u64 = 64 << 20;

/// A document that is one object: columns of equal length (`{"text": ["a", "b"]}`), or a single row.
pub(super) fn read_object(reader: Box<dyn BufRead + '_>, offset: u64) -> io::Result<Result<Vec<Row>, Fault>> {
    let mut bytes = Vec::new();
    reader.take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > DOCUMENT_LIMIT {
        return Ok(Err(Fault::new(
            format!("one JSON object of more than {} MiB", DOCUMENT_LIMIT >> 20),
            "write the rows as JSON Lines, one object a line",
        )));
    }
    // White space before the object is kept: the lines of a syntax error are those of the file.
    let bytes = bytes.trim_ascii_end();
    let fields = match object_fields(bytes, offset) {
        Ok(fields) => fields,
        Err(fault) => return Ok(Err(Fault { fix: "correct the file, or write JSON Lines".into(), ..fault })),
    };
    if let Some(key) = wrapping_key(&fields) {
        return Ok(Err(Fault::new(
            format!("the rows are not at the top level but under the key `{key}`"),
            format!("keep the list only: jq -c '.[\"{key}\"][]' FILE > rows.jsonl"),
        )));
    }
    if let Some(length) = column_length(&fields) {
        return Ok(Ok((0..length).map(|row| transpose(&fields, row)).collect()));
    }
    let raw = shorten(bytes.trim_ascii(), bytes.trim_ascii().len() as u64);
    Ok(Ok(vec![Row { number: 1, fields: Ok(fields), raw }]))
}

/// The key under which a wrapper such as `{"version": 1, "data": [{...}]}` keeps its rows.
fn wrapping_key(fields: &Map<String, Value>) -> Option<&str> {
    let holds_rows = |value: &Value| {
        let row = value.as_array().and_then(|rows| rows.first()).and_then(Value::as_object);
        row.is_some_and(|row| !["role", "from", "content", "value"].iter().any(|key| row.contains_key(*key)))
    };
    let mut keys = fields.iter().filter(|(_, value)| holds_rows(value)).map(|(key, _)| key.as_str());
    let key = keys.next().filter(|key| !["messages", "conversations", "tools"].contains(key))?;
    keys.next().is_none().then_some(key)
}

/// The number of rows if every value is a list of the same length. A list of messages is a row's value, not a column.
fn column_length(fields: &Map<String, Value>) -> Option<usize> {
    let mut columns = fields.values().map(Value::as_array);
    let length = columns.next()??.len();
    let is_message = |value: &Value| value.get("role").is_some() || value.get("from").is_some();
    let all_columns = fields
        .values()
        .all(|value| value.as_array().is_some_and(|column| column.len() == length && !column.iter().any(is_message)));
    all_columns.then_some(length)
}

fn transpose(columns: &Map<String, Value>, row: usize) -> Row {
    let cell = |(name, column): (&String, &Value)| column.get(row).map(|value| (name.clone(), value.clone()));
    let fields: Map<String, Value> = columns.iter().filter_map(cell).collect();
    let raw = Value::Object(fields.clone()).to_string();
    Row { number: row as u64 + 1, fields: Ok(fields), raw: shorten(raw.as_bytes(), raw.len() as u64) }
}
