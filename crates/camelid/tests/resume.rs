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

/// Names in the folder of checkpoints.
fn checkpoints(workshop: &Workshop) -> Vec<String> {
    let entries = fs::read_dir(workshop.path("runs/tiny/checkpoints")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whether a checkpoint is being written, or was when the process ended.
fn writing(workshop: &Workshop) -> bool {
    checkpoints(workshop).iter().any(|name| name.starts_with(".writing-"))
}

/// Kills the run again and again, every other time while it writes a checkpoint.
fn killed_at_random(lines: &str, seed: u64) {
    let expected = uninterrupted(lines);
    let workshop = Workshop::new();
    workshop.write("recipe.toml", long_recipe(lines));
    let mut random = seed;
    let (mut kills, mut torn) = (0, 0);
    while steps(&workshop) < STEPS - 3 {
        let before = steps(&workshop);
        let mut child = start(&workshop);
        wait_for("a new step", || steps(&workshop) != before || child.try_wait().unwrap().is_some());
        if kills % 2 == 0 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        } else {
            let start = Instant::now();
            while !writing(&workshop) && start.elapsed() < Duration::from_secs(1) {}
        }
        let _ = child.kill();
        kills += usize::from(!end(child).success());
        torn += usize::from(writing(&workshop));
        assert!(kills < 200, "no progress");
    }
    workshop.succeed(&["run", "recipe.toml"]);
    assert!(kills >= 5 && torn >= 1, "{kills} kills, {torn} within a checkpoint, test little");
    assert_eq!(hashes(&workshop), expected.0, "after {kills} kills, {torn} within a checkpoint");
    assert_eq!(losses(&workshop), expected.1);
    assert!(!writing(&workshop));
}

#[test]
fn an_adapter_survives_kill_9_at_random_times() {
    killed_at_random("lora = { rank = 4, dropout = 0.1 }\n", 1);
}

#[test]
fn a_fully_tuned_model_survives_kill_9_at_random_times() {
    killed_at_random("tune = \"full\"\nneftune_alpha = 5.0\ntokens_per_micro_batch = 40\n", 2);
}

/// Stages whose policy answers prompts: what they draw, choose and remember is the same after a kill.
#[test]
fn stages_on_chosen_answers_survive_kill_9() {
    let labels = "select = { by = \"quantiles\", labels = [\"- \", \"+ \"], pool = 5 }\n";
    for (kind, lines) in [("expert-iteration", labels), ("online-preference", "inner_epochs = 2\n")] {
        let lines = format!(
            "{lines}samples = 4\nanswer_tokens = 6\nreward = {{ length = {{ per_token = 0.1 }} }}\nlora = {{ rank = 4 }}\n"
        );
        let recipe = long_recipe(&lines).replace("kind = \"sft\"", &format!("kind = \"{kind}\""));
        let whole = Workshop::new();
        whole.write("recipe.toml", &recipe);
        whole.succeed(&["run", "recipe.toml"]);
        let workshop = Workshop::new();
        workshop.write("recipe.toml", &recipe);
        let child = start(&workshop);
        wait_for("steps", || steps(&workshop) > 12);
        signal(&child, "KILL");
        assert!(!end(child).success() && steps(&workshop) < STEPS, "{kind}: killed too late");
        workshop.succeed(&["run", "recipe.toml"]);
        assert_eq!((hashes(&workshop), losses(&workshop)), (hashes(&whole), losses(&whole)), "{kind}");
    }
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
    wait_for("a checkpoint", || checkpoints(&workshop).iter().any(|name| name.starts_with("step-")));
    // It goes on after that.
    let written = steps(&workshop);
    wait_for("more steps", || steps(&workshop) > written + 2);
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
    let complete = checkpoints(&workshop).into_iter().filter_map(|name| name.strip_prefix("step-")?.parse().ok());
    let newest: u64 = complete.max().unwrap();
    let folder = workshop.path("runs/tiny/checkpoints");
    // Half written under another name, as a kill leaves it, and half there although complete by its name, as a disk may.
    let (temporary, damaged) = (folder.join(".writing-step-1000"), folder.join(format!("step-{newest}")));
    fs::create_dir(&temporary).unwrap();
    for entry in fs::read_dir(&damaged).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        fs::copy(&path, temporary.join(path.file_name().unwrap())).unwrap();
    }
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(&format!("step-{newest}: the checkpoint is damaged")), "{said}");
    assert_eq!((hashes(&workshop), losses(&workshop)), expected);
    assert_eq!(checkpoints(&workshop), [format!("step-{}", STEPS - 1), format!("step-{STEPS}")]);
}

/// Policy, value model, KL coefficient and the draw of other records, killed while answers are drawn and while they are
/// learned from.
#[test]
fn a_ppo_stage_survives_kill_9() {
    let lines = "samples = 2\nanswer_tokens = 6\nreward = { length = { per_token = 0.1 } }\nlora = { rank = 4 }\nema = 0.9\n\
                 inner_epochs = 2\nkl = { target = 0.5, horizon = 20 }\nscore_scale = { running = true, bound = 5 }\n\
                 pretraining = { data = \"data.jsonl\", coefficient = 1.0 }\n";
    let recipe = long_recipe(lines).replace("kind = \"sft\"", "kind = \"ppo\"");
    let whole = Workshop::new();
    whole.write("recipe.toml", &recipe);
    whole.succeed(&["run", "recipe.toml"]);
    let expected = (hashes(&whole), losses(&whole));
    assert!(expected.0.iter().any(|(name, _)| name.ends_with("value.safetensors")), "{:?}", expected.0);
    let workshop = Workshop::new();
    workshop.write("recipe.toml", &recipe);
    let mut random = 7_u64;
    for reach in [8, 16, 24] {
        let child = start(&workshop);
        wait_for("steps", || steps(&workshop) >= reach);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros((random >> 33) % 30_000));
        signal(&child, "KILL");
        assert!(!end(child).success() && steps(&workshop) < STEPS, "killed too late");
    }
    workshop.succeed(&["run", "recipe.toml"]);
    assert_eq!((hashes(&workshop), losses(&workshop)), expected);
}
