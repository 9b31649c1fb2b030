//! PPO and its kin, as a user runs them, on a tiny model.

mod support;

use serde_json::{Value as Json, json};
use support::Workshop;

fn recipe(kind: &str, lines: &str) -> String {
    format!(
        "name = \"tiny\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"{kind}\"\n\
         data = \"prompts.jsonl\"\nvalidation_share = 0.25\nmax_length = 96\nbatch_size = 4\n\
         answer_tokens = 24\nepochs = 16\nlearning_rate = 3e-2\ncheckpoint_every = 10\neval_every = 4\n\
         evaluation = \"sampled\"\nreward = \"contains\"\n{lines}"
    )
}

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let rows: String =
        (0..8).map(|i| json!({"prompt": format!("Say {i}: "), "completion": "e"}).to_string() + "\n").collect();
    workshop.write("prompts.jsonl", rows);
    workshop
}

/// Runs it and returns what it said, its steps and its evaluations.
fn run(workshop: &Workshop, kind: &str, lines: &str) -> (String, Vec<Json>, Vec<Json>) {
    workshop.write("recipe.toml", recipe(kind, lines));
    let output = workshop.run(&["run", "recipe.toml", "--restart"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{lines}: {said}");
    let metrics = workshop.read("runs/tiny/metrics.jsonl");
    let lines = metrics.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let (steps, evaluations) = lines.partition(|line| line["loss"].is_number());
    (said, steps, evaluations)
}

fn mean(lines: &[Json], key: &str) -> f64 {
    lines.iter().map(|line| line[key].as_f64().unwrap_or_else(|| panic!("{key}: {line}"))).sum::<f64>()
        / lines.len() as f64
}

/// The reward of the last steps is above that of the first.
fn rises(steps: &[Json], key: &str, by: f64, what: &str) {
    let (first, last) = (mean(&steps[..4], key), mean(&steps[steps.len() - 4..], key));
    assert!(last > first + by, "{what}: {first} -> {last}");
}

fn checked(said: &str) {
    for check in [
        "check: generator equals trainer: 0 of ",
        "check: rewards of tokens: ",
        "check: policy is reference: 0 of ",
        "check: advantages: ",
        "check: first update: ratio 1, approximate KL 0, clipped 0 of",
    ] {
        assert!(said.contains(check), "{check} is not in {said}");
    }
}

#[test]
fn ppo_raises_the_reward_with_an_adapter_and_in_full() {
    let adapter = "samples = 8\nlora = { rank = 8 }\nema = 0.5\nkl = { coefficient = 0.01 }\n";
    let full = "samples = 8\ntune = \"full\"\nlearning_rate = 1e-2\nkl = { coefficient = 0.01, target = 2.0 }\n";
    for lines in [adapter, full] {
        let workshop = workshop();
        let text = recipe("ppo", "");
        assert!(text.contains("learning_rate = 3e-2\n"));
        let lines = lines.replace("learning_rate = 1e-2\n", "value_learning_rate = 1e-2\n");
        let (said, steps, evaluations) = run(&workshop, "ppo", &lines);
        checked(&said);
        rises(&steps, "objective/scores", 0.1, &lines);
        // The policy starts as its reference, on held-out prompts too.
        assert_eq!((&steps[0]["objective/kl"], &evaluations[0]["eval_objective/kl"]), (&json!(0.0), &json!(0.0)));
        assert!(evaluations.last().unwrap()["eval_objective/kl"].as_f64().unwrap() != 0.0);
        assert!(workshop.path("runs/tiny/model/model.safetensors").is_file());
        assert!(workshop.path("runs/tiny/checkpoints/step-24/value.safetensors").is_file());
    }
}

/// From a reward model that was trained before, and with other records beside.
#[test]
fn a_value_model_starts_from_a_reward_model() {
    let workshop = workshop();
    let pairs: String = (0..6)
        .map(|i| json!({"prompt": format!("Say {i}: "), "chosen": "eee", "rejected": "xyz"}).to_string() + "\n")
        .collect();
    workshop.write("pairs.jsonl", pairs);
    workshop.write(
        "reward.toml",
        "name = \"judge\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n[[stage]]\nkind = \"reward\"\n\
         data = \"pairs.jsonl\"\nvalidation_share = 0\nmax_length = 64\nbatch_size = 3\nepochs = 4\nlearning_rate = 1e-2\n",
    );
    workshop.succeed(&["run", "reward.toml"]);
    let lines = "max_steps = 2\nsamples = 4\nlora = { rank = 4 }\nvalue_model = \"runs/judge\"\n\
                 pretraining = { data = \"data.jsonl\", batch_size = 2 }\n";
    let (said, steps, _) = run(&workshop, "ppo", lines);
    assert!(said.contains("value model: runs/judge"), "{said}");
    // A head of zeros would say 0 at the first step.
    assert!(steps[0]["critic/values/mean"].as_f64().unwrap().abs() > 1e-3, "{}", steps[0]);
    assert!(steps[0]["loss/pretraining_avg"].as_f64().unwrap() > 1.0, "{}", steps[0]);
    let (_, steps, _) = run(&workshop, "ppo", "max_steps = 1\nlora = { rank = 4 }\n");
    assert_eq!(steps[0]["critic/values/mean"], 0.0);
}

#[test]
fn methods_without_a_value_model_raise_the_reward() {
    for lines in [
        "loss = \"remax\"\nsamples = 8\n",
        "loss = \"reinforce++\"\nsamples = 8\ninner_epochs = 2\nmini_batches = 2\n",
        "loss = \"reinforce++-baseline\"\nsamples = 8\n",
        "loss = \"rloo\"\nsamples = 8\nkl_in = \"loss\"\n",
        "loss = \"grpo\"\nsamples = 8\nkl_in = \"reward\"\n",
    ] {
        let workshop = workshop();
        let (said, steps, evaluations) = run(&workshop, "group", &format!("{lines}lora = {{ rank = 8 }}\n"));
        assert!(said.contains("check: first update: ratio 1, approximate KL 0, "), "{said}");
        assert_eq!(said.contains("check: advantages: "), lines.contains("reinforce++"), "{said}");
        rises(&steps, "objective/scores", 0.1, lines);
        assert_eq!(evaluations[0]["eval_objective/kl"], 0.0, "{lines}");
    }
}

/// All weights change, so the reference is a copy that the engine keeps.
#[test]
fn full_tuning_of_groups_keeps_a_copy_as_reference() {
    let workshop = workshop();
    let (said, steps, _) = run(&workshop, "group", "samples = 4\ntune = \"full\"\nmax_steps = 3\n");
    assert!(said.contains("check: policy is reference: 0 of "), "{said}");
    assert_eq!(steps[0]["kl"], 0.0);
    assert!(steps[2]["kl"].as_f64().unwrap() > 0.0, "{}", steps[2]);
}

/// The bytes of the first tensor of a file whose name has `part` in it, both as they are there.
fn tensor(workshop: &Workshop, file: &str, part: &str) -> (String, Vec<u8>) {
    let bytes = std::fs::read(workshop.path(file)).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
    let header: Json = serde_json::from_slice(header).unwrap();
    let (name, entry) = header.as_object().unwrap().iter().find(|(name, _)| name.contains(part)).unwrap();
    let place = |index: usize| usize::try_from(entry["data_offsets"][index].as_u64().unwrap()).unwrap();
    (name.clone(), data[place(0)..place(1)].to_vec())
}

/// Beside the policy, as a reward model's folder, and the next run starts from it.
#[test]
fn a_value_model_is_left_to_be_used_again() {
    for tuning in [
        "tune = \"full\"\nkl = { coefficient = 0 }\n",
        "lora = { rank = 4 }\n",
        "lora = { rank = 4 }\nsave_merged = false\n",
    ] {
        let workshop = workshop();
        let (said, ..) = run(&workshop, "ppo", &format!("max_steps = 3\nsamples = 4\n{tuning}"));
        assert!(said.contains("the value model is in runs/tiny/value"), "{said}");
        assert!(!workshop.path("runs/tiny/.value-adapter").exists());
        if !tuning.contains("save_merged") {
            let config: Json = serde_json::from_str(&workshop.read("runs/tiny/value/config.json")).unwrap();
            assert_eq!(config["architectures"], json!(["LlamaForSequenceClassification"]));
            // What was saved is what was trained, and that is no head of zeros.
            let (_, saved) = tensor(&workshop, "runs/tiny/value/model.safetensors", "score.weight");
            let (_, trained) = tensor(&workshop, "runs/tiny/checkpoints/step-3/value.safetensors", "score");
            assert!(saved == trained && saved.iter().any(|byte| *byte != 0), "{tuning}");
        }
        let lines = format!("max_steps = 1\nsamples = 4\nvalue_model = \"runs/tiny/value\"\n{tuning}");
        workshop.write("again.toml", recipe("ppo", &lines).replace("\"tiny\"", "\"again\""));
        workshop.succeed(&["run", "again.toml"]);
        let metrics = workshop.read("runs/again/metrics.jsonl");
        let mut steps = metrics.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let first = steps.find(|line| line["loss"].is_number()).unwrap();
        assert!(first["critic/values/mean"].as_f64().unwrap().abs() > 1e-3, "{tuning}: {first}");
        // It judges records as a reward model does.
        workshop.write("said.jsonl", "{\"prompt\": \"Say 1: \", \"completion\": \"e\"}\n");
        let scored = workshop.succeed(&["score", "runs/tiny/value", "said.jsonl", "--compute", "f32"]);
        assert!(serde_json::from_str::<Json>(&scored).unwrap()["reward"].is_number(), "{scored}");
    }
}
