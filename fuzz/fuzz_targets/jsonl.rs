//! Training data: JSONL, JSON and CSV, plain and compressed. What is accepted must survive being written and read again.

#![no_main]

use std::path::Path;

use camelid_records::{Format, ReadOptions, Record, read_bytes, to_row, write_jsonl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    // The `parquet` crate's panics are caught where it is called, but the fuzzer stops at them all the same.
    if bytes.starts_with(b"PAR1") {
        return;
    }
    let name = ["data.jsonl", "data.json", "data.csv", "data.tsv"][usize::from(choice & 3)];
    let format = Format::ALL.get(usize::from(choice >> 2)).copied();
    let Ok(dataset) = read_bytes(Path::new(name), bytes, &ReadOptions { format, ..ReadOptions::default() }) else {
        return;
    };
    let Some(first) = dataset.records.first() else { return };

    let written_format = |record: &Record| match record {
        Record::Conversation(_) => Format::Messages,
        Record::Completion { .. } => Format::PromptCompletion,
        Record::Text { .. } => Format::Text,
    };
    let format = written_format(first);
    let same: Vec<&Record> = dataset.records.iter().filter(|record| written_format(record) == format).collect();
    let mut file = Vec::new();
    write_jsonl(&mut file, same.iter().copied()).expect("memory takes every write");
    let options = ReadOptions { format: Some(format), ..ReadOptions::default() };
    let again = read_bytes(Path::new("data.jsonl"), &file, &options).expect("what was written can be read");
    assert_eq!(again.rejects, []);
    let rows = |records: &mut dyn Iterator<Item = &Record>| records.map(to_row).collect::<Vec<_>>();
    assert_eq!(rows(&mut again.records.iter()), rows(&mut same.into_iter()));
});
