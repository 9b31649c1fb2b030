//! What must hold for every input.

use std::{fmt::Write, path::Path};

use camelid_records::{Conversation, Format, Message, Provenance, ReadOptions, Record, Role, read_bytes, write_jsonl};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn provenance(row: usize) -> Provenance {
    Provenance { source: "again.jsonl".into(), row: row as u64 + 1 }
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop::sample::select(vec![Role::User, Role::Assistant]);
    let weight = prop::option::of((0.0_f32..4.0).prop_map(|weight| weight));
    (role, ".*[a-z]", weight, prop::option::of("[a-z]{1,8}")).prop_map(|(role, content, weight, name)| Message {
        weight,
        name,
        tool_calls: (role == Role::Assistant && content.len() % 3 == 0)
            .then(|| json!([{"function": {"name": content}}])),
        role,
        content,
    })
}

fn conversation() -> impl Strategy<Value = Record> {
    let arguments = prop::collection::btree_map("[a-z]{1,4}", any::<i32>(), 0..3);
    (prop::collection::vec(message(), 1..5), prop::bool::ANY, arguments).prop_map(|(messages, tools, arguments)| {
        Record::Conversation(Conversation {
            messages,
            tools: tools.then(|| json!([{"type": "function"}])),
            template_arguments: arguments
                .into_iter()
                .map(|(key, value)| (key, Value::from(value)))
                .collect::<Map<_, _>>(),
            provenance: provenance(0),
        })
    })
}

/// Records of one kind, as a file holds them.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let completion = (".*", ".+").prop_map(|(prompt, completion)| Record::Completion {
        prompt,
        completion,
        provenance: provenance(0),
    });
    let text = ".*[a-z].*".prop_map(|text| Record::Text { text, provenance: provenance(0) });
    prop_oneof![
        prop::collection::vec(conversation(), 1..6),
        prop::collection::vec(completion, 1..6),
        prop::collection::vec(text, 1..6),
    ]
    .prop_map(|mut records| {
        for (row, record) in records.iter_mut().enumerate() {
            match record {
                Record::Conversation(conversation) => conversation.provenance = provenance(row),
                Record::Completion { provenance: own, .. } | Record::Text { provenance: own, .. } => {
                    *own = provenance(row);
                }
            }
        }
        records
    })
}

fn format_of(record: &Record) -> Format {
    match record {
        Record::Conversation(_) => Format::Messages,
        Record::Completion { .. } => Format::PromptCompletion,
        Record::Text { .. } => Format::Text,
    }
}

/// Pieces of real files, so that arbitrary input gets past the first check.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            &b"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"[..],
            b"\n",
            b"\r\n",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b"\"",
            b"\\",
            b"\\u",
            b":",
            b"null",
            b"1e999",
            b"-",
            b"PAR1",
            b"\x1f\x8b\x08",
            b"\x28\xb5\x2f\xfd",
            b"\xef\xbb\xbf",
            b"\xff",
            b"\"text\"",
            b"\"weight\"",
            b"\"role\"",
            b"text,id\n",
            b"\"messages\"",
            b"\"conversations\"",
            b"\\n\\nHuman:",
            b"\\n\\nAssistant:",
            b"\"chosen\"",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn read_anything(bytes: &[u8]) {
    for name in ["data.jsonl", "data.json", "data.csv", "data"] {
        for format in Format::ALL.map(Some).into_iter().chain([None]) {
            let options = ReadOptions { format, ..ReadOptions::default() };
            if let Ok(dataset) = read_bytes(Path::new(name), bytes, &options) {
                assert!(format.is_none_or(|format| format == dataset.format));
                for reject in &dataset.rejects {
                    assert!(!reject.reason.is_empty() && !reject.fix.is_empty());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn written_records_read_back(records in records()) {
        let mut file = Vec::new();
        write_jsonl(&mut file, &records).unwrap();
        // The format is given: a text that happens to read like a transcript would be taken for one.
        let options = ReadOptions { format: Some(format_of(&records[0])), ..ReadOptions::default() };
        let dataset = read_bytes(Path::new("again.jsonl"), &file, &options).unwrap();
        prop_assert_eq!(dataset.rejects, []);
        prop_assert_eq!(dataset.records, records);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_anything(&bytes);
    }

    #[test]
    fn pieces_of_files_do_no_harm(bytes in fragments()) {
        read_anything(&bytes);
    }

    /// Every record and every refusal carries the line on which its text stands, whatever is around it.
    #[test]
    fn rows_are_where_provenance_says(
        lines in prop::collection::vec(prop::sample::select(vec!["good", "bad", "broken", "blank"]), 1..40),
        carriage_return in prop::bool::ANY,
        mark in prop::bool::ANY,
    ) {
        let end = if carriage_return { "\r\n" } else { "\n" };
        let mut file = String::from(if mark { "\u{feff}" } else { "" });
        for (index, line) in lines.iter().enumerate() {
            let _ = match *line {
                "good" => write!(file, "{{\"text\": \"line {}\"}}{end}", index + 1),
                "bad" => write!(file, "{{\"text\": 3}}{end}"),
                "broken" => write!(file, "{{\"text\": {end}"),
                _ => write!(file, "{end}"),
            };
        }
        let options = ReadOptions { format: Some(Format::Text), ..ReadOptions::default() };
        let Ok(dataset) = read_bytes(Path::new("data.jsonl"), file.as_bytes(), &options) else {
            prop_assert!(!lines.contains(&"good") , "a file with a good row was refused");
            return Ok(());
        };
        for record in &dataset.records {
            let Record::Text { text, provenance } = record else { unreachable!("the format is text") };
            prop_assert_eq!(text, &format!("line {}", provenance.row));
        }
        let refused: Vec<u64> = dataset.rejects.iter().map(|reject| reject.provenance.row).collect();
        let expected: Vec<u64> = (1..).zip(&lines).filter(|(_, line)| matches!(**line, "bad" | "broken")).map(|(row, _)| row).collect();
        prop_assert_eq!(refused, expected);
        prop_assert_eq!(dataset.records.len(), lines.iter().filter(|line| **line == "good").count());
    }

    /// The same for CSV, whose records span lines.
    #[test]
    fn csv_records_are_where_provenance_says(cells in prop::collection::vec("[a-z\n\",]{0,12}[a-z]", 1..20)) {
        let mut file = String::from("text,line\n");
        for cell in &cells {
            let line = file.matches('\n').count() + 1;
            let _ = writeln!(file, "\"{}\",{line}", cell.replace('"', "\"\""));
        }
        let options = ReadOptions { columns: [("prompt".into(), "line".into()), ("completion".into(), "text".into())].into(), ..ReadOptions::default() };
        let dataset = read_bytes(Path::new("data.csv"), file.as_bytes(), &options).unwrap();
        prop_assert_eq!(dataset.records.len(), cells.len());
        for (record, cell) in dataset.records.iter().zip(&cells) {
            let Record::Completion { prompt, completion, provenance } = record else { unreachable!("both are strings") };
            prop_assert_eq!(prompt, &provenance.row.to_string());
            prop_assert_eq!(completion, cell);
        }
    }
}
