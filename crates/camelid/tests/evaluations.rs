//! `compare`, `gate`, `contamination` and the page of an evaluation, as a user runs them, on evaluations whose truth is planted.

mod support;

use serde_json::{Value as Json, json};
use support::Workshop;
use support::evaluations::{Planted, changed, write_evaluation};

/// `base` and `tuned` with 1,000 questions of knowledge (50 lost, 20 won) and 200 sums (nothing changed).
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let [before, after] = changed(1000, 600, 50, 20);
    let [sums, _] = changed(200, 120, 0, 0);
    for (name, knowledge) in [("base", before), ("tuned", after)] {
        let tasks =
            [Planted::new("trivia", "knowledge", knowledge), Planted::new("sums", "mathematics", sums.iter().copied())];
        write_evaluation(&workshop, name, name, &tasks);
    }
    workshop
}

/// Two evaluations of one task.
fn pair(workshop: &Workshop, sides: [Vec<bool>; 2]) {
    for (name, scores) in ["base", "tuned"].into_iter().zip(sides) {
        write_evaluation(workshop, name, name, &[Planted::new("trivia", "knowledge", scores)]);
    }
}

fn near(value: &Json, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[test]
fn comparisons_are_on_the_same_items() {
    let workshop = workshop();
    let found: Json = serde_json::from_str(&workshop.succeed(&["compare", "base", "tuned", "--json"])).unwrap();
    let row = &found["tasks"][0];
    assert_eq!((&row["task"], &row["n"], &row["test"]), (&json!("trivia"), &json!(1000), &json!("mc-nemar")));
    near(&row["difference"], -0.03);
    // Twice the binomial tail of 20 in 70 at one half, with half the weight of 20 itself.
    let (mut term, mut below) = (0.5_f64.powi(70), 0.0);
    for k in 0..20 {
        below += term;
        term *= f64::from(70 - k) / f64::from(k + 1);
    }
    near(&row["p"], 2.0 * (below + term / 2.0));
    near(&row["p_holm"], 4.0 * (below + term / 2.0));
    near(&found["tasks"][1]["p"], 1.0);
    near(&found["tasks"][1]["difference"], 0.0);

    let text = workshop.succeed(&["compare", "base", "tuned", "tuned"]);
    assert!(text.contains("after:  tuned (tuned)") && text.contains("-0.030") && text.contains("McNemar"), "{text}");
    // Four tests, so that Holm multiplies by four.
    assert!(text.contains("all 4 tests together"), "{text}");
}

#[test]
fn gates_say_by_their_exit_code_what_they_found() {
    let code = |workshop: &Workshop, arguments: &[&str]| {
        let output = workshop.run(&[&["gate", "base", "tuned"], arguments].concat());
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap(), said)
    };
    let workshop = Workshop::new();
    pair(&workshop, changed(2000, 1200, 40, 40));
    let (kept, said) = code(&workshop, &["--margin", "0.03"]);
    assert!(kept == 0 && said.contains("passed: all 1 abilities are kept"), "{kept} {said}");
    assert_eq!(code(&workshop, &["--keep", "trivia=0.03"]).0, 0);
    // The same difference does not show that less than half a point was lost.
    let (not_shown, said) = code(&workshop, &["--margin", "0.005"]);
    assert!(
        not_shown == 3 && said.contains("not passed: trivia not shown") && said.contains("items are too few"),
        "{said}"
    );
    // What is named goes before the margin of all.
    assert_eq!(code(&workshop, &["--margin", "0.005", "--keep", "trivia=0.03"]).0, 0);

    pair(&workshop, changed(2000, 1200, 240, 40));
    let (lost, said) = code(&workshop, &["--margin", "0.03"]);
    assert!(lost == 3 && said.contains("not passed: trivia lost"), "{lost} {said}");

    // Scores that nobody can trust do not pass, whatever they are.
    let [before, after] = changed(2000, 1200, 0, 0);
    let mut unread = Planted::new("trivia", "knowledge", after);
    unread.unread = 300;
    write_evaluation(&workshop, "base", "base", &[Planted::new("trivia", "knowledge", before)]);
    write_evaluation(&workshop, "tuned", "tuned", &[unread]);
    let (objected, said) = code(&workshop, &["--margin", "0.03"]);
    assert!(objected == 3 && said.contains("85.0 % of the answers can be read (0 empty, 300 cut off"), "{said}");

    let (broken, _) = code(&workshop, &["--keep", "chess=0.03"]);
    let (misused, _) = code(&workshop, &[]);
    let (misused_too, _) = code(&workshop, &["--margin", "3"]);
    assert_eq!((broken, misused, misused_too), (1, 2, 2));
}

#[test]
fn gates_in_json_say_all_they_know() {
    let workshop = workshop();
    let output = workshop.run(&["gate", "base", "tuned", "--margin", "0.05", "--json"]);
    let found: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &found["passed"]), (Some(0), &json!(true)));
    let by_task = |task: &str| found["tasks"].as_array().unwrap().iter().find(|row| row["task"] == task).unwrap();
    assert_eq!((&by_task("trivia")["verdict"], &by_task("trivia")["n"]), (&json!("kept"), &json!(1000)));
    assert_eq!(by_task("sums")["verdict"], "kept");
    // Nothing changed, but 200 items cannot show that against so small a margin.
    let output = workshop.run(&["gate", "base", "tuned", "--keep", "sums=0.01", "--json"]);
    let found: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["tasks"][0]["verdict"], "not-shown");
    assert!(found["tasks"][0]["needed"].as_u64().unwrap() > 200, "{found}");
}

/// Two of the questions stand in the data, one in other letters and marks.
#[test]
fn leaks_are_found_and_follow_the_evaluation() {
    let workshop = workshop();
    let task = Planted::new("trivia", "knowledge", []);
    let rows = [
        json!({"prompt": "Hi", "completion": "Hello"}),
        json!({"prompt": task.question(3), "completion": "3"}),
        json!({"prompt": format!("As they say: {}", task.question(7).to_uppercase().replace(' ', "  -")), "completion": "7"}),
    ];
    workshop.write("data.jsonl", rows.map(|row| row.to_string() + "\n").concat());

    let text = workshop.succeed(&["contamination", "recipe.toml", "--items", "tuned"]);
    assert!(text.contains("test leaked") && text.contains("data.jsonl: 3 rows"), "{text}");
    let found: Json = serde_json::from_str(&workshop.read("tuned/contamination.json")).unwrap();
    let by_task =
        |task: &str| found["tasks"].as_array().unwrap().iter().find(|row| row["task"] == task).unwrap().clone();
    assert_eq!(by_task("trivia")["leaked"], json!(["trivia-3", "trivia-7"]));
    assert_eq!((&by_task("trivia")["label"], &by_task("sums")["label"]), (&json!("test-leaked"), &json!("clean")));

    let text = workshop.succeed(&["compare", "base", "tuned"]);
    assert!(text.contains("note: trivia after: test leaked"), "{text}");
    let found = workshop.succeed(&["compare", "base", "tuned", "--json", "--without-leaked"]);
    let found: Json = serde_json::from_str(&found).unwrap();
    let row = found["tasks"].as_array().unwrap().iter().find(|row| row["task"] == "trivia").unwrap();
    assert_eq!(row["n"], 998);
    let output = workshop.run(&["gate", "base", "tuned", "--margin", "0.05"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("test leaked"));

    // A train split that was used is no leak, and is said.
    let rows: String = (0..30).map(|index| json!({"q": task.question(5000 + index)}).to_string() + "\n").collect();
    workshop.write("train.jsonl", &rows);
    workshop.write("mixture.jsonl", rows.lines().take(2).map(|line| line.to_owned() + "\n").collect::<String>());
    let asked = ["--items", "tuned", "--tasks", "trivia", "--train", "trivia=train.jsonl", "--field", "q", "--json"];
    let found: Json =
        serde_json::from_str(&workshop.succeed(&[&["contamination", "mixture.jsonl"], &asked[..]].concat())).unwrap();
    assert_eq!(
        (&found["tasks"][0]["label"], &found["tasks"][0]["train"]["leaked"]),
        (&json!("train-split-used"), &json!(2))
    );
}

/// `cargo test -p camelid --test evaluations -- --ignored browser`
#[test]
#[ignore = "needs python3 and a Chromium"]
fn pages_are_quiet_in_a_browser() {
    let workshop = workshop();
    workshop.succeed(&["report", "base"]);
    workshop.succeed(&["report", "tuned", "--against", "base"]);
    workshop.run(&["gate", "base", "tuned", "--keep", "trivia=0.01,sums=0.05", "--report", "gate.html"]);
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/check_page.py");
    let pages = ["base/report.html", "tuned/report.html", "gate.html"].map(|page| workshop.path(page));
    let output = std::process::Command::new("python3").arg(script).arg("--self-test").args(pages).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    if let Ok(folder) = std::env::var("CAMELID_KEEP_PAGES") {
        for page in ["base/report.html", "tuned/report.html", "gate.html"] {
            std::fs::write(std::path::Path::new(&folder).join(page.replace('/', "-")), workshop.read(page)).unwrap();
        }
    }
}

#[test]
fn pages_show_items_and_ask_nothing_of_a_network() {
    let workshop = workshop();
    workshop.write("data.jsonl", json!({"text": Planted::new("trivia", "", []).question(3)}).to_string());
    workshop.succeed(&["contamination", "data.jsonl", "--items", "tuned"]);
    let judged = (0..10).map(|index| json!({"preference": 1 + index % 2, "generator_2": "tuned"}).to_string() + "\n");
    workshop.write("tuned/judgements.jsonl", judged.collect::<String>());
    workshop.succeed(&["report", "tuned"]);
    let alone = workshop.read("tuned/report.html");
    workshop.succeed(&["report", "tuned", "--against", "base"]);
    let compared = workshop.read("tuned/report.html");
    let task = Planted::new("trivia", "", []);
    for page in [&alone, &compared] {
        assert!(
            page.contains(&task.question(0)) && page.contains("I &lt;b&gt;think&lt;"),
            "the exact prompt and answer"
        );
        for part in
            ["by rung", "strict", "expected", "test leaked", "Win rates", "knowledge", "mathematics", "normalised"]
        {
            assert!(page.contains(part), "{part}");
        }
        for forbidden in ["<script", "src=", "href=\"h", "@import", "url(h", "//fonts"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }
    assert!(!alone.contains("McNemar") && compared.contains("McNemar") && compared.contains("trivia-0: 1 → 0"));
}

#[test]
fn refusals_name_what_is_wrong_and_its_remedy() {
    let workshop = workshop();
    std::fs::create_dir_all(workshop.path("empty")).unwrap();
    let [before, _] = changed(20, 10, 0, 0);
    write_evaluation(&workshop, "other", "other", &[Planted::new("chess", "games", before.iter().copied())]);
    write_evaluation(&workshop, "short", "short", &[Planted::new("trivia", "knowledge", before.iter().copied())]);
    let items = workshop.read("short/items/trivia.jsonl");
    workshop.write("short/items/trivia.jsonl", items.lines().take(19).collect::<Vec<_>>().join("\n"));
    write_evaluation(&workshop, "newer", "newer", &[Planted::new("trivia", "knowledge", before)]);
    let results = workshop.read("newer/results.json").replace("\"version\": 1", "\"version\": 2");
    workshop.write("newer/results.json", results);
    for (arguments, expected) in [
        ("compare base empty", "empty: there is no results.json"),
        ("compare base other", "base has no item in common"),
        ("compare base newer", "newer: `trivia` is version 2 there, 1 in base"),
        ("compare base tuned --effect 2", "--effect is 2\n"),
        ("compare base tuned --without-leaked", "nobody has looked for leaks"),
        ("gate base short --margin 0.02", "short/items/trivia.jsonl: holds 19 items, results.json says 20"),
        ("gate base other --margin 0.02", "other: `trivia` shall be kept but was not evaluated"),
        ("gate base tuned --margin 0.02 --alpha 0.6", "--alpha is 0.6"),
        ("contamination data.jsonl --items nowhere", "--items nowhere: is no evaluation's directory"),
        ("contamination data.jsonl --items tuned --tasks chess", "--tasks: tuned has no `chess`"),
        ("contamination data.jsonl --items t=data.jsonl --field question", "data.jsonl:1: there is no text `question`"),
        ("contamination missing.jsonl --items tuned", "missing.jsonl"),
        ("report empty --against base", "--against has no place"),
        ("report tuned --against other", "has no item in common"),
    ] {
        let said = workshop.fail(&arguments.split(' ').collect::<Vec<_>>());
        assert!(said.contains(expected) && said.contains("\n  fix: "), "{arguments}: {said}");
    }
}
