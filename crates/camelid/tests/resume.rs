//! Runs that are interrupted: whatever happens to the process, the same command ends in the same bits.

#![cfg(unix)]

mod support;

use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use support::{Workshop, recipe};

const STEPS: usize = 40;

fn long_recipe(lines: &str) -> String {
    recipe(lines).replace("max_steps = 6", &format!("max_steps = {STEPS}")).replace("epochs = 2", "epochs = 20")
}

fn start(workshop: &Workshop) -> Child {
    let mut command = workshop.command(&["run", "recipe.toml"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Steps measured so far.
fn steps(workshop: &Workshop) -> usize {
    let metrics = fs::read_to_string(workshop.path("runs/tiny/metrics.jsonl")).unwrap_or_default();
    metrics.lines().filter(|line| line.contains("\"loss\"")).count()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_mins(1), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn end(mut child: Child) -> ExitStatus {
    child.wait().unwrap()
}

/// sha256 of the final weights and of the last checkpoint, optimiser state included.
fn hashes(workshop: &Workshop) -> Vec<(String, Vec<u8>)> {
    let mut files = vec!["model/model.safetensors".to_owned()];
    let checkpoint = format!("checkpoints/step-{STEPS}");
    for entry in fs::read_dir(workshop.path("runs/tiny").join(&checkpoint)).unwrap() {
        files.push(format!("{checkpoint}/{}", entry.unwrap().file_name().into_string().unwrap()));
    }
    files.sort();
    let hash = |name: String| {
        let bytes = fs::read(workshop.path("runs/tiny").join(&name)).unwrap();
        (name, Sha256::digest(&bytes).to_vec())
    };
    files.into_iter().map(hash).collect()
}

fn losses(workshop: &Workshop) -> Vec<String> {
    let key = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        format!("{} {} {}", json["step"], json["loss"], json["eval_loss"])
    };
    workshop.read("runs/tiny/metrics.jsonl").lines().map(key).collect()
}

fn uninterrupted(lines: &str) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
    let workshop = Workshop::new();
    workshop.write("recipe.toml", long_recipe(lines));
    workshop.succeed(&["run", "recipe.toml"]);
    (hashes(&workshop), losses(&workshop))
}

fn killed_at_random(lines: &str, seed: u64) {
    let expected = uninterrupted(lines);
    let workshop = Workshop::new();
    workshop.write("recipe.toml", long_recipe(lines));
    let mut random = seed;
    let mut kills = 0;
    while steps(&workshop) < STEPS - 3 {
        let mut child = start(&workshop);
        let before = steps(&workshop);
        wait_for("a new step", || steps(&workshop) != before || child.try_wait().unwrap().is_some());
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        let _ = child.kill();
        kills += usize::from(!end(child).success());
        assert!(kills < 200, "no progress");
    }
    workshop.succeed(&["run", "recipe.toml"]);
    assert!(kills >= 3, "{kills} kills test little");
    assert_eq!(hashes(&workshop), expected.0, "after {kills} kills");
    assert_eq!(losses(&workshop), expected.1);
}

#[test]
fn an_adapter_survives_kill_9_at_random_times() {
    killed_at_random("lora = { rank = 4, dropout = 0.1 }\n", 1);
}

#[test]
fn a_fully_tuned_model_survives_kill_9_at_random_times() {
    killed_at_random("tune = \"full\"\nneftune_alpha = 5.0\ntokens_per_micro_batch = 40\n", 2);
}

#[test]
fn ctrl_c_and_sigterm_leave_a_checkpoint_and_a_code_of_their_own() {
    let lines = "tune = \"full\"\n";
    let expected = uninterrupted(lines);
    let workshop = Workshop::new();
    workshop.write("recipe.toml", long_recipe(lines).replace("checkpoint_every = 1", "checkpoint_every = 0"));
    let mut reached = 0;
    for name in ["INT", "TERM"] {
        let child = start(&workshop);
        wait_for("a new step", || steps(&workshop) > reached);
        signal(&child, name);
        assert_eq!(end(child).code(), Some(130));
        reached = steps(&workshop);
        assert!(workshop.path(&format!("runs/tiny/checkpoints/step-{reached}")).is_dir(), "{reached}");
    }
    workshop.succeed(&["run", "recipe.toml"]);
    // How often checkpoints are written is no part of the result.
    assert_eq!(hashes(&workshop)[..1], expected.0[..1]);
    assert_eq!(losses(&workshop), expected.1);
}

#[test]
fn a_checkpoint_is_written_on_request() {
    let workshop = Workshop::new();
    let recipe = long_recipe("tune = \"full\"\n").replace("checkpoint_every = 1", "checkpoint_every = 0");
    workshop.write(
        "recipe.toml",
        recipe.replace(&format!("max_steps = {STEPS}"), "max_steps = 100000").replace("epochs = 20", "epochs = 100000"),
    );
    let child = start(&workshop);
    wait_for("steps", || steps(&workshop) > 2);
    signal(&child, "USR1");
    let checkpoints = workshop.path("runs/tiny/checkpoints");
    wait_for("a checkpoint", || {
        let names = fs::read_dir(&checkpoints).map(|entries| entries.filter_map(Result::ok).collect::<Vec<_>>());
        names.is_ok_and(|names| names.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("step-")))
    });
    signal(&child, "TERM");
    assert_eq!(end(child).code(), Some(130));
}

#[test]
fn a_torn_checkpoint_is_passed_over() {
    let lines = "lora = { rank = 4 }\n";
    let expected = uninterrupted(lines);
    let workshop = Workshop::new();
    workshop.write("recipe.toml", long_recipe(lines));
    let child = start(&workshop);
    wait_for("steps", || steps(&workshop) > 8);
    signal(&child, "KILL");
    end(child);
    let newest = fs::read_dir(workshop.path("runs/tiny/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("step-"))
        .max_by_key(|path| path.file_name().unwrap().to_string_lossy()[5..].parse::<u64>().unwrap())
        .unwrap();
    for entry in fs::read_dir(&newest).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
    workshop.succeed(&["run", "recipe.toml"]);
    assert_eq!(hashes(&workshop), expected.0);
    let left: Vec<String> = fs::read_dir(workshop.path("runs/tiny/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.len() == 2 && left.iter().all(|name| name.starts_with("step-")), "{left:?}");
}
