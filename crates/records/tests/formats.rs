//! Each format in each kind of file, read as a caller reads it.

use std::{io::Write, path::Path};

use camelid_records::{
    Conversation, Dataset, Format, Message, Provenance, ReadOptions, Record, Rejects, Role, read, read_bytes,
    read_files, write_jsonl,
};
use serde_json::json;

fn parse(name: &str, bytes: impl AsRef<[u8]>) -> Dataset {
    parse_with(name, bytes, &ReadOptions::default())
}

fn parse_with(name: &str, bytes: impl AsRef<[u8]>, options: &ReadOptions) -> Dataset {
    let dataset = read_bytes(Path::new(name), bytes.as_ref(), options).unwrap();
    assert_eq!(dataset.rejects, [], "nothing is wrong with these rows");
    dataset
}

fn conversations(dataset: &Dataset) -> Vec<&Conversation> {
    dataset.records.iter().map(conversation).collect()
}

fn conversation(record: &Record) -> &Conversation {
    match record {
        Record::Conversation(conversation) => conversation,
        other => panic!("not a conversation: {other:?}"),
    }
}

/// The turns as (role, content) of the only conversation.
fn turns(dataset: &Dataset) -> Vec<(Role, &str)> {
    let conversations = conversations(dataset);
    assert_eq!(conversations.len(), 1);
    conversations[0].messages.iter().map(|message| (message.role, message.content.as_str())).collect()
}

const MESSAGES: &str = r#"{"messages":[{"role":"user","content":"Hello"},{"role":"assistant","content":"Good day"}]}"#;

#[test]
fn messages_with_everything() {
    let row = json!({
        "id": 7,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Weather "}, {"type": "text", "text": "in Oslo?"}]},
            {"role": "assistant", "content": null, "weight": 0, "tool_calls": [{"type": "function", "function": {"name": "weather"}}]},
            {"role": "tool", "name": "weather", "content": "3 degrees"},
            {"role": "assistant", "content": "It is 3 degrees.", "weight": 0.5},
        ],
        "tools": "[{\"type\": \"function\"}]",
        "chat_template_kwargs": {"enable_thinking": false},
    });
    let dataset = parse("data.jsonl", row.to_string());
    assert_eq!(dataset.format, Format::Messages);
    let conversation = conversations(&dataset)[0];
    assert_eq!(conversation.messages[1].content, "Weather in Oslo?");
    assert_eq!(conversation.messages[2].weight, Some(0.0));
    assert_eq!(conversation.messages[2].content, "");
    assert_eq!(conversation.messages[2].tool_calls, Some(row["messages"][2]["tool_calls"].clone()));
    assert_eq!(conversation.messages[3].name.as_deref(), Some("weather"));
    assert_eq!(conversation.messages[4].weight, Some(0.5));
    assert_eq!(conversation.tools, Some(json!([{"type": "function"}])));
    assert_eq!(conversation.template_arguments["enable_thinking"], json!(false));
    assert_eq!(conversation.provenance, Provenance { source: "data.jsonl".into(), row: 1 });
}

#[test]
fn messages_as_llama_factory_writes_them() {
    let row = json!({"messages": [
        {"role": "user", "content": [{"type": "text", "value": "a"}], "loss_weight": 0.0},
        {"role": "assistant", "content": [{"type": "text", "value": "b"}], "loss_weight": 1.0},
    ]});
    let dataset = parse("data.jsonl", row.to_string());
    assert_eq!(turns(&dataset), [(Role::User, "a"), (Role::Assistant, "b")]);
    assert_eq!(conversations(&dataset)[0].messages[0].weight, Some(0.0));
}

#[test]
fn prompt_and_completion_as_text() {
    let dataset = parse("data.jsonl", r#"{"prompt":"1 + 1 = ","completion":"2"}"#);
    assert_eq!(dataset.format, Format::PromptCompletion);
    let provenance = Provenance { source: "data.jsonl".into(), row: 1 };
    assert_eq!(dataset.records, [Record::Completion { prompt: "1 + 1 = ".into(), completion: "2".into(), provenance }]);
}

#[test]
fn prompt_and_completion_as_messages() {
    let row = json!({
        "prompt": [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2", "weight": 1}, {"role": "user", "content": "2 + 2?"}],
        "completion": [{"role": "assistant", "content": "4"}],
    });
    let dataset = parse("data.jsonl", row.to_string());
    let weights: Vec<_> = conversations(&dataset)[0].messages.iter().map(|message| message.weight).collect();
    assert_eq!(weights, [Some(0.0), Some(1.0), Some(0.0), None]);
}

#[test]
fn alpaca_with_history() {
    let row = json!({
        "instruction": "Translate", "input": "katt", "output": "cat", "system": "Norwegian to English",
        "history": [["Translate hund", "dog"]], "text": "a rendering of the same",
    });
    let dataset = parse("data.jsonl", row.to_string());
    assert_eq!(dataset.format, Format::Alpaca);
    assert_eq!(
        turns(&dataset),
        [
            (Role::System, "Norwegian to English"),
            (Role::User, "Translate hund"),
            (Role::Assistant, "dog"),
            (Role::User, "Translate\n\nkatt"),
            (Role::Assistant, "cat"),
        ]
    );
}

#[test]
fn share_gpt_with_tools() {
    let row = json!({
        "system": "Be brief.",
        "conversations": [
            {"from": "human", "value": "Weather?"},
            {"from": "function_call", "value": "{\"name\": \"weather\", \"arguments\": \"{\\\"city\\\": \\\"Oslo\\\"}\"}"},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "3 degrees"},
        ],
    });
    let dataset = parse("data.jsonl", row.to_string());
    assert_eq!(dataset.format, Format::ShareGpt);
    let roles: Vec<Role> = turns(&dataset).into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
    assert_eq!(
        conversations(&dataset)[0].messages[2].tool_calls,
        Some(json!([{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]))
    );
}

#[test]
fn share_gpt_in_the_other_spelling_keeps_its_own_system_turn() {
    let row = json!({
        "system": "from the column",
        "conversations": [
            {"role": "system", "content": "from the list"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
        ],
    });
    let dataset = parse("data.jsonl", row.to_string());
    assert_eq!(dataset.format, Format::ShareGpt);
    assert_eq!(turns(&dataset), [(Role::System, "from the list"), (Role::User, "a"), (Role::Assistant, "b")]);
}

#[test]
fn transcripts() {
    let text = "\n\nHuman: Hi\n\nHuman: there\n\nAssistant: Hello.\n\nHow are you?\n\nHuman: Well\n\nAssistant: Good.";
    for column in ["chosen", "text"] {
        let dataset = parse("data.jsonl", json!({ column: text, "rejected": "x" }).to_string());
        assert_eq!(dataset.format, Format::HhTranscript);
        assert_eq!(
            turns(&dataset),
            [
                (Role::User, "Hi\n\nthere"),
                (Role::Assistant, "Hello.\n\nHow are you?"),
                (Role::User, "Well"),
                (Role::Assistant, "Good."),
            ]
        );
    }
    let options = ReadOptions { columns: [("transcript".into(), "rejected".into())].into(), ..Default::default() };
    let dataset = parse_with("data.jsonl", json!({"chosen": "x", "rejected": text}).to_string(), &options);
    assert_eq!(dataset.format, Format::HhTranscript);
}

#[test]
fn raw_text() {
    let dataset = parse("data.jsonl", "{\"text\":\"one\"}\n\n{\"text\":\"three\"}\n");
    assert_eq!(dataset.format, Format::Text);
    let rows: Vec<u64> = dataset.records.iter().map(|record| record.provenance().row).collect();
    assert_eq!(rows, [1, 3], "blank lines are counted");
}

#[test]
fn byte_order_mark_and_carriage_returns() {
    let file = format!("\u{feff}{MESSAGES}\r\n\r\n{MESSAGES}\r\n");
    let dataset = parse("data.jsonl", file);
    let rows: Vec<u64> = dataset.records.iter().map(|record| record.provenance().row).collect();
    assert_eq!(rows, [1, 3]);
    let dataset = parse("data.csv", "\u{feff}instruction,output\r\nName,Anna\r\n");
    assert_eq!(dataset.format, Format::Alpaca);
}

#[test]
fn json_documents() {
    let array = format!("\n[\n{MESSAGES},\n {MESSAGES} ]\n");
    for name in ["data.json", "data.jsonl", "data"] {
        let dataset = parse(name, &array);
        assert_eq!(dataset.records.iter().map(|record| record.provenance().row).collect::<Vec<_>>(), [1, 2]);
    }
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(MESSAGES).unwrap()).unwrap();
    assert_eq!(parse("data.json", pretty).records.len(), 1);
    let columns = parse("data.json", r#"{"instruction": ["a", "b"], "output": ["c", "d"]}"#);
    assert_eq!(columns.format, Format::Alpaca);
    assert_eq!(columns.records.len(), 2);
    let lines = parse("data.json", format!("{MESSAGES}\n{MESSAGES}\n{MESSAGES}"));
    assert_eq!(lines.records.len(), 3, "JSON Lines under the name .json");
}

#[test]
fn brackets_and_quotes_inside_strings_do_not_cut_an_array() {
    let texts = ["]},{\"", "\\", "\\\"", "[[[", "plain", "\u{1f40e}"];
    let array = serde_json::to_string(&texts.map(|text| json!({ "text": text }))).unwrap();
    let dataset = parse("data.json", array);
    let read: Vec<&str> = dataset
        .records
        .iter()
        .map(|record| match record {
            Record::Text { text, .. } => text.as_str(),
            other => panic!("not text: {other:?}"),
        })
        .collect();
    assert_eq!(read, texts);
}

#[test]
fn csv_lines_and_quotes() {
    let file = "instruction,output\nfirst,\"two\nlines, and a \"\"quote\"\"\"\n\nsecond,b\n";
    let dataset = parse("data.csv", file);
    let read: Vec<(u64, &str)> = conversations(&dataset)
        .into_iter()
        .map(|conversation| (conversation.provenance.row, conversation.messages[1].content.as_str()))
        .collect();
    assert_eq!(read, [(2, "two\nlines, and a \"quote\""), (5, "b")]);

    let carriage_returns = parse("data.csv", file.replace('\n', "\r\n"));
    let rows: Vec<u64> = carriage_returns.records.iter().map(|record| record.provenance().row).collect();
    assert_eq!(rows, [2, 5]);

    assert_eq!(parse("data.tsv", "text\tid\na, b\t1\n").format, Format::Text);
    assert_eq!(parse("data.csv", "instruction;output\na, b;c\n").format, Format::Alpaca);
}

#[test]
fn csv_cells_with_json() {
    let cell = MESSAGES.strip_prefix("{\"messages\":").and_then(|rest| rest.strip_suffix('}')).unwrap();
    let file = format!("messages,tools\n\"{}\",\n", cell.replace('"', "\"\""));
    let dataset = parse("data.csv", file);
    assert_eq!(turns(&dataset), [(Role::User, "Hello"), (Role::Assistant, "Good day")]);
    assert_eq!(conversations(&dataset)[0].tools, None);
}

#[test]
fn compressed_files_by_their_first_bytes() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(MESSAGES.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(MESSAGES.as_bytes(), 3).unwrap();
    for bytes in [gzip, zstd] {
        for name in ["data.jsonl.gz", "data.jsonl", "data.json.zst"] {
            assert_eq!(parse(name, &bytes).records.len(), 1);
        }
    }
}

#[test]
fn the_limit_counts_good_records() {
    let file = format!("{MESSAGES}\nnot json\n{MESSAGES}\n{MESSAGES}\n");
    let options = ReadOptions { limit: Some(2), ..Default::default() };
    let dataset = read_bytes(Path::new("data.jsonl"), file.as_bytes(), &options).unwrap();
    assert_eq!(dataset.records.iter().map(|record| record.provenance().row).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(dataset.rejects.len(), 1);
}

#[test]
fn several_files() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.jsonl"), folder.path().join("b.json")];
    std::fs::write(&paths[0], format!("{MESSAGES}\n{MESSAGES}\n")).unwrap();
    std::fs::write(&paths[1], format!("[{MESSAGES}]")).unwrap();
    let dataset = read_files(&paths, &ReadOptions::default()).unwrap();
    let last = dataset.records.last().unwrap().provenance();
    assert_eq!((dataset.records.len(), last.source.as_str(), last.row), (3, paths[1].to_str().unwrap(), 1));
    let dataset = read_files(&paths, &ReadOptions { limit: Some(2), ..Default::default() }).unwrap();
    assert_eq!(dataset.records.len(), 2);
}

#[test]
fn refused_rows_go_to_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data.jsonl");
    std::fs::write(&data, format!("{MESSAGES}\n{{\"messages\": []}}\nnonsense\n{{\"messages\": []}}\n")).unwrap();
    let dataset = read(&data, &ReadOptions::default()).unwrap();
    let path = folder.path().join("rejects.jsonl");
    let mut rejects = Rejects::create(&path).unwrap();
    for reject in &dataset.rejects {
        rejects.push(reject).unwrap();
    }
    assert_eq!(rejects.finish().unwrap(), 3);
    let text = std::fs::read_to_string(&path).unwrap();
    let read: Vec<camelid_records::Reject> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, dataset.rejects);
    assert!(dataset.describe().contains("     2  messages: the conversation is empty"), "{}", dataset.describe());
}

#[test]
fn written_records_read_back() {
    let mut message = Message::new(Role::Assistant, "line\none");
    message.weight = Some(0.25);
    let records = [Record::Conversation(Conversation {
        messages: vec![Message::new(Role::User, "\u{2028}\""), message],
        tools: Some(json!([{"name": "f"}])),
        template_arguments: json!({"a": 1}).as_object().unwrap().clone(),
        provenance: Provenance { source: "again.jsonl".into(), row: 1 },
    })];
    let mut file = Vec::new();
    write_jsonl(&mut file, &records).unwrap();
    assert_eq!(parse("again.jsonl", file).records, records);
}

/// The sample that the repository ships reads without a single refusal, and no question is in both parts.
#[test]
fn the_quickstart_sample() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/quickstart");
    let [train, validation] = ["train.jsonl", "validation.jsonl"].map(|name| {
        let dataset = read(&folder.join(name), &ReadOptions::default()).unwrap();
        assert_eq!((dataset.format, dataset.rejects.len()), (Format::Alpaca, 0));
        dataset
    });
    assert_eq!((train.records.len(), validation.records.len()), (900, 80));
    let question = |conversation: &&Conversation| conversation.messages[0].content.to_lowercase();
    let seen: std::collections::BTreeSet<String> = conversations(&train).iter().map(question).collect();
    assert_eq!(seen.len(), 900);
    assert!(conversations(&validation).iter().all(|conversation| !seen.contains(&question(conversation))));
}
