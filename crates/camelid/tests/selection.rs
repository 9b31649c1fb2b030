//! Stages that learn from chosen answers of their policy, as a user runs them, on a tiny model.

mod support;

use serde_json::{Value as Json, json};
use support::Workshop;

fn recipe(kind: &str, lines: &str) -> String {
    format!(
        "name = \"tiny\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"{kind}\"\n\
         data = \"prompts.jsonl\"\nvalidation_share = 0.25\nmax_length = 96\nbatch_size = 4\nsamples = 16\n\
         answer_tokens = 24\nepochs = 20\nlearning_rate = 3e-2\ncheckpoint_every = 10\n\
         reward = \"contains\"\n{lines}"
    )
}

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let rows: String =
        (0..8).map(|i| json!({"prompt": format!("Say {i}: "), "completion": "e"}).to_string() + "\n").collect();
    workshop.write("prompts.jsonl", rows);
    workshop
}

/// Runs it and returns what it said and its steps.
fn run(workshop: &Workshop, kind: &str, lines: &str) -> (String, Vec<Json>) {
    workshop.train(&recipe(kind, lines), "reward")
}

#[test]
fn every_way_of_choosing_raises_the_reward() {
    let lora = "lora = { rank = 8 }\n";
    let rso = "loss = \"rso\"\ngamma = 0.5\nsampler = { by = \"rejection\", beta = 0.5, keep = 8 }\n";
    for (kind, lines) in [
        ("expert-iteration", "select = { by = \"best\", keep = 2 }\n"),
        ("expert-iteration", "select = \"threshold\"\n"),
        ("expert-iteration", "select = { by = \"right\", from = 0.5 }\nreduction = \"records\"\n"),
        ("online-preference", "loss = \"dpo\"\n"),
        ("online-preference", rso),
    ] {
        let workshop = workshop();
        let (said, steps) = run(&workshop, kind, &format!("{lines}{lora}"));
        assert!(said.contains("check: generator equals trainer: 0 of "), "{said}");
        if kind == "online-preference" {
            assert!(said.contains("check: policy is reference: 0 of "), "{said}");
            // Of the first round, whose policy is the reference.
            assert!((steps[0]["loss"].as_f64().unwrap() - std::f64::consts::LN_2).abs() < 1e-9, "{}", steps[0]);
        }
        let reward = |lines: &[Json]| {
            lines.iter().map(|line| line["reward"].as_f64().unwrap()).sum::<f64>() / lines.len() as f64
        };
        let (first, last) = (reward(&steps[..4]), reward(&steps[steps.len() - 4..]));
        assert!(last > first + 0.1, "{lines}: {first} -> {last}");
    }
}

/// What answers of each quality look like takes long to learn; here only that it runs, remembers and is held to its start.
#[test]
fn quantiles_are_learned_behind_labels() {
    let workshop = workshop();
    let lines = "select = { by = \"quantiles\", labels = [\"- \", \"0 \", \"+ \"], pool = 6 }\nmax_steps = 3\nlora = { rank = 4 }\n";
    let (said, steps) = run(&workshop, "expert-iteration", lines);
    assert!(said.contains("check: generator equals trainer: 0 of "), "{said}");
    // Four prompts a round, sixteen answers each, six prompts kept.
    let answers: Vec<&Json> = steps.iter().map(|step| &step["pool/answers"]).collect();
    assert_eq!(answers, [64.0, 96.0, 96.0]);
    // The policy answers with a label in front, the reference without: they differ from the start, and learning sees both.
    assert!(steps.iter().all(|step| step["kl"].as_f64().unwrap() > 0.0 && step["nll"].as_f64().unwrap() > 0.0));
}

/// All weights change, so the reference is a copy that the engine keeps.
#[test]
fn full_tuning_keeps_a_copy_as_reference() {
    let workshop = workshop();
    let lines = "tune = \"full\"\nmax_steps = 3\nreference_update = { every = 1, share = 1.0 }\n";
    let (said, steps) = run(&workshop, "online-preference", lines);
    assert!(said.contains("check: policy is reference: 0 of "), "{said}");
    // The reference follows after every round: each starts from ln 2.
    for step in &steps {
        assert!((step["loss"].as_f64().unwrap() - std::f64::consts::LN_2).abs() < 1e-6, "{step}");
    }
    let lines = "tune = \"full\"\nmax_steps = 3\nselect = { by = \"quantiles\", labels = [\"- \", \"+ \"] }\n";
    let (_, steps) = run(&workshop, "expert-iteration", lines);
    assert!(steps[2]["kl"].as_f64().unwrap() > 0.0, "{}", steps[2]);
}

/// The data's own answers are learned even in a round that chooses nothing.
#[test]
fn demonstrations_join_what_is_chosen() {
    let workshop = workshop();
    let lines = "select = { by = \"right\", from = 9.0 }\nmax_steps = 2\nlora = { rank = 4 }\n";
    let (_, steps) = run(&workshop, "expert-iteration", lines);
    assert!(steps.iter().all(|step| step["selected/share"] == 0.0 && step["loss"].is_null()), "{steps:?}");
    assert_eq!(steps[1]["num_tokens"], 0);
    let (_, steps) = run(&workshop, "expert-iteration", &format!("{lines}demonstrations = true\n"));
    assert!(steps.iter().all(|step| step["selected/share"] == 0.0 && step["loss"].is_number()), "{steps:?}");
    let shown = workshop.succeed(&["inspect", "batch", "recipe.toml"]);
    assert!(shown.contains("[[e"), "{shown}");
}
