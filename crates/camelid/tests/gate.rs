//! Gates in recipes, as a user runs them: on evaluations that were planted, around a stage that tunes a tiny model.

mod support;

use serde_json::Value as Json;
use support::evaluations::{Planted, changed, write_evaluation};
use support::{Workshop, recipe};

/// The workshop's recipe with a gate and, behind it, one more stage that tunes.
fn gated(gate: &str) -> String {
    let tuning = recipe("");
    let stage = &tuning[tuning.find("[[stage]]").unwrap()..];
    format!("{tuning}\n[[stage]]\nkind = \"gate\"\n{gate}\n{stage}")
}

/// 1,000 questions before and after tuning.
fn workshop(lost: usize, won: usize) -> Workshop {
    let workshop = Workshop::new();
    for (name, scores) in ["base", "tuned"].into_iter().zip(changed(1000, 600, lost, won)) {
        write_evaluation(&workshop, name, name, &[Planted::new("trivia", "knowledge", scores)]);
    }
    workshop
}

const SIDES: &str = "before = \"base\"\nafter = \"tuned\"\n";

#[test]
fn what_is_kept_goes_on() {
    let workshop = workshop(20, 20);
    workshop.write("recipe.toml", gated(&format!("{SIDES}margin = 0.03\n")));
    workshop.succeed(&["run", "recipe.toml"]);
    let found: Json = serde_json::from_str(&workshop.read("runs/tiny/stage-2-gate/gate.json")).unwrap();
    assert_eq!(found["passed"], true);
    assert!(workshop.path("runs/tiny/stage-3-sft/adapter").is_dir());
    // The stage behind it goes on with what the one in front of it made.
    assert!(workshop.read("runs/tiny/stage-2-gate/action.json").contains("stage-1-sft/"));
    let page = workshop.read("runs/tiny/report.html");
    assert!(page.contains("stage-2-gate: Gate") && page.contains("passed: all 1 abilities are kept"), "the verdict");
    assert!(workshop.read("runs/tiny/stage-2-gate/comparison.html").contains("McNemar"));
}

#[test]
fn what_is_lost_ends_the_run_and_keeps_what_there_is() {
    let workshop = workshop(120, 20);
    workshop.write("recipe.toml", gated(&format!("{SIDES}keep = {{ trivia = 0.03 }}\n")));
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    let failure = said.lines().find(|line| line.starts_with("  trivia: ")).unwrap_or_else(|| panic!("{said}"));
    assert!(failure.starts_with("  trivia: 0.600 → 0.500, difference -0.100 (95 % -0.1"), "{failure}");
    assert!(failure.ends_with("1000 items), margin 0.03: lost"), "{failure}");
    assert!(said.contains("the gate does not pass; everything written so far is kept") && said.contains("\n  fix: "));
    for (kept, there) in [("stage-1-sft/adapter", true), ("stage-2-gate/gate.json", true), ("stage-3-sft", false)] {
        assert_eq!(workshop.path(&format!("runs/tiny/{kept}")).exists(), there, "{kept}");
    }
    assert!(!workshop.path("runs/tiny/stage-2-gate/finished.json").exists());
    assert!(workshop.read("runs/tiny/report.html").contains("not passed: trivia lost"));

    // The same command tries again: not the tuning, but the gate, on evaluations that are other ones by now.
    let [before, after] = changed(1000, 600, 20, 20);
    write_evaluation(&workshop, "base", "base", &[Planted::new("trivia", "knowledge", before)]);
    write_evaluation(&workshop, "tuned", "tuned", &[Planted::new("trivia", "knowledge", after)]);
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("stage-1-sft is finished"), "{said}");
    assert!(workshop.path("runs/tiny/stage-3-sft/adapter").is_dir());
    // Passed, and not held again.
    let output = workshop.run(&["run", "recipe.toml"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("stage-2-gate is finished"));
}

#[test]
fn what_cannot_be_shown_does_not_pass() {
    let workshop = workshop(20, 20);
    workshop.write("recipe.toml", gated(&format!("{SIDES}margin = 0.005\n")));
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(3) && said.contains("not shown; ") && said.contains(" items would tell"),
        "{said}"
    );
}

#[test]
fn plans_say_what_a_gate_is_held_on() {
    let workshop = workshop(0, 0);
    workshop.write("recipe.toml", gated(&format!("{SIDES}margin = 0.02\nkeep = {{ trivia = 0.05 }}\n")));
    let plan = workshop.succeed(&["plan", "recipe.toml"]);
    assert!(plan.contains("# may lose         trivia 5 points, every other task 2 points"), "{plan}");
    assert!(plan.contains("margin = 0.02") && plan.contains("alpha = 0.05"), "{plan}");
    assert!(!workshop.path("runs").exists());
}

const TASK: &str = r#"
name = "letters"
version = 1
title = "The letter that a question ends with"
axis = "reasoning"
licence = "MIT"
get = "write letters.jsonl into DATA"

[[source]]
evaluate = "test"
files = { test = "letters.jsonl" }

[prompt]
item = "{{ question }}"
answer = " {{ choices[answer] }}"

[score]
kind = "choices"
metric = "acc"
"#;

/// An eval stage of the base model, one that tunes, one of the tuned model, and a gate.
fn whole(workshop: &Workshop, evaluation: &str, gate: &str) {
    workshop.write("letters.toml", TASK);
    let rows = (0..40).map(|index| {
        let row = serde_json::json!({"question": format!("Question {index}: which"), "choices": ["a", "b", "c"], "answer": index % 3});
        row.to_string() + "\n"
    });
    std::fs::create_dir_all(workshop.path("tasks")).unwrap();
    workshop.write("tasks/letters.jsonl", rows.collect::<String>());
    let tuning = recipe("");
    let (head, stage) = tuning.split_at(tuning.find("[[stage]]").unwrap());
    let eval = format!("[[stage]]\nkind = \"eval\"\ntasks = [\"letters.toml\"]\ndata = \"tasks\"\n{evaluation}");
    let gate = format!("[[stage]]\nkind = \"gate\"\n{gate}");
    workshop.write("recipe.toml", format!("{head}{eval}model = \"base\"\n{stage}{eval}{gate}"));
}

fn read(workshop: &Workshop, name: &str) -> Json {
    serde_json::from_str(&workshop.read(name)).unwrap()
}

#[test]
fn a_recipe_evaluates_tunes_evaluates_and_decides() {
    let workshop = Workshop::new();
    whole(&workshop, "", "margin = 0.9\n");
    let plan = workshop.succeed(&["plan", "recipe.toml"]);
    assert!(
        plan.contains("# letters          40 items")
            && plan.contains("# before           stage 1\n# after            stage 3"),
        "{plan}"
    );
    workshop.succeed(&["run", "recipe.toml"]);
    let [base, tuned] = [1, 3].map(|stage| read(&workshop, &format!("runs/tiny/stage-{stage}-eval/results.json")));
    assert_eq!((&base["tasks"][0]["task"], &base["tasks"][0]["n"]), (&"letters".into(), &40.into()));
    assert_eq!(base["model"]["name"], "model");
    assert!(tuned["model"]["name"].as_str().unwrap().contains("stage-2-sft"), "{tuned}");
    assert_ne!(base["model"]["identity"], tuned["model"]["identity"]);
    let gate = read(&workshop, "runs/tiny/stage-4-gate/gate.json");
    assert_eq!((&gate["passed"], &gate["tasks"][0]["n"]), (&true.into(), &40.into()));
    // The same figures as from the command line.
    workshop.succeed(&[
        "evaluate",
        "model",
        "--tasks",
        "letters.toml",
        "--data",
        "tasks",
        "--out",
        "alone",
        "--compute",
        "f32",
    ]);
    assert_eq!(read(&workshop, "alone/results.json")["tasks"][0]["value"], base["tasks"][0]["value"]);
    assert_eq!(workshop.read("alone/items/letters.jsonl"), workshop.read("runs/tiny/stage-1-eval/items/letters.jsonl"));
    let page = workshop.read("runs/tiny/report.html");
    for part in ["stage-1-eval: Evaluation", "stage-3-eval: Samples", "stage-4-gate: Gate", ": which"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_gate_that_cannot_tell_is_tried_again_with_more_items() {
    let workshop = Workshop::new();
    whole(&workshop, "limit = 4\n", "margin = 0.3\n");
    let output = workshop.run(&["run", "recipe.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("4 items), margin 0.3: not shown; "), "{said}");
    let tuned = workshop.read("runs/tiny/stage-2-sft/finished.json");
    // More items and what may be lost: nothing is tuned again, and what was asked is not asked again.
    let changes = ["--set", "stage.1.limit=30", "--set", "stage.3.limit=30", "--set", "stage.4.margin=0.9"];
    let output = workshop.run(&[&["run", "recipe.toml"], &changes[..]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("stage-2-sft is finished"), "{said}");
    assert!(said.contains("replies of 30 were there already"), "{said}");
    assert_eq!(workshop.read("runs/tiny/stage-2-sft/finished.json"), tuned);
    assert_eq!(read(&workshop, "runs/tiny/stage-3-eval/results.json")["tasks"][0]["n"], 30);
}

/// All before anything is trained.
#[test]
fn evaluations_that_cannot_be() {
    let workshop = Workshop::new();
    for (evaluation, gate, expected) in [
        ("limit = 0\n", "margin = 0.1\n", "recipe.toml, stage 1: `limit` is 0"),
        ("limits = 1\n", "margin = 0.1\n", "did you mean `limit`?"),
        ("shots = -1\n", "margin = 0.1\n", "invalid value: integer `-1`"),
        ("", "keep = { leters = 0.1 }\n", "stage 4: `keep`: stage 1 does not evaluate `leters`"),
        ("", "margin = 0.1\nafter = 2\n", "stage 4: `after`: stage 2 evaluates nothing in front of the gate"),
        ("", "margin = 0.1\nbefore = 3\n", "stage 3 would be held against itself"),
    ] {
        whole(&workshop, evaluation, gate);
        let said = workshop.fail(&["run", "recipe.toml"]);
        assert!(said.contains(expected) && said.contains("\n  fix: "), "{evaluation}{gate}: {said}");
    }
    whole(&workshop, "", "margin = 0.1\n");
    let text = workshop.read("recipe.toml");
    for (from, to, expected) in [
        ("letters.toml", "leters", "recipe.toml, stage 1: there is no task `leters`"),
        ("data = \"tasks\"", "data = \"nowhere\"", "letters: there is no data in nowhere"),
        ("model = \"base\"", "model = \"bass\"", "did you mean `base`?"),
        ("model = \"base\"", "", "stage 4: there is no evaluation of the base model"),
        ("tasks = [\"letters.toml\"]", "tasks = []", "`tasks` is an empty list"),
        ("tasks = [\"letters.toml\"]", "tasks = [\"letters.toml\", \"letters.toml\"]", "letters is named twice"),
    ] {
        workshop.write("recipe.toml", text.replacen(from, to, 1));
        let said = workshop.fail(&["run", "recipe.toml"]);
        assert!(said.contains(expected) && said.contains("\n  fix: "), "{to}: {said}");
    }
    assert!(!workshop.path("runs").exists());
}

/// All before anything is trained.
#[test]
fn refusals() {
    let workshop = workshop(0, 0);
    for (gate, expected) in [
        ("", "recipe.toml, stage 2: a gate without `margin` and `keep` keeps nothing"),
        ("margin = 2\n", "recipe.toml, stage 2: `margin` is 2; it must lie between 0 and 1; 2 points are 0.02"),
        ("keep = { trivia = 0 }\n", "`keep.trivia` is 0; it must lie between 0 and 1"),
        ("margin = 0.02\nalpha = 0.7\n", "`alpha` is 0.7"),
        ("margin = 0.02\npower = 1\n", "`power` is 1"),
        ("margin = 0.02\n", "recipe.toml, stage 2: there is no evaluation of the base model"),
        ("margin = 0.02\nbefore = \"base\"\n", "there is no evaluation of the tuned model"),
        ("margin = 0.02\nbefore = \"nowhere\"\n", "`before`: nowhere is no evaluation"),
        ("margin = 0.02\nbefore = 1\nafter = \"tuned\"\n", "`before`: stage 1 evaluates nothing in front of the gate"),
        ("margin = 0.02\nbefore = -1\nafter = \"tuned\"\n", "`before`: stage 0 evaluates nothing"),
        ("margin = 0.02\nbefore = \"base\"\nafter = \"base\"\n", "base would be held against itself"),
        ("keep = { trivio = 0.02 }\nbefore = \"base\"\nafter = \"tuned\"\n", "`keep`: base does not evaluate `trivio`"),
        ("margin = 0.02\nmargins = 0.02\n", "did you mean `margin`?"),
        ("margin = 0.02\nbefore = true\n", "the number of an eval stage, or the directory of an evaluation"),
    ] {
        workshop.write("recipe.toml", gated(gate));
        let said = workshop.fail(&["run", "recipe.toml"]);
        assert!(said.contains(expected) && said.contains("\n  fix: "), "{gate}: {said}");
        assert!(!workshop.path("runs").exists(), "{gate}");
    }
}
