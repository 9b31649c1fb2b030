//! Bad rows, bad files and bad mappings: the exact words the user sees. The snapshots are under `tests/snapshots`.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
};

use camelid_records::{Format, ReadOptions, Rejects, read, read_bytes, read_files};

/// The options, the refusals and the error of one file.
fn outcome(name: &str, bytes: &[u8], options: &ReadOptions) -> String {
    match read_bytes(Path::new(name), bytes, options) {
        Ok(dataset) => {
            let mut text = String::new();
            for reject in &dataset.rejects {
                let _ = writeln!(text, "{}: {}\n  fix: {}", reject.provenance, reject.reason, reject.fix);
            }
            text
        }
        Err(error) => format!("error: {error}\n"),
    }
}

fn with_format(format: Format) -> ReadOptions {
    ReadOptions { format: Some(format), ..ReadOptions::default() }
}

fn with_columns(columns: &[(&str, &str)]) -> ReadOptions {
    let columns = columns.iter().map(|&(field, column)| (field.to_owned(), column.to_owned())).collect();
    ReadOptions { columns, ..ReadOptions::default() }
}

/// Renders one bad row a case, each read as the second row after a good one.
fn rows(format: Format, good: &str, cases: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (title, row) in cases {
        let file = format!("{good}\n{row}\n");
        let outcome = outcome("data.jsonl", file.as_bytes(), &with_format(format));
        assert!(!outcome.is_empty(), "{title}: the row was accepted: {row}");
        let shown = if row.len() > 160 { "(long)" } else { row };
        let _ = write!(text, "## {title}\n{shown}\n{outcome}\n");
    }
    text
}

#[test]
fn message_rows() {
    let good = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#;
    let deep = format!("{{\"messages\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let cases = [
        ("not JSON", r#"{"messages": [{"role": "user", content: "a"}]}"#),
        ("cut short", r#"{"messages": [{"role": "user", "content": "a"#),
        ("two objects on a line", r#"{"messages": []} {"messages": []}"#),
        ("NaN in JSON", r#"{"messages": [{"role": "user", "content": "a", "weight": NaN}]}"#),
        ("half a surrogate pair", r#"{"messages": [{"role": "user", "content": "\ud83d"}]}"#),
        ("nested too deeply", &deep),
        ("not an object", r#"["user", "a"]"#),
        ("no messages", r#"{"id": 3}"#),
        ("null messages", r#"{"messages": null}"#),
        ("messages of the wrong type", r#"{"messages": 3}"#),
        ("messages as text that is not JSON", r#"{"messages": "hello"}"#),
        ("empty conversation", r#"{"messages": []}"#),
        ("a message of the wrong type", r#"{"messages": ["hello"]}"#),
        ("no role", r#"{"messages": [{"content": "a"}]}"#),
        ("unknown role", r#"{"messages": [{"role": "narrator", "content": "a"}]}"#),
        ("misspelt role", r#"{"messages": [{"role": "asistant", "content": "a"}]}"#),
        ("role in capitals", r#"{"messages": [{"role": "USER", "content": "a"}]}"#),
        ("role of the wrong type", r#"{"messages": [{"role": 1, "content": "a"}]}"#),
        ("no content", r#"{"messages": [{"role": "user"}]}"#),
        ("content of the wrong type", r#"{"messages": [{"role": "user", "content": 42}]}"#),
        ("an image part", r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}"#),
        ("a part without text", r#"{"messages": [{"role": "user", "content": [{"type": "text"}]}]}"#),
        (
            "silent assistant",
            r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " \n"}]}"#,
        ),
        ("assistant without content", r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant"}]}"#),
        ("only system turns", r#"{"messages": [{"role": "system", "content": "a"}]}"#),
        ("tool first", r#"{"messages": [{"role": "tool", "content": "a"}, {"role": "assistant", "content": "b"}]}"#),
        ("a user calls tools", r#"{"messages": [{"role": "user", "content": "a", "tool_calls": [{}]}]}"#),
        ("tool calls of the wrong type", r#"{"messages": [{"role": "assistant", "tool_calls": {"name": "f"}}]}"#),
        ("a tool call of the wrong type", r#"{"messages": [{"role": "assistant", "tool_calls": [{}, "f"]}]}"#),
        ("negative weight", r#"{"messages": [{"role": "assistant", "content": "a", "weight": -1}]}"#),
        ("weight beyond f32", r#"{"messages": [{"role": "assistant", "content": "a", "weight": 1e300}]}"#),
        ("weight NaN as text", r#"{"messages": [{"role": "assistant", "content": "a", "weight": "NaN"}]}"#),
        ("weight of the wrong type", r#"{"messages": [{"role": "assistant", "content": "a", "weight": [1]}]}"#),
        ("name of the wrong type", r#"{"messages": [{"role": "user", "name": {}, "content": "a"}]}"#),
        ("tools of the wrong type", r#"{"messages": [{"role": "user", "content": "a"}], "tools": {"name": "f"}}"#),
        (
            "template arguments of the wrong type",
            r#"{"messages": [{"role": "user", "content": "a"}], "chat_template_kwargs": [1]}"#,
        ),
    ];
    // The optional columns must be known from the sample for their types to be looked at; each case brings its own.
    insta::assert_snapshot!(rows(Format::Messages, good, &cases));
}

#[test]
fn rows_of_the_other_formats() {
    let mut text = rows(
        Format::PromptCompletion,
        r#"{"prompt": "a", "completion": "b"}"#,
        &[
            ("empty completion", r#"{"prompt": "a", "completion": ""}"#),
            ("no completion", r#"{"prompt": "a"}"#),
            ("one list, one string", r#"{"prompt": [{"role": "user", "content": "a"}], "completion": "b"}"#),
            ("numbers", r#"{"prompt": 1, "completion": 2}"#),
            ("empty completion list", r#"{"prompt": [{"role": "user", "content": "a"}], "completion": []}"#),
        ],
    );
    text += &rows(
        Format::Alpaca,
        r#"{"instruction": "a", "output": "b"}"#,
        &[
            ("empty answer", r#"{"instruction": "a", "output": "  "}"#),
            ("nothing asked", r#"{"instruction": "", "input": "", "output": "b"}"#),
            ("answer of the wrong type", r#"{"instruction": "a", "output": ["b"]}"#),
            ("history of the wrong type", r#"{"instruction": "a", "output": "b", "history": {"a": "b"}}"#),
            ("history that is no pair", r#"{"instruction": "a", "output": "b", "history": [["a", "b", "c"]]}"#),
            ("history without an answer", r#"{"instruction": "a", "output": "b", "history": [["a", ""]]}"#),
        ],
    );
    text += &rows(
        Format::ShareGpt,
        r#"{"conversations": [{"from": "human", "value": "a"}]}"#,
        &[
            ("unknown speaker", r#"{"conversations": [{"from": "bing", "value": "a"}]}"#),
            (
                "function call that is not JSON",
                r#"{"conversations": [{"from": "function_call", "value": "weather()"}]}"#,
            ),
            ("function call without a name", r#"{"conversations": [{"from": "function_call", "value": "{}"}]}"#),
            ("no value", r#"{"conversations": [{"from": "human"}]}"#),
        ],
    );
    text += &rows(
        Format::HhTranscript,
        r#"{"chosen": "\n\nHuman: a\n\nAssistant: b"}"#,
        &[
            ("no opening", r#"{"chosen": "Hello there"}"#),
            ("assistant first", r#"{"chosen": "\n\nAssistant: a\n\nHuman: b"}"#),
            ("no answer", r#"{"chosen": "\n\nHuman: a\n\nHuman: b"}"#),
            ("empty answer", r#"{"chosen": "\n\nHuman: a\n\nAssistant:"}"#),
        ],
    );
    text += &rows(
        Format::Text,
        r#"{"text": "a"}"#,
        &[("empty text", r#"{"text": " "}"#), ("text of the wrong type", r#"{"text": {"a": 1}}"#)],
    );
    insta::assert_snapshot!(text);
}

#[test]
fn broken_bytes() {
    let mut text = String::new();
    let good = r#"{"text": "a"}"#;
    let mut case = |title: &str, name: &str, bytes: &[u8]| {
        let _ = write!(text, "## {title}\n{}\n", outcome(name, bytes, &with_format(Format::Text)));
    };
    case("invalid UTF-8 in JSONL", "data.jsonl", &[good.as_bytes(), b"\n{\"text\": \"caf\xe9\"}\n"].concat());
    case("invalid UTF-8 in CSV", "data.csv", b"text,id\na,1\ncaf\xe9,2\n");
    case("too few fields", "data.csv", b"text,id\na,1\nb\nc,2\n");
    case("a quote never closed", "data.csv", b"text,id\na,1\n\"b,2\nc,3\n");
    let long = format!("{good}\n{{\"text\": \"{}\"}}\n{good}\n", "a".repeat(17 << 20));
    case("a line that is too long", "data.jsonl", long.as_bytes());
    let long = format!("[{good}, {{\"text\": \"{}\"}}, {good}]", "a".repeat(17 << 20));
    case("an element that is too long", "data.json", long.as_bytes());
    let long = format!("text\na\n\"{}\"\nb\n", "a".repeat(17 << 20));
    case("a CSV record that is too long", "data.csv", long.as_bytes());
    case("an array cut short", "data.json", br#"[{"text": "a"}, {"text": "b"#);
    case("a broken element", "data.json", br#"[{"text": "a"}, {"text": b}, {"text": "c"}]"#);
    case("two arrays", "data.json", br#"[{"text": "a"}] [{"text": "b"}]"#);
    insta::assert_snapshot!(text);
}

#[test]
fn files_that_cannot_be_used() {
    let mut text = String::new();
    let mut case = |title: &str, name: &str, bytes: &[u8], options: &ReadOptions| {
        let outcome = outcome(name, bytes, options);
        assert!(outcome.starts_with("error: "), "{title}: {outcome}");
        let _ = write!(text, "## {title}\n{outcome}\n");
    };
    let any = ReadOptions::default();
    case("empty", "data.jsonl", b"", &any);
    case("only blank lines", "data.jsonl", b"\n \n", &any);
    case("empty array", "data.json", b"[]", &any);
    case("only a header", "data.csv", b"text,id\n", &any);
    case("no header", "data.csv", b"\xef\xbb\xbf", &any);
    case("a column named twice", "data.csv", b"text,text\na,b\n", &any);
    case("no row can be read", "data.jsonl", b"hello\nworld\n", &any);
    case("plain text", "notes.txt", b"hello\n", &any);
    case("a document that is not JSON", "data.json", b"{\n  \"text\": \"a\",,\n}\n", &any);
    case("rows under a key", "data.json", br#"{"version": 1, "data": [{"text": "a"}]}"#, &any);
    case("UTF-16", "data.jsonl", b"\xff\xfe{\0\"\0", &any);
    case("zip", "data.jsonl", b"PK\x03\x04abc", &any);
    case("Arrow", "data.arrow", b"ARROW1\0\0", &any);
    case("damaged Parquet", "data.parquet", b"PAR1 and then nothing that Parquet knows PAR1", &any);
    case("Parquet cut short", "data.parquet", b"PAR1", &any);
    case("compressed Parquet", "data.parquet.zst", &zstd::encode_all(&b"PAR1...."[..], 1).unwrap(), &any);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(br#"{"text": "a"}"#).unwrap();
    let gzip = gzip.finish().unwrap();
    case("gzip cut short", "data.jsonl.gz", &gzip[..gzip.len() - 9], &any);
    let zstd = zstd::encode_all(&br#"{"text": "a"}"#[..], 3).unwrap();
    case("zstd cut short", "data.jsonl.zst", &zstd[..zstd.len() - 4], &any);

    case("no known columns", "data.jsonl", br#"{"foo": "a", "bar": "b"}"#, &any);
    case("rows without fields", "data.jsonl", b"{}\n{}\n", &any);
    case("Dolly's columns", "data.jsonl", br#"{"instruction": "a", "context": "b", "response": "c"}"#, &any);
    case("GSM8K's columns", "data.jsonl", br#"{"question": "a", "answer": "b"}"#, &any);
    case("a misspelt column", "data.jsonl", br#"{"instuction": "a", "output": "b"}"#, &any);
    case("messages by another name", "data.jsonl", br#"{"dialog_turns": [{"role": "user", "content": "a"}]}"#, &any);
    case("ShareGPT by another name", "data.jsonl", br#"{"items": [{"from": "human", "value": "a"}]}"#, &any);
    case("a transcript by another name", "data.jsonl", br#"{"dialogue": "\n\nHuman: a\n\nAssistant: b"}"#, &any);
    case("two formats", "data.jsonl", br#"{"messages": [], "prompt": "a", "completion": "b"}"#, &any);
    case("a format the columns do not have", "data.jsonl", br#"{"text": "a"}"#, &with_format(Format::Messages));
    case(
        "a format under other names",
        "data.jsonl",
        br#"{"instruction": "a", "response": "b"}"#,
        &with_format(Format::Alpaca),
    );
    case("a mapping to no column", "data.jsonl", br#"{"text": "a", "body": "b"}"#, &with_columns(&[("text", "boddy")]));
    case(
        "a mapping to nothing like a column",
        "data.jsonl",
        br#"{"text": "a"}"#,
        &with_columns(&[("text", "paragraph")]),
    );
    case("a mapping of no field", "data.jsonl", br#"{"text": "a"}"#, &with_columns(&[("txt", "text")]));
    let mut options = with_columns(&[("messages", "text")]);
    options.format = Some(Format::Text);
    case("a mapping of another format's field", "data.jsonl", br#"{"text": "a"}"#, &options);
    let mapped = with_columns(&[("output", "text")]);
    case("a mapping that is not enough", "data.jsonl", br#"{"text": "a"}"#, &mapped);
    let many = "x\n".repeat(100_001);
    case("nothing but bad rows", "data.jsonl", format!("{{\"text\": \"a\"}}\n{many}").as_bytes(), &any);
    insta::assert_snapshot!(text);
}

#[test]
fn paths_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.jsonl");
    let [one, two] = ["one.jsonl", "two.jsonl"].map(|name| folder.path().join(name));
    std::fs::write(&one, r#"{"text": "a"}"#).unwrap();
    std::fs::write(&two, r#"{"prompt": "a", "completion": "b"}"#).unwrap();
    let any = ReadOptions::default();
    let errors = [
        read(&missing, &any).unwrap_err(),
        read(folder.path(), &any).unwrap_err(),
        read_files(&[one, two], &any).unwrap_err(),
        read_files::<PathBuf>(&[], &any).unwrap_err(),
        Rejects::create(&folder.path().join("no/such/folder/rejects.jsonl")).unwrap_err(),
    ];
    let text = errors.map(|error| error.to_string()).join("\n");
    insta::assert_snapshot!(text.replace(&folder.path().display().to_string(), "FOLDER"));
}
