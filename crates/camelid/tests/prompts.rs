//! Files of prompts, as a user gives them to stages whose policy answers and to `camelid generate`, on a tiny model.

mod support;

use serde_json::{Value as Json, json};
use support::Workshop;

fn recipe(kind: &str, data: &str, lines: &str) -> String {
    format!(
        "name = \"tiny\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"{kind}\"\n\
         data = \"{data}\"\nvalidation_share = 0\nmax_length = 96\nbatch_size = 2\nsamples = 2\nanswer_tokens = 8\n\
         max_steps = 1\nlora = {{ rank = 4 }}\nreward = {{ pattern = \"[a-m]\" }}\n{lines}"
    )
}

/// What a run says; it must succeed.
fn run(workshop: &Workshop, text: &str) -> String {
    workshop.write("recipe.toml", text);
    let output = workshop.run(&["run", "recipe.toml", "--restart"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}: {said}");
    said
}

fn lines(rows: &[Json]) -> String {
    rows.iter().map(|row| row.to_string() + "\n").collect()
}

#[test]
fn every_stage_whose_policy_answers_takes_prompts_alone() {
    let workshop = Workshop::new();
    workshop.write(
        "prompts.jsonl",
        lines(&[json!({"prompt": "Say: "}), json!({"prompt": "Go: "}), json!({"prompt": "Say: "})]),
    );
    workshop.write("questions.csv", "question\nWhy?\nHow?\n");
    let user = |text: &str| json!({"messages": [{"role": "user", "content": text}]});
    workshop.write("messages.jsonl", lines(&[user("Why?"), user("How?")]));
    for (kind, data, extra) in [
        ("ppo", "questions.csv", ""),
        ("group", "prompts.jsonl", ""),
        ("expert-iteration", "messages.jsonl", "select = \"best\"\n"),
        ("online-preference", "prompts.jsonl", ""),
    ] {
        let said = run(&workshop, &recipe(kind, data, extra));
        assert_eq!(
            said.contains("prompts.jsonl: 1 records repeat the prompt of an earlier one and are kept"),
            data == "prompts.jsonl",
            "{said}"
        );
    }
}

const TRANSCRIPTS: [&str; 2] = ["\n\nHuman: Why?\n\nAssistant: Because.", "\n\nHuman: Why?\n\nAssistant: Go away."];

/// HH has no prompt column and no right answer; one of its rows compares an answer with itself.
#[test]
fn ppo_takes_the_prompts_of_transcripts() {
    let workshop = Workshop::new();
    let [chosen, rejected] = TRANSCRIPTS;
    let pair = |chosen: &str, rejected: &str| json!({"chosen": chosen, "rejected": rejected});
    workshop.write(
        "hh.jsonl",
        lines(&[pair(chosen, rejected), pair(chosen, chosen), pair("\n\nHuman: How?\n\nAssistant:", rejected)]),
    );
    let said = run(&workshop, &recipe("ppo", "hh.jsonl", "max_reject_share = 0.5\n"));
    assert!(said.contains("hh.jsonl: 2 records as pair, 1 rows refused"), "{said}");
    let rejects = workshop.read("runs/tiny/rejects.jsonl");
    assert!(rejects.contains("\"row\":3") && rejects.contains("no turn in common with chosen"), "{rejects}");
}

/// The real file, where `CAMELID_DATA` is a folder that has it.
#[test]
fn ppo_takes_the_prompts_of_hh() {
    let Some(data) = std::env::var_os("CAMELID_DATA") else {
        eprintln!("CAMELID_DATA is not set: HH-RLHF is not read");
        return;
    };
    let folder = std::path::PathBuf::from(data).join("hh_rlhf_harmless_test");
    let file = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.contains(".jsonl")
    });
    let file = file.unwrap_or_else(|| panic!("{} has no JSON lines", folder.display()));
    let workshop = Workshop::new();
    let shown = workshop.succeed(&["inspect", "data", "--prompts", "--show", "1", &file.display().to_string()]);
    assert!(shown.starts_with("format pair, 2312 records"), "{shown}");
    // The tiny model's tokens are bytes, so that many prompts are too long for it.
    let lines = "max_reject_share = 1\nmax_length = 256\n";
    let text = recipe("ppo", &file.display().to_string(), "").replace("max_length = 96\n", lines);
    let said = run(&workshop, &text);
    assert!(said.contains("records as pair, 0 rows refused"), "{said}");
}

#[test]
fn generate_takes_what_stages_take() {
    let workshop = Workshop::new();
    let [chosen, rejected] = TRANSCRIPTS;
    workshop.write("hh.jsonl", lines(&[json!({"chosen": chosen, "rejected": rejected})]));
    workshop.write("table.csv", "query,answer\nWhy?,x\n\"How, then?\",y\n");
    let generate = |arguments: &str| {
        let common = "--max-tokens 4 --context 64 --compute f32 --out";
        let words: Vec<&str> = arguments.split(' ').chain(common.split(' ')).chain(["out.jsonl"]).collect();
        let _ = std::fs::remove_file(workshop.path("out.jsonl"));
        workshop.succeed(&words);
        let out = workshop.read("out.jsonl");
        out.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()).collect::<Vec<_>>()
    };
    let answers = generate("generate model hh.jsonl");
    assert_eq!(answers[0]["prompt"], json!([{"role": "user", "content": "Why?"}]));
    let mut answers = generate("generate model table.csv --column prompt=query");
    answers.sort_by_key(|answer| answer["line"].as_u64());
    let asked: Vec<&str> = answers.iter().filter_map(|answer| answer["prompt"].as_str()).collect();
    assert_eq!(asked, ["Why?", "How, then?"]);
    let answers = generate("generate model table.csv --format question --column question=query");
    assert_eq!(answers[0]["prompt"][0]["role"], "user");
}

#[test]
fn inspect_data_shows_prompts() {
    let workshop = Workshop::new();
    workshop.write(
        "prompts.jsonl",
        lines(&[json!({"prompt": "Say: "}), json!({"prompt": ""}), json!({"prompt": "Say: "})]),
    );
    let shown = workshop.succeed(&["inspect", "data", "prompts.jsonl"]);
    insta::assert_snapshot!(shown, @r#"
    format prompt, 2 records (1 repeat the prompt of an earlier one), 1 rows refused
           1  prompt: the prompt is empty  (first: prompts.jsonl:2)
    prompts: 0 with an answer that is expected

    prompts.jsonl:1
      prompt: Say: 

    prompts.jsonl:3
      prompt: Say: 

    rejected prompts.jsonl:2: prompt: the prompt is empty
      fix: fill it in, or remove the row
      row: {"prompt":""}
    "#);
    let [chosen, rejected] = TRANSCRIPTS;
    workshop.write("hh.jsonl", lines(&[json!({"chosen": chosen, "rejected": rejected})]));
    let shown = workshop.succeed(&["inspect", "data", "--prompts", "hh.jsonl"]);
    insta::assert_snapshot!(shown, @r"
    format pair, 1 records
    prompts: 1 with an answer that is expected

    hh.jsonl:1
      user: Why?
      expected: Because.
    ");
}
