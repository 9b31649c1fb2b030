//! Parquet: a file made by pyarrow (`tools/make_parquet_fixture.py`), and columns written here.

use std::{path::Path, sync::Arc};

use camelid_records::{Dataset, Format, ReadOptions, Record, Role, read, read_bytes};
use parquet::{
    data_type::{ByteArray, ByteArrayType},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use serde_json::json;

/// A file with one required byte-array column `text`, marked as text or not.
fn text_column(annotation: &str, values: &[&[u8]]) -> Vec<u8> {
    let schema = parse_message_type(&format!("message rows {{ required binary text {annotation}; }}")).unwrap();
    let mut file = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut file, Arc::new(schema), Arc::new(WriterProperties::new())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = values.iter().map(|value| value.to_vec().into()).collect();
    column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    file
}

fn parse(bytes: &[u8]) -> Result<Dataset, camelid_records::RecordError> {
    read_bytes(Path::new("data.parquet"), bytes, &ReadOptions::default())
}

#[test]
fn text_marked_and_unmarked() {
    for annotation in ["(UTF8)", ""] {
        let dataset = parse(&text_column(annotation, &[b"one", "zw\u{f6}lf".as_bytes()])).unwrap();
        assert_eq!(dataset.format, Format::Text);
        assert_eq!(dataset.records.len(), 2);
        assert_eq!(dataset.records[1].provenance().row, 2);
    }
}

#[test]
fn bytes_that_are_not_text() {
    let unmarked = parse(&text_column("", &[b"one", b"caf\xe9"])).unwrap();
    assert_eq!(unmarked.rejects.len(), 1);
    assert_eq!(unmarked.rejects[0].reason, "text: this is a list, not a string");
    let marked = parse(&text_column("(UTF8)", &[b"one", b"caf\xe9"])).unwrap_err();
    assert!(marked.to_string().starts_with("data.parquet: not a readable Parquet file (row 2: "), "{marked}");
}

/// Every byte of a small file changed, one at a time: an answer or an error, no panic gets out.
#[test]
fn damage_anywhere() {
    let good = text_column("(UTF8)", &[b"one", b"two"]);
    for index in 0..good.len() {
        let mut bad = good.clone();
        bad[index] ^= 0xff;
        let _ = parse(&bad);
        let _ = parse(&bad[..index]);
    }
}

#[test]
fn nested_messages_from_pyarrow() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/messages.parquet");
    let dataset = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(dataset.format, Format::Messages);
    let rows: Vec<u64> = dataset.records.iter().map(|record| record.provenance().row).collect();
    assert_eq!(rows, [1, 3]);
    let Record::Conversation(first) = &dataset.records[0] else { panic!("not a conversation") };
    let turns: Vec<(Role, &str, Option<f32>)> =
        first.messages.iter().map(|turn| (turn.role, turn.content.as_str(), turn.weight)).collect();
    assert_eq!(
        turns,
        [
            (Role::User, "Weather in Oslo?", None),
            (Role::Assistant, "", None),
            (Role::Tool, "3 degrees", None),
            (Role::Assistant, "It is 3 degrees.", Some(0.5)),
        ]
    );
    // The struct's fields that this call does not use are null in the file and must not reach the template.
    assert_eq!(first.messages[1].tool_calls, Some(json!([{"function": {"name": "weather", "city": "Oslo"}}])));
    assert_eq!(dataset.rejects.len(), 1);
    assert_eq!(dataset.rejects[0].provenance.row, 2);
    assert_eq!(
        dataset.rejects[0].reason,
        "messages[1].weight: the weight \"NaN\" is not a finite number of at least 0"
    );
}
