//! Stages watched by a held-out reward, and best-of-n: what they write, what their reports show, that neither training nor a kill feels
//! the monitor, and what is refused.

mod support;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use support::{Workshop, recipe};

const MONITOR: &str =
    "[stage.monitor]\ndata = \"held-out.jsonl\"\nreward = { length = { per_token = -0.1 } }\nanswer_tokens = 6\n";

/// Prompts and words that are good or bad.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let row = |number: u32| format!("{{\"messages\": [{{\"role\": \"user\", \"content\": \"Asked {number}?\"}}]}}\n");
    workshop.write("held-out.jsonl", (0..12).map(row).collect::<String>());
    let pair = "{\"prompt\": \"Hi\", \"chosen\": \" a\", \"rejected\": \" b\"}\n";
    workshop.write("pairs.jsonl", pair.repeat(9));
    workshop
}

/// A stage of any kind with the monitor behind its own keys.
fn stage(kind: &str, lines: &str, monitor: &str) -> String {
    let rewarded = "samples = 4\nanswer_tokens = 6\nreward = { length = { per_token = 0.1 } }\n";
    let own = match kind {
        "sft" | "preference" | "reward" => "",
        _ => rewarded,
    };
    let data = if matches!(kind, "preference" | "reward") { "pairs.jsonl" } else { "data.jsonl" };
    let text = recipe(&format!("{own}{lines}{monitor}"));
    text.replace("kind = \"sft\"", &format!("kind = \"{kind}\"")).replace("\"data.jsonl\"", &format!("\"{data}\""))
}

fn lines(path: &Path) -> Vec<Json> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lines of a run's metrics that the monitor wrote.
fn measured(workshop: &Workshop) -> Vec<Json> {
    let all = lines(&workshop.path("runs/tiny/metrics.jsonl"));
    all.into_iter().filter(|line| line.get("monitor/reward").is_some()).collect()
}

fn weights(workshop: &Workshop) -> Vec<u8> {
    fs::read(workshop.path("runs/tiny/model/model.safetensors")).unwrap()
}

#[test]
fn every_stage_with_a_policy_can_be_watched_and_none_feels_it() {
    let cases = [
        ("sft", "tune = \"full\"\n"),
        ("preference", "tune = \"full\"\n"),
        ("preference", "lora = { rank = 4 }\n"),
        ("group", "tune = \"full\"\nkl_coefficient = 0.1\n"),
        ("group", "tune = \"full\"\nema = 0.9\n"),
        ("ppo", "lora = { rank = 4 }\n"),
        ("expert-iteration", "tune = \"full\"\n"),
        ("online-preference", "tune = \"full\"\n"),
    ];
    for (kind, own) in cases {
        let [watched, alone] = [MONITOR, ""].map(|monitor| {
            let workshop = workshop();
            let own = if own.contains("ema") { format!("{own}kl_coefficient = 0.0\n") } else { own.to_owned() };
            workshop.write("recipe.toml", stage(kind, &own, monitor));
            workshop.succeed(&["run", "recipe.toml"]);
            workshop
        });
        assert!(weights(&watched) == weights(&alone), "{kind} {own}: the monitor changed what was trained");
        let measured = measured(&watched);
        let steps: Vec<u64> = measured.iter().map(|line| line["step"].as_u64().unwrap()).collect();
        // As often as is validated, where the recipe says nothing else.
        assert_eq!((steps[0], steps[1]), (0, 2), "{kind}");
        assert_eq!(measured[0]["monitor/kl"], 0.0, "{kind} {own}");
        let last = &measured[measured.len() - 1];
        assert!(last["monitor/kl"].as_f64() != Some(0.0), "{kind} {own}");
        let (root, tokens) =
            (last["monitor/sqrt_kl"].as_f64().unwrap(), last["monitor/answer_tokens"].as_f64().unwrap());
        assert!((root * root - last["monitor/kl"].as_f64().unwrap().max(0.0)).abs() < 1e-9);
        assert!((last["monitor/reward"].as_f64().unwrap() - 0.1 * tokens).abs() < 1e-9, "{kind}: {last}");
        let rewards_something = !matches!(kind, "sft" | "preference");
        assert_eq!(last.get("monitor/proxy").is_some(), rewards_something, "{kind}");
        let report = watched.read("runs/tiny/report.html");
        assert!(report.contains("Over-optimisation") && report.contains("√KL in nats"), "{kind}");
        assert_eq!(lines(&watched.path("runs/tiny/distances.jsonl")).len(), measured.len());
        assert!(watched.path("runs/tiny/over_optimisation.json").is_file());
    }
}

fn wait_for_steps(workshop: &Workshop, count: usize) {
    let start = Instant::now();
    let steps = || {
        let metrics = fs::read_to_string(workshop.path("runs/tiny/metrics.jsonl")).unwrap_or_default();
        metrics.lines().filter(|line| line.contains("\"loss\"")).count()
    };
    while steps() < count {
        assert!(start.elapsed() < Duration::from_mins(1), "waited in vain for {count} steps");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_watched_stage_survives_kill_9() {
    let monitor = format!("{MONITOR}every = 3\nstop = true\npatience = 50\n");
    let text = stage("group", "tune = \"full\"\n", &monitor);
    let text = text.replace("max_steps = 6", "max_steps = 40").replace("epochs = 2", "epochs = 20");
    let whole = workshop();
    whole.write("recipe.toml", &text);
    whole.succeed(&["run", "recipe.toml"]);
    assert!(measured(&whole).len() >= 14);
    let killed = workshop();
    killed.write("recipe.toml", &text);
    for reach in [7, 15, 25] {
        let mut command = killed.command(&["run", "recipe.toml"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_steps(&killed, reach);
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "killed too late");
    }
    killed.succeed(&["run", "recipe.toml"]);
    assert_eq!(weights(&killed), weights(&whole));
    assert_eq!(measured(&killed), measured(&whole));
    assert_eq!(killed.read("runs/tiny/distances.jsonl"), whole.read("runs/tiny/distances.jsonl"));
}

/// Tokens have a price in training and are paid for where it is held out: the start is best.
#[test]
fn a_falling_reward_ends_the_stage_and_says_so() {
    let monitor = format!("{MONITOR}every = 1\nstop = true\npatience = 1\n");
    let text = stage("group", "tune = \"full\"\n", &monitor).replace("learning_rate = 1e-2", "learning_rate = 5e-2");
    let text = text.replace("max_steps = 6", "max_steps = 200").replace("epochs = 2", "epochs = 200");
    let text = text.replace("per_token = -0.1", "per_token = -1.0").replace("answer_tokens = 6", "answer_tokens = 12");
    let workshop = workshop();
    workshop.write("recipe.toml", text);
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("stopped early: the monitor's reward falls"), "{said}");
    assert!(said.contains("is taken, the best on what is held out"), "{said}");
}

#[test]
fn best_of_n_writes_its_curve() {
    let workshop = workshop();
    let text = "name = \"tiny\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"best-of-n\"\n\
                data = \"held-out.jsonl\"\nsamples = 8\nanswer_tokens = 6\nmax_length = 64\n\
                reward = { length = { per_token = 0.1 } }\ngold_reward = { length = { per_token = -0.1 } }\n";
    workshop.write("recipe.toml", text);
    workshop.succeed(&["run", "recipe.toml"]);
    let metrics = lines(&workshop.path("runs/tiny/metrics.jsonl"));
    let sizes: Vec<f64> = metrics.iter().map(|line| line["n"].as_f64().unwrap()).collect();
    assert_eq!(sizes, [1.0, 2.0, 3.0, 4.0, 6.0, 8.0]);
    for line in &metrics {
        // Lengths tie, so that choosing costs less than without ties.
        let n = line["n"].as_f64().unwrap();
        let (kl, bound) = (line["monitor/kl"].as_f64().unwrap(), n.ln() - (n - 1.0) / n);
        assert!(kl <= bound + 1e-12, "{line}");
        // What is held out is the opposite of what is chosen by.
        let sum = line["monitor/proxy"].as_f64().unwrap() + line["monitor/reward"].as_f64().unwrap();
        assert!(sum.abs() < 1e-9, "{line}");
    }
    let report = workshop.read("runs/tiny/report.html");
    assert!(report.contains("KL of best-of-n") && report.contains("log n - (n - 1)/n"));
    // Finished is finished; --restart writes the same again.
    let before = workshop.read("runs/tiny/distances.jsonl");
    workshop.succeed(&["run", "recipe.toml", "--restart"]);
    assert_eq!(workshop.read("runs/tiny/distances.jsonl"), before);
}

#[test]
fn what_is_refused_names_the_key_and_the_fix() {
    let cases = [
        ("reward", "", "`monitor` is not a key of a reward stage"),
        (
            "expert-iteration",
            "select = { by = \"quantiles\", labels = [\"- \", \"+ \"], pool = 5 }\n",
            "answers behind labels",
        ),
        (
            "sft",
            "early_stop_patience = 2\n|every = 1\nstop = true\n",
            "`monitor.stop` and `early_stop_patience` both decide",
        ),
        ("sft", "|prompts = 0\n", "`monitor.prompts` is 0"),
        ("sft", "|patience = 3\n", "`monitor.patience` is set but `monitor.stop` is not"),
        ("sft", "|stop = true\npatience = 0\n", "`monitor.patience` is 0"),
        ("sft", "|stop = true\nevery = 0\n", "`monitor.stop` is set but nothing is measured on the way"),
        ("sft", "|evry = 3\n", "did you mean `every`?"),
        ("group", "|reward = { checks = \"exact\" }\n", "unknown key `checks`"),
        ("group", "|reward = []\n", "monitor: `reward` is an empty list"),
        ("group", "|reward = { check = \"exact\" }\n", "there is no answer that is right"),
        ("group", "|answer_tokens = 0\n", "`monitor.answer_tokens` is 0"),
        ("group", "|answer_tokens = 64\n", "`monitor.answer_tokens` is 64 of `max_length` 64"),
        ("group", "|data = \"none.jsonl\"\n", "none.jsonl"),
        (
            "group",
            "|data = { path = \"held-out.jsonl\", weight = 2.0 }\n",
            "`weight` of a source is not read by `monitor`",
        ),
    ];
    for (kind, change, expected) in cases {
        let workshop = workshop();
        let (own, changed) = change.split_once('|').unwrap_or((change, ""));
        let key = |line: &str| line.split(" =").next().unwrap_or_default().to_owned();
        let changed_keys: Vec<String> = changed.lines().map(key).collect();
        let kept: String = MONITOR
            .lines()
            .filter(|line| line.starts_with('[') || !changed_keys.contains(&key(line)))
            .flat_map(|line| [line, "\n"])
            .collect();
        workshop.write("recipe.toml", stage(kind, own, &format!("{kept}{changed}")));
        let message = workshop.fail(&["run", "recipe.toml"]);
        assert!(message.contains(expected) && message.contains("fix: "), "{kind} {change}: {message}");
    }
    let workshop = workshop();
    let kept: String =
        MONITOR.lines().filter(|line| !line.starts_with("reward")).flat_map(|line| [line, "\n"]).collect();
    workshop.write("recipe.toml", stage("group", "", &kept));
    let message = workshop.fail(&["run", "recipe.toml"]);
    assert!(message.contains("`reward` is missing"), "{message}");
}
