//! CSV with a header line (RFC 4180; quoted fields may contain line ends).

use std::io::{self, BufRead};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::{ROW_LIMIT, Row, not_utf8, too_long};
use crate::fault::{Fault, shorten};

/// Records after the header; each cell is a string.
pub(super) struct CsvRows<'a> {
    records: Records<'a>,
    header: Vec<String>,
}

impl<'a> CsvRows<'a> {
    pub(super) fn new(reader: Box<dyn BufRead + 'a>, delimiter: u8, offset: u64) -> io::Result<Result<Self, Fault>> {
        let parser = ReaderBuilder::new().delimiter(delimiter).build();
        let mut records =
            Records { reader, parser, output: vec![0; 8 << 10], ends: vec![0; 64], raw: Vec::new(), offset };
        let Some(record) = records.next()? else {
            return Ok(Err(Fault::new("the file has no header line", "name the columns in the first line")));
        };
        Ok(record.cells(&records).and_then(check_header).map(|header| Self { records, header }))
    }

    fn fields(&self, record: &Record) -> Result<Map<String, Value>, Fault> {
        let cells = record.cells(&self.records)?;
        if cells.len() != self.header.len() {
            return Err(Fault::new(
                format!("{} fields where the header has {}", cells.len(), self.header.len()),
                "quote fields that contain the delimiter or line ends, double a quote inside a quoted field, and close \
                 every quoted field",
            ));
        }
        Ok(self.header.iter().cloned().zip(cells.into_iter().map(Value::String)).collect())
    }
}

fn check_header(cells: Vec<String>) -> Result<Vec<String>, Fault> {
    let header: Vec<String> = cells.into_iter().map(|cell| cell.trim().to_owned()).collect();
    for (index, name) in header.iter().enumerate() {
        if header[..index].contains(name) {
            return Err(Fault::new(
                format!("the header names the column `{name}` twice"),
                "give every column its own name in the first line",
            ));
        }
    }
    Ok(header)
}

impl Iterator for CsvRows<'_> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<io::Result<Row>> {
        let record = match self.records.next() {
            Ok(record) => record?,
            Err(error) => return Some(Err(error)),
        };
        let fields = self.fields(&record);
        let raw = shorten(self.records.raw.trim_ascii(), record.length);
        Some(Ok(Row { number: record.line, fields, raw }))
    }
}

/// Records cut apart, with a bound on their length that the `csv` crate's own reader does not have.
struct Records<'a> {
    reader: Box<dyn BufRead + 'a>,
    parser: Reader,
    /// The unquoted text of the current record's cells, one after the other.
    output: Vec<u8>,
    /// Where each cell of the current record ends in `output`.
    ends: Vec<usize>,
    /// The current record as it stands in the file, its beginning only.
    raw: Vec<u8>,
    offset: u64,
}

struct Record {
    line: u64,
    start: u64,
    length: u64,
    cells: usize,
    fits: bool,
}

impl Record {
    fn cells(&self, records: &Records<'_>) -> Result<Vec<String>, Fault> {
        if !self.fits {
            return Err(too_long(self.length));
        }
        if let Err(error) = std::str::from_utf8(&records.raw)
            && self.length == records.raw.len() as u64
        {
            return Err(not_utf8(error.valid_up_to(), self.start));
        }
        let mut start = 0;
        let mut cells = Vec::with_capacity(self.cells);
        for &end in &records.ends[..self.cells] {
            let cell = std::str::from_utf8(&records.output[start..end]).map_err(|_| not_utf8(0, self.start))?;
            cells.push(cell.to_owned());
            start = end;
        }
        Ok(cells)
    }
}

impl Records<'_> {
    fn next(&mut self) -> io::Result<Option<Record>> {
        self.skip_line_ends()?;
        let mut record = Record { line: self.parser.line(), start: self.offset, length: 0, cells: 0, fits: true };
        let mut written = 0;
        self.raw.clear();
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (state, used, wrote, ended) =
                self.parser.read_record(buffer, &mut self.output[written..], &mut self.ends[record.cells..]);
            let room = ROW_LIMIT.saturating_sub(self.raw.len()).min(used);
            self.raw.extend_from_slice(&buffer[..room]);
            self.reader.consume(used);
            self.offset += used as u64;
            record.length += used as u64;
            written += wrote;
            record.cells += ended;
            if record.length > ROW_LIMIT as u64 {
                record.fits = false;
            }
            if !record.fits {
                // Read to the record's end, over and over into the same space.
                written = 0;
                record.cells = 0;
            }
            match state {
                ReadRecordResult::OutputFull if record.fits => self.output.resize(self.output.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if record.fits => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
                ReadRecordResult::Record => return Ok(Some(record)),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Passes over blank lines, so that a record's line is that of its first character.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let blank = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if blank == 0 {
                return Ok(());
            }
            let lines: u64 = buffer[..blank].iter().map(|&byte| u64::from(byte == b'\n')).sum();
            self.reader.consume(blank);
            self.offset += blank as u64;
            self.parser.set_line(self.parser.line() + lines);
        }
    }
}
