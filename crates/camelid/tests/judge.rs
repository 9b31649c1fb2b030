//! `camelid judge` as a user runs it, against a server that follows a plan.

mod support;

use serde_json::{Value as Json, json};
use support::Workshop;
use support::server::{Server, said};

/// The letter of the output that has `word`.
fn letter_of(body: &str, word: &str) -> (u16, String) {
    let second = body.rfind("# Output B").unwrap();
    said(if body.rfind(word).unwrap() > second { "B" } else { "A" })
}

/// Files of answers of models, as `camelid generate` writes them; each answers with its own name.
fn answers(workshop: &Workshop, models: &[&str], prompts: usize) {
    for model in models {
        let line = |line: usize| {
            let text = format!("{model}{}", "!".repeat(line % 5));
            json!({"line": line, "key": "k", "prompt": format!("Question {line}?"), "answers": [{"text": text}]})
                .to_string()
                + "\n"
        };
        workshop.write(&format!("{model}.jsonl"), (1..=prompts).map(line).collect::<String>());
    }
}

const TEXTS: [&str; 4] = ["--log-probs", "unused", "--strategy", "vanilla"];

fn run(workshop: &Workshop, server: &Server, arguments: &[&str]) -> (Json, String) {
    let all = [&["judge"], arguments, &["--server", &server.address, "--json"], &TEXTS[..]].concat();
    let output = workshop.run(&all);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    (report, errors)
}

const COMPARE: [&str; 4] = ["compare", "m", "bad.jsonl", "good.jsonl"];

#[test]
fn a_comparison_is_stamped_kept_and_replayed() {
    let workshop = Workshop::new();
    answers(&workshop, &["bad", "good"], 20);
    let server = Server::new(|body| letter_of(body, "good"));
    let (report, errors) = run(&workshop, &server, &COMPARE);
    assert_eq!((report["win_rate"].as_f64(), report["certified"].as_bool()), (Some(0.0), Some(false)), "{report}");
    assert!(report["objections"][0].as_str().unwrap().contains("no certificate"), "{report}");
    assert!(errors.contains("20 of 20 pairs judged, 0 failed"), "{errors}");
    assert_eq!(server.count(), 40);
    let lines: Vec<Json> =
        workshop.read("judgements.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["preference"] == 2.0 && line["generator_2"] == "good"), "{lines:?}");

    // Half of the file is lost, the last line of the rest cut: only what is missing is asked for.
    let text = workshop.read("judgements.jsonl");
    workshop.write("judgements.jsonl", &text[..text.len() / 2]);
    let whole = text[..text.len() / 2].lines().count() - 1;
    let (again, errors) = run(&workshop, &server, &COMPARE);
    assert_eq!(again, report);
    assert!(errors.contains(&format!("{whole} of 20 pairs are judged already")), "{errors}");
    assert_eq!(server.count(), 40 + 2 * (20 - whole));

    let replayed: Json =
        serde_json::from_str(&workshop.succeed(&["judge", "replay", "judgements.jsonl", "--json"])).unwrap();
    assert_eq!(replayed["pairs"][0]["figures"], report);
    let table = workshop.succeed(&["judge", "replay", "judgements.jsonl"]);
    assert!(table.lines().any(|line| line.starts_with("first is preferred") && line.ends_with("NOT CERTIFIED")));
}

#[test]
fn failures_are_counted_by_kind_and_asked_again() {
    let workshop = Workshop::new();
    answers(&workshop, &["bad", "good"], 6);
    let server = Server::new(|body| match body {
        body if body.contains("Question 1?") => (400, json!({"error": {"message": "no such model"}}).to_string()),
        body if body.contains("Question 2?") => {
            (400, json!({"error": {"message": "maximum context length is 8 tokens"}}).to_string())
        }
        body if body.contains("Question 3?") => (200, "<html>".into()),
        body if body.contains("Question 4?") => said("  "),
        body if body.contains("Question 5?") => said("neither of them"),
        body => letter_of(body, "good"),
    });
    let (report, errors) = run(&workshop, &server, &COMPARE);
    assert_eq!((report["failed"].as_u64(), report["unparsed"].as_u64()), (Some(6), Some(4)), "{report}");
    for said in [
        "2 of 12 answers were empty",
        ": refused",
        ": context overflow",
        ": malformed answer",
        "3 pairs have no verdict",
    ] {
        assert!(errors.contains(said), "{said}: {errors}");
    }
    let mended = Server::new(|body| letter_of(body, "good"));
    // Another address is another judge, so that the first server's judgements do not stand for it.
    let (other, _) = run(&workshop, &mended, &COMPARE);
    assert_eq!((mended.count(), other["failed"].as_u64()), (12, Some(0)));
}

#[test]
fn models_are_ranked() {
    let workshop = Workshop::new();
    answers(&workshop, &["bad", "fair", "good"], 12);
    // Better is better, and every fourth prompt turns the order round, so that there is a fit.
    let server = Server::new(|body| {
        let turned = ["Question 4?", "Question 8?", "Question 12?"].iter().any(|prompt| body.contains(prompt));
        let mut order = ["good", "fair", "bad"];
        if turned {
            order.reverse();
        }
        let best =
            order.into_iter().find(|word| body.rfind(word).is_some_and(|at| at > body.rfind("# Output A").unwrap()));
        letter_of(body, best.unwrap())
    });
    let (report, _) = run(&workshop, &server, &["rank", "m", "bad.jsonl", "fair.jsonl", "good.jsonl"]);
    let placed: Vec<&str> =
        report["ranking"].as_array().unwrap().iter().map(|row| row["model"].as_str().unwrap()).collect();
    assert_eq!(placed, ["good", "fair", "bad"], "{report}");
    let elo = |place: usize| report["ranking"][place]["elo"].as_f64().unwrap();
    assert!(elo(0) > elo(1) && elo(1) > elo(2) && report["ranking"][0]["elo_interval"].is_array(), "{report}");
    assert_eq!(server.count(), 3 * 12 * 2);
}

#[test]
fn answers_are_graded() {
    let workshop = Workshop::new();
    answers(&workshop, &["good"], 8);
    let server = Server::new(|body| said(if body.contains("Question 8?") { "fine" } else { "Rating: [[7]]" }));
    let arguments = ["judge", "rate", "m", "good.jsonl", "--strategy", "mt-bench-single", "--json", "--server"];
    let report: Json = serde_json::from_str(&workshop.succeed(&[&arguments[..], &[&server.address]].concat())).unwrap();
    assert_eq!(
        (report["mean"].as_f64(), report["graded"].as_u64(), report["unparsed"].as_u64()),
        (Some(7.0), Some(7), Some(1))
    );
    assert_eq!((report["bounds"][0].as_f64(), report["bounds"][1].as_f64()), (Some(50.0 / 8.0), Some(59.0 / 8.0)));
    let message = workshop.fail(&["judge", "rate", "m", "good.jsonl", "--server", &server.address]);
    assert!(message.contains("--strategy rules compares and gives no grades\n  fix: use one of rating"), "{message}");
}

/// A small folder in LLMBar's layout: the better output says so.
fn llmbar(workshop: &Workshop) {
    for set in ["Natural", "Adversarial/Neighbor", "Adversarial/GPTInst", "Adversarial/GPTOut", "Adversarial/Manual"] {
        std::fs::create_dir_all(workshop.path("bar").join(set)).unwrap();
        let items: Vec<Json> = (0..20)
            .map(|place| {
                let (good, bad) = (format!("good{}", "!".repeat(place % 6)), format!("bad{}", "?".repeat(place % 5)));
                let [first, second, label] = if place % 2 == 0 {
                    [json!(good), json!(bad), json!(1)]
                } else {
                    [json!(bad), json!(good), json!(2)]
                };
                json!({"input": format!("Item {place}"), "output_1": first, "output_2": second, "label": label})
            })
            .collect();
        workshop.write(&format!("bar/{set}/dataset.json"), json!(items).to_string());
    }
}

#[test]
fn judges_of_nothing_are_rejected_with_reasons() {
    let workshop = Workshop::new();
    llmbar(&workshop);
    for (name, objection) in [
        ("always-longer", "longer"),
        ("always-shorter", "shorter"),
        ("always-first", "agreement"),
        ("random", "agreement"),
    ] {
        let output = workshop.run(&["judge", "certify", "--baseline", name, "--data", "bar", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found["outcome"], "rejected");
        let objections = found["objections"].as_array().unwrap();
        assert!(objections.iter().any(|said| said.as_str().unwrap().starts_with(objection)), "{name}: {objections:?}");
        let hash = found["hash"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Json>(&workshop.read(&format!("judges/{hash}.json"))).unwrap(), found);
        assert!(workshop.read(&format!("judges/{hash}.txt")).contains("FAILED"));
    }
}

/// A judge that knows what is good and is not fooled is certified, and its win rates carry no stamp.
#[test]
fn a_good_judge_is_certified_and_its_win_rates_are_not_stamped() {
    let workshop = Workshop::new();
    llmbar(&workshop);
    answers(&workshop, &["bad", "good"], 10);
    let server = Server::new(|body| {
        // The constant output shows headings of its own.
        if let Some(constant) = body.find("withdrawn by their authors") {
            return said(if body.rfind("good") < Some(constant) { "A" } else { "B" });
        }
        // The shorter of two good outputs is not the one that repeats itself, and one that says nothing good is worse.
        let (start, second) = (body.rfind("# Output A").unwrap(), body.rfind("# Output B").unwrap());
        let [one, two] = [&body[start..second], &body[second..]];
        let fooled = |text: &str| text.contains("In addition, note") || text.contains("To say it in other words");
        said(if one.contains("good") && (!two.contains("good") || fooled(two)) { "A" } else { "B" })
    });
    let message = workshop
        .fail(&[&["judge"], &COMPARE[..], &["--server", &server.address, "--require-certificate"], &TEXTS].concat());
    assert!(message.contains("m with vanilla is not certified: it has no certificate"), "{message}");
    assert_eq!(server.count(), 0);
    let (found, _) = run(&workshop, &server, &["certify", "m", "--data", "bar", "--attacks", "40"]);
    assert_eq!(found["outcome"], "certified", "{found}");
    let (report, _) = run(&workshop, &server, &[&COMPARE[..], &["--require-certificate"]].concat());
    assert_eq!((report["certified"].as_bool(), report["win_rate"].as_f64()), (Some(true), Some(0.0)));
}

/// The engine in this process judges too; a model of noise is rejected.
#[test]
fn a_model_here_is_measured() {
    let workshop = Workshop::new();
    workshop.edit_json("model/config.json", |config| config["max_position_embeddings"] = json!(2048));
    llmbar(&workshop);
    let certify = ["judge", "certify", "model", "--data", "bar", "--limit", "2", "--attacks", "2", "--json"];
    let output = workshop.run(&[&certify[..], &["--compute", "f32", "--context", "2048"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let found: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["outcome"] == "rejected" && found["judge"]["weights"].is_string(), "{found}");
    assert!(!workshop.path("judges").join(format!("{}.json", found["hash"].as_str().unwrap())).exists());
}

#[test]
fn refusals_name_what_is_wrong() {
    let workshop = Workshop::new();
    answers(&workshop, &["bad", "good"], 2);
    workshop.write("broken.jsonl", "{\"prompt\": \"Why?\", \"output\": \"So.\"}\nnot json\n");
    workshop.write("mute.jsonl", "{\"prompt\": \"Why?\"}\n");
    workshop.write("twice.jsonl", "{\"prompt\": \"Why?\", \"output\": \"So.\"}\n".repeat(2));
    workshop.write("notes.txt", "my notes\n");
    let server = ["--server", "http://127.0.0.1:9/v1"];
    let compare = |first: &str, second: &str, more: &[&str]| {
        workshop.fail(&[&["judge", "compare", "m", first, second], &server[..], more].concat())
    };
    for (message, parts) in [
        (compare("none.jsonl", "good.jsonl", &[]), ["none.jsonl cannot be read", "name a file of answers"]),
        (compare("broken.jsonl", "good.jsonl", &[]), ["broken.jsonl, line 2: is no JSON", "one object a line"]),
        (
            compare("mute.jsonl", "good.jsonl", &[]),
            ["mute.jsonl, line 1: there is neither `output`", "camelid generate"],
        ),
        (compare("twice.jsonl", "good.jsonl", &[]), ["twice.jsonl, line 2: the prompt of line 1 again", "one answer"]),
        (
            compare("bad.jsonl", "good.jsonl", &["--strategy", "magic"]),
            ["`magic` is no strategy", "use one of vanilla"],
        ),
        (compare("bad.jsonl", "good.jsonl", &["--concurrency", "0"]), ["--concurrency is 0", "at least one"]),
        (
            compare("bad.jsonl", "good.jsonl", &["--out", "notes.txt"]),
            ["notes.txt, line 1: no judgement", "another file"],
        ),
        (
            compare("bad.jsonl", "good.jsonl", &["--people-share", "2", "--for-people", "p.jsonl"]),
            ["--people-share 2 is no share", "from 0 to 1"],
        ),
        (
            workshop.fail(&["judge", "certify", "--baseline", "sage", "--data", "."]),
            ["Natural/dataset.json", "github.com/princeton-nlp/LLMBar"],
        ),
        (workshop.fail(&["judge", "replay", "notes.txt"]), ["notes.txt, line 1: no judgement", "fix: "]),
        (
            workshop.fail(&[&["judge", "rank", "m", "bad.jsonl"], &server[..]].concat()),
            ["nobody to be ranked against", "two files or more"],
        ),
    ] {
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    assert_eq!(workshop.read("notes.txt"), "my notes\n");
}
