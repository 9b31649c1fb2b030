//! Every command as a user runs it, on a tiny model.

mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::Value as Json;
use support::{Workshop, recipe};

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_leaves_everything_a_user_expects() {
    let workshop = Workshop::new();
    workshop
        .write("recipe.toml", recipe("lora = { rank = 4 }\nsample_prompts = [\"Question 1?\"]\nsample_tokens = 8\n"));
    workshop.succeed(&["run", "recipe.toml"]);
    for name in [
        "plan.toml",
        "metrics.jsonl",
        "samples.jsonl",
        "finished.json",
        "report.html",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/tokenizer.json",
        "model/config.json",
        "model/model.safetensors",
        "model/chat_template.jinja",
    ] {
        assert!(workshop.path("runs/tiny").join(name).is_file(), "{name}");
    }
    let metrics = lines(&workshop.read("runs/tiny/metrics.jsonl"));
    let losses: Vec<f64> = metrics.iter().filter_map(|line| line["loss"].as_f64()).collect();
    let evaluations: Vec<f64> = metrics.iter().filter_map(|line| line["eval_loss"].as_f64()).collect();
    assert_eq!(losses.len(), 6);
    assert_eq!(evaluations.len(), 4, "before the first step and after 2, 4, 6");
    assert!(evaluations[3] < evaluations[0], "{evaluations:?}");
    for key in ["step", "epoch", "grad_norm", "learning_rate", "num_tokens", "mean_token_accuracy"] {
        assert!(metrics.iter().any(|line| line[key].is_number()), "{key}");
    }
    let samples = lines(&workshop.read("runs/tiny/samples.jsonl"));
    assert_eq!(samples.len(), 2, "before and after");
    let checkpoints: Vec<_> = std::fs::read_dir(workshop.path("runs/tiny/checkpoints")).unwrap().collect();
    assert_eq!(checkpoints.len(), 2, "the last two are kept");

    // The page is written again from what lies there, whole or not.
    std::fs::remove_file(workshop.path("runs/tiny/report.html")).unwrap();
    std::fs::remove_file(workshop.path("runs/tiny/finished.json")).unwrap();
    workshop.write("runs/tiny/rejects.jsonl", "{\"reason\":\"row 7 <b>is</b> empty\",\"fix\":\"fill it in\"}\n{\"reas");
    assert_eq!(workshop.succeed(&["report", "runs/tiny"]).trim(), "runs/tiny/report.html");
    let page = workshop.read("runs/tiny/report.html");
    for part in ["not finished", "<h3>Loss</h3>", "eval_loss", "Question 1?", "row # &lt;b&gt;is", "plan.toml"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(workshop.fail(&["report", "home"]).contains("fix: name a run directory"));

    // Again: nothing to do. Restarted: the same curve.
    workshop.succeed(&["run", "recipe.toml"]);
    let again = workshop.run(&["run", "recipe.toml"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("is finished"));
    workshop.succeed(&["run", "recipe.toml", "--restart"]);
    let repeated: Vec<f64> =
        lines(&workshop.read("runs/tiny/metrics.jsonl")).iter().filter_map(|line| line["loss"].as_f64()).collect();
    assert_eq!(repeated, losses);
}

#[test]
fn what_a_run_wrote_is_read_by_every_other_command() {
    let workshop = Workshop::new();
    workshop.succeed(&["run", "recipe.toml"]);
    let shown = workshop.succeed(&["inspect", "run", "runs/tiny"]);
    assert!(shown.contains("eval"), "{shown}");
    let score = |model: &str| {
        let scored = workshop.succeed(&["score", model, "data.jsonl", "--limit", "2", "--compute", "f32"]);
        let rows = lines(&scored);
        assert_eq!(rows.len(), 2);
        rows.iter().map(|row| row["log_probs"].to_string()).collect::<Vec<_>>().join(" ")
    };
    let merged = score("runs/tiny/model");
    assert_eq!(score("runs/tiny"), score("runs/tiny/adapter"));
    assert_ne!(score("model"), merged);
    workshop.succeed(&["export", "runs/tiny", "folder", "--dtype", "f32"]);
    assert_eq!(score("folder"), merged);
    workshop.succeed(&["export", "folder", "model.gguf", "--dtype", "f32"]);
    assert_eq!(score("model.gguf"), merged);
    workshop.succeed(&["export", "folder", "small.gguf", "--dtype", "q8_0"]);
    assert!(
        workshop.path("small.gguf").metadata().unwrap().len() < workshop.path("model.gguf").metadata().unwrap().len()
    );
    let answer =
        workshop.succeed(&["chat", "runs/tiny", "--message", "Question 1?", "--max-tokens", "5", "--temperature", "0"]);
    let again =
        workshop.succeed(&["chat", "runs/tiny", "--message", "Question 1?", "--max-tokens", "5", "--temperature", "0"]);
    assert_eq!(answer, again);
    assert!(
        workshop.succeed(&["inspect", "model", "folder", "--tensors"]).contains("model.layers.1.mlp.down_proj.weight")
    );
}

#[test]
fn chat_reads_lines_and_ends_with_the_input() {
    let workshop = Workshop::new();
    let mut chat = workshop
        .command(&["chat", "model", "--max-tokens", "3", "--compute", "f32"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    chat.stdin.take().unwrap().write_all(b"Hello\nAgain\n").unwrap();
    assert!(chat.wait_with_output().unwrap().status.success());
}

#[test]
fn plans_and_batches_are_shown_before_anything_runs() {
    let workshop = Workshop::new();
    let plan = workshop.succeed(&["plan", "recipe.toml", "--set", "stage.learning_rate=5e-3"]);
    assert!(plan.contains("0.005") || plan.contains("5e-3"), "{plan}");
    let json: Json = serde_json::from_str(&workshop.succeed(&["plan", "recipe.toml", "--json"])).unwrap();
    assert!(json.is_object());
    assert!(!workshop.path("runs").exists(), "planning writes nothing");
    let batch = workshop.succeed(&["inspect", "batch", "recipe.toml"]);
    assert!(batch.contains("is the answer."), "{batch}");
    let data = workshop.succeed(&["inspect", "data", "data.jsonl"]);
    assert!(data.contains("messages") && data.contains("12"), "{data}");
}

#[test]
fn stages_follow_each_other() {
    let workshop = Workshop::new();
    let second =
        "\n[[stage]]\nkind = \"sft\"\ndata = \"data.jsonl\"\ntune = \"full\"\nmax_steps = 2\nmax_length = 64\n";
    workshop.write("recipe.toml", recipe(second));
    workshop.succeed(&["run", "recipe.toml"]);
    assert!(workshop.path("runs/tiny/stage-2-sft/model/model.safetensors").is_file());
    workshop.succeed(&["chat", "runs/tiny", "--message", "Hi", "--max-tokens", "2"]);
}

#[test]
fn help_and_completions_are_there() {
    let workshop = Workshop::new();
    for arguments in [&["--help"][..], &["run", "--help"], &["inspect", "batch", "--help"], &["export", "--help"]] {
        assert!(workshop.succeed(arguments).contains("Usage: camelid"), "{arguments:?}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(workshop.succeed(&["completions", shell]).contains("camelid"), "{shell}");
    }
    assert_eq!(workshop.run(&["rnu"]).status.code(), Some(2));
}

#[test]
fn a_step_of_this_model_is_measured() {
    let workshop = Workshop::new();
    let step = workshop.succeed(&["bench", "step", "model", "--length", "16", "--steps", "1", "--json"]);
    let step: Json = serde_json::from_str(&step).unwrap();
    assert!(step["tokens_per_second"].as_f64().unwrap() > 0.0);
    let recipe = workshop.succeed(&["bench", "recipe", "recipe.toml", "--steps", "2", "--json"]);
    assert!(serde_json::from_str::<Json>(&recipe).unwrap()["tokens_per_second"].as_f64().unwrap() > 0.0);
}

/// The best of several beams in groups, each at most once a group; the same file is not answered twice.
#[test]
fn the_likeliest_answers_are_searched_for() {
    let workshop = Workshop::new();
    workshop.write("prompts.jsonl", "{\"prompt\": \"Question 1? yes\"}\n{\"prompt\": \"Question 2?\"}\n");
    let command = "generate model prompts.jsonl --out out.jsonl --max-tokens 6 --context 64 --beams 4 -n 3 \
                   --beam-groups 2 --diversity-penalty 1 --length-penalty=-0.5 --early-stopping never";
    let words: Vec<&str> = command.split_whitespace().collect();
    assert!(workshop.run(&words).status.success());
    let written = workshop.read("out.jsonl");
    for line in written.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        let answers = line["answers"].as_array().unwrap();
        let scores: Vec<f64> = answers.iter().map(|answer| answer["beam_score"].as_f64().unwrap()).collect();
        assert!(scores.len() == 3 && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        assert!(answers.iter().all(|answer| !answer["tokens"].as_array().unwrap().is_empty()));
    }
    let again = workshop.run(&words);
    assert!(String::from_utf8_lossy(&again.stderr).contains("2 of 2 prompts are answered already"));
    assert_eq!(workshop.read("out.jsonl"), written);
    // Nothing is drawn: what shapes a draw cannot be asked for, and what shapes a search needs one.
    for more in [&["--temperature", "0.5"][..], &["--seed", "1"], &["--server", "http://localhost:1/v1"]] {
        let output = workshop.run(&[&words[..], more].concat());
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be used with"), "{output:?}");
    }
    let alone = workshop.run(&["generate", "model", "prompts.jsonl", "--out", "o", "--length-penalty", "1"]);
    assert!(String::from_utf8_lossy(&alone.stderr).contains("--beams <BEAMS>"), "{alone:?}");
}

/// Answers come from the model's folder and from a server of it, with the same tokens; an interrupted file goes on.
#[test]
fn prompts_are_answered_here_and_by_a_server() {
    let workshop = Workshop::new();
    let prompts: String =
        (0..6).map(|i| serde_json::json!({"prompt": format!("Question {i}? yes")}).to_string() + "\n").collect();
    workshop.write("prompts.jsonl", prompts);
    let common = ["-n", "2", "--max-tokens", "8", "--temperature", "0.8", "--context", "64", "--compute", "f32"];
    let answer = |out: &str, more: &[&str]| {
        let words: Vec<&str> = ["generate", "model", "prompts.jsonl", "--out", out]
            .into_iter()
            .chain(common)
            .chain(more.iter().copied())
            .collect();
        workshop.run(&words)
    };
    assert!(answer("here.jsonl", &[]).status.success());
    let here = workshop.read("here.jsonl");
    assert_eq!(here.lines().count(), 6);

    // Cut in the middle of the third line, as a power cut leaves it.
    let third: usize = here.lines().take(2).map(|line| line.len() + 1).sum::<usize>() + 20;
    workshop.write("here.jsonl", &here[..third]);
    let again = answer("here.jsonl", &["--cache", "cache.jsonl"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("2 of 6 prompts are answered already"), "{again:?}");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&workshop.read("here.jsonl")), sorted(&here));
    let other = answer("here.jsonl", &["--seed", "5"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("line 1: answers another prompt, model or setting"));

    let mut server = workshop.spawn(&["serve", "model", "--port", "0", "--context", "64", "--compute", "f32"]);
    let address = server.wait_for("answers on ");
    let address = address.split_whitespace().next().unwrap().to_owned();
    let remote = answer("there.jsonl", &["--server", &address]);
    assert!(remote.status.success(), "{}", String::from_utf8_lossy(&remote.stderr));
    let texts = |lines: &str| -> Vec<String> {
        let mut texts: Vec<(u64, String)> = lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| {
                (
                    line["line"].as_u64().unwrap(),
                    format!("{} {}", line["answers"][0]["text"], line["answers"][1]["text"]),
                )
            })
            .collect();
        texts.sort();
        texts.into_iter().map(|(_, text)| text).collect()
    };
    assert_eq!(texts(&workshop.read("there.jsonl")), texts(&here));
    assert!(server.terminate().contains("every accepted request is answered"));
}

#[test]
fn a_model_from_nothing_learns_and_speaks() {
    let workshop = Workshop::new();
    let texts: Vec<String> =
        (0..40).map(|i| format!("{{\"text\":\"the film number {} is a fine one\"}}\n", i % 4)).collect();
    workshop.write("texts.jsonl", texts.concat());
    let new = ["new", "tiny-100k", "--tokenizer-from", "texts.jsonl", "--vocabulary", "300", "--out", "fresh"];
    assert_eq!(workshop.succeed(&new).trim(), "fresh");
    let weights = std::fs::read(workshop.path("fresh/model.safetensors")).unwrap();
    assert!(workshop.fail(&new).contains("fix: name another folder, or add --overwrite"));
    workshop.succeed(&[&new[..], &["--overwrite"]].concat());
    assert_eq!(std::fs::read(workshop.path("fresh/model.safetensors")).unwrap(), weights);

    let recipe = recipe("learn = \"everything\"\ntune = \"full\"\n").replace("data.jsonl", "texts.jsonl");
    workshop.write("recipe.toml", recipe.replace("\"model\"", "\"fresh\"").replace("max_steps = 6", "max_steps = 30"));
    workshop.succeed(&["run", "recipe.toml"]);
    let said = workshop.succeed(&["chat", "runs/tiny", "--message", "the film number", "--temperature", "0"]);
    assert!(said.contains("is a fine one"), "{said}");

    for (arguments, expected) in [
        (
            ["new", "huge", "--tokenizer-from", "texts.jsonl", "--out", "x"],
            "fix: name a config.json, or one of tiny-100k",
        ),
        (["new", "tiny-1m", "--tokenizer-from", "texts.jsonl", "--vocabulary=9", "--out=x"], "fix: use 259 or more"),
    ] {
        assert!(workshop.fail(&arguments).contains(expected));
    }
}
