//! `camelid sweep` as a user runs it, on a tiny model.

mod support;

use serde_json::Value as Json;
use support::{Workshop, recipe};

const SWEEP: &str = r#"
name = "both"
seeds = [0, 1]
set = ["stage.max_steps=4"]
table = ["eval_loss"]

[[figure]]
title = "Loss over steps"
x = "step"
y = "eval_loss"
y_better = "lower"
reference = [10.0, 10.0]

[[variant]]
name = "slow"
recipe = "recipe.toml"
set = ["stage.learning_rate=1e-4"]

[[variant]]
name = "broken"
recipe = "broken.toml"
"#;

#[test]
fn a_sweep_runs_reports_and_goes_on() {
    let workshop = Workshop::new();
    workshop.write("recipe.toml", recipe("tune = \"full\"\n"));
    // Its data are there when the sweep is checked and cannot be trained on when it runs.
    workshop.write("empty.jsonl", "{\"messages\":[]}\n");
    workshop.write("broken.toml", recipe("").replace("data.jsonl", "empty.jsonl"));
    workshop.write("sweep.toml", SWEEP);
    let output = workshop.run(&["sweep", "sweep.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("2/4 slow seed 1: finished in ") && said.contains("4/4 broken seed 1: FAILED: "), "{said}");
    assert!(said.contains("error: 2 of 4 runs failed"), "{said}");

    let json: Json = serde_json::from_str(&workshop.read("runs/both/sweep.json")).unwrap();
    let slow = &json["variants"][0];
    assert_eq!(slow["runs"][1]["state"], "finished");
    assert_eq!(slow["table"]["eval_loss"]["runs"], 2);
    assert!(slow["figures"][0]["hypervolume"]["mean"].as_f64().unwrap() > 0.0);
    assert_eq!(json["variants"][1]["runs"][0]["state"], "failed");
    // Before the first step and after 2 and 4, for each seed.
    assert_eq!(workshop.read("runs/both/points.csv").lines().count(), 1 + 2 * 3);
    assert!(workshop.read("runs/both/table.csv").contains("slow,eval_loss,2,"));
    let page = workshop.read("runs/both/report.html");
    for part in ["<h3>Loss over steps</h3>", "Failed runs", "Hypervolume of the frontier"] {
        assert!(page.contains(part), "{part}");
    }

    // Again without the broken one: nothing is run, the numbers are the same.
    let metrics = workshop.read("runs/both/slow/seed-1/metrics.jsonl");
    workshop.write("sweep.toml", SWEEP.split("[[variant]]\nname = \"broken\"").next().unwrap());
    let again = workshop.run(&["sweep", "sweep.toml"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && said.contains("2/2 slow seed 1: finished before"), "{said}");
    assert_eq!(workshop.read("runs/both/slow/seed-1/metrics.jsonl"), metrics);
    let repeated: Json = serde_json::from_str(&workshop.read("runs/both/sweep.json")).unwrap();
    assert_eq!(&repeated["variants"][0], slow);
}

#[test]
fn a_sweep_that_cannot_be_run_says_so_before_it_starts() {
    let workshop = Workshop::new();
    for (from, to, expected) in [
        ("seeds", "seed", "did you mean `seeds`?"),
        ("seeds = [0, 1]", "seeds = [1, 1]", "a seed stands there twice"),
        ("name = \"broken\"", "name = \"slow\"", "two variants are called \"slow\""),
        ("name = \"slow\"", "name = \"../slow\"", "a variant's `name` is \"../slow\""),
        ("broken.toml", "none.toml", "variant \"broken\": none.toml: the recipe cannot be read"),
        ("stage.learning_rate=1e-4", "stage.learning_rat=1e-4", "did you mean `learning_rate`?"),
        ("stage.learning_rate=1e-4", "seed=3", "`set` changes `seed`"),
        ("y_better = \"lower\"", "y_better = \"down\"", "unknown value `down`"),
    ] {
        workshop.write("broken.toml", recipe(""));
        workshop.write("sweep.toml", SWEEP.replacen(from, to, 1));
        let said = workshop.fail(&["sweep", "sweep.toml"]);
        assert!(said.contains(expected) && said.contains("fix: "), "{said}");
        assert!(!workshop.path("runs").exists());
    }
}
