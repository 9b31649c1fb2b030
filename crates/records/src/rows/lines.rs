//! JSON Lines.

use std::io::{self, BufRead};

use super::{ROW_LIMIT, Row, parse_object, too_long};
use crate::fault::shorten;

/// One line without its end, or the beginning of one that is too long.
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    /// Length in the file, without the line end; more than `bytes.len()` where the line was too long to keep.
    pub(super) length: u64,
    /// Length in the file, line end included.
    pub(super) consumed: u64,
}

/// The next line, or `None` at the end. Memory stays bounded by [`ROW_LIMIT`]: the rest of a longer line is skipped.
pub(super) fn next_line(reader: &mut dyn BufRead) -> io::Result<Option<Line>> {
    let mut line = Line { bytes: Vec::new(), length: 0, consumed: 0 };
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok((line.consumed > 0).then_some(line));
        }
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = ROW_LIMIT.saturating_sub(line.bytes.len()).min(part.len());
        line.bytes.extend_from_slice(&part[..room]);
        line.length += part.len() as u64;
        let used = part.len() + usize::from(end.is_some());
        line.consumed += used as u64;
        reader.consume(used);
        if end.is_some() {
            if line.length == line.bytes.len() as u64 && line.bytes.last() == Some(&b'\r') {
                line.bytes.pop();
                line.length -= 1;
            }
            return Ok(Some(line));
        }
    }
}

/// One object a line; blank lines are passed over but counted.
pub(super) struct JsonLines<'a> {
    reader: Box<dyn BufRead + 'a>,
    number: u64,
    offset: u64,
}

impl<'a> JsonLines<'a> {
    /// `offset`: bytes already taken from the file, such as a byte order mark.
    pub(super) fn new(reader: Box<dyn BufRead + 'a>, offset: u64) -> Self {
        Self { reader, number: 0, offset }
    }
}

impl Iterator for JsonLines<'_> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<io::Result<Row>> {
        loop {
            let line = match next_line(&mut *self.reader) {
                Ok(line) => line?,
                Err(error) => return Some(Err(error)),
            };
            let start = self.offset;
            self.offset += line.consumed;
            self.number += 1;
            if line.length > line.bytes.len() as u64 {
                let raw = shorten(&line.bytes, line.length);
                return Some(Ok(Row { number: self.number, fields: Err(too_long(line.length)), raw }));
            }
            if !line.bytes.trim_ascii().is_empty() {
                return Some(Ok(parse_object(self.number, &line.bytes, start)));
            }
        }
    }
}
