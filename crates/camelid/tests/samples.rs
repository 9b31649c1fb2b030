//! Several answers to each item of a benchmark, through the binary.

mod support;

use serde_json::{Value as Json, json};
use support::{Workshop, digits};

const EVALUATE: [&str; 11] =
    ["evaluate", "model", "--tasks", "digits.toml", "--data", ".", "--out", "e", "--compute", "f32", "--restart"];

fn results(workshop: &Workshop) -> Json {
    serde_json::from_str(&workshop.read("e/results.json")).unwrap()
}

fn figure<'a>(results: &'a Json, name: &str) -> &'a Json {
    let secondary = results["tasks"][0]["secondary"].as_array().unwrap();
    secondary.iter().find(|figure| figure["metric"] == name).unwrap_or_else(|| panic!("{name}: {results}"))
}

#[test]
fn samples_are_kept_and_vote() {
    let workshop = digits(8);
    // Hardly any answer of a model of noise is a number, so that the score is void and the exit code says so.
    let sampled = [&EVALUATE[..], &["--samples", "4", "--temperature", "1.5"]].concat();
    workshop.run(&sampled);
    let first = results(&workshop);
    assert_eq!((&first["tasks"][0]["metric"], &first["tasks"][0]["n"]), (&json!("maj@4"), &json!(8)));
    assert_eq!((&first["options"]["samples"], &first["options"]["temperature"]), (&json!(4), &json!(1.5)));
    assert!(figure(&first, "pass@n")["value"].is_number() && figure(&first, "answers_read")["value"].is_number());
    let items: Vec<Json> =
        workshop.read("e/items/digits.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<&Json> =
        items[0]["details"]["samples"].as_array().unwrap().iter().map(|sample| &sample["answer"]).collect();
    assert!(texts.len() == 4 && texts.iter().any(|text| *text != texts[0]), "{texts:?}");
    // The same seed draws the same, another others.
    workshop.run(&sampled);
    let again = workshop.read("e/items/digits.jsonl");
    workshop.run(&[&sampled[..], &["--seed", "1"]].concat());
    assert_eq!(again.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()).collect::<Vec<_>>(), items);
    assert_ne!(workshop.read("e/items/digits.jsonl"), again);
}

#[test]
fn a_reward_model_chooses() {
    let workshop = digits(8);
    let rows: String = (0..16)
        .map(|i| {
            let prompt = json!([{"role": "user", "content": format!("Say {i}.")}]);
            json!({"prompt": prompt, "responses": [format!("{i}"), "never"], "scores": [1, 0]}).to_string() + "\n"
        })
        .collect();
    workshop.write("pairs.jsonl", rows);
    let recipe = "name = \"tiny\"\nmodel = \"model\"\ncompute = \"f32\"\nthreads = 1\n\n[[stage]]\nkind = \"reward\"\n\
        data = \"pairs.jsonl\"\nvalidation_share = 0.25\nmax_length = 96\nbatch_size = 4\nepochs = 2\nlearning_rate = 1e-2\n";
    workshop.write("recipe.toml", recipe);
    workshop.succeed(&["run", "recipe.toml"]);
    let samples = ["--samples", "3", "--reward-model", "runs/tiny"];
    for more in [&[][..], &["--rate-steps"]] {
        let output = workshop.run(&[&EVALUATE[..], &samples, more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("not certified: "), "{said}");
        let found = results(&workshop);
        assert!(
            figure(&found, "best_of_n")["value"].is_number() && figure(&found, "weighed_vote")["value"].is_number()
        );
        let items = workshop.read("e/items/digits.jsonl");
        let item: Json = serde_json::from_str(items.lines().next().unwrap()).unwrap();
        assert!(item["details"]["samples"][0].get("rating").is_some(), "{item}");
    }
    let refused = workshop.fail(&[&EVALUATE[..], &["--samples", "3", "--reward-model", "model"]].concat());
    assert!(refused.contains("this is no reward model") && refused.contains("fix: "), "{refused}");
}

#[test]
fn hints_ask_again() {
    let workshop = digits(8);
    workshop.run(&[&EVALUATE[..], &["--hints", "3"]].concat());
    let items = workshop.read("e/items/digits.jsonl");
    let item: Json = serde_json::from_str(items.lines().next().unwrap()).unwrap();
    assert!(item["details"]["asked"].as_u64().is_some_and(|asked| (2..=3).contains(&asked)), "{item}");
}

#[test]
fn refusals_name_the_flag() {
    let workshop = digits(8);
    for (flags, expected) in [
        (&["--samples", "1"][..], "--samples is below 2"),
        (&["--samples", "3", "--temperature", "0"], "--temperature is 0"),
        (&["--samples", "3", "--top-p", "1.5"], "--top-p is 1.5"),
        (&["--hints", "1"], "--hints is below 2"),
    ] {
        let refused = workshop.fail(&[&EVALUATE[..], flags].concat());
        assert!(refused.contains(expected), "{flags:?}: {refused}");
    }
    for flags in [&["--temperature", "1"][..], &["--samples", "3", "--hints", "3"], &["--rate-steps"]] {
        assert_eq!(workshop.run(&[&EVALUATE[..], flags].concat()).status.code(), Some(2), "{flags:?}");
    }
}
