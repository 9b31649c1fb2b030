//! Judges through the binary: certificates, win rates and their stamps, and what is refused.

mod support;

use serde_json::{Value as Json, json};
use support::Workshop;

/// A folder in LLMBar's layout. The better output is the shorter one in the adversarial sets and the longer one in Natural.
fn llmbar(workshop: &Workshop) {
    for set in ["Natural", "Adversarial/Neighbor", "Adversarial/GPTInst", "Adversarial/GPTOut", "Adversarial/Manual"] {
        let natural = set == "Natural";
        let row = |place: usize| {
            let (right, wrong) = if natural {
                (format!("Yes, that is what number {place} says."), "No.".to_owned())
            } else {
                (format!("Yes, {place}."), format!("Let me say a lot about {place} that nobody has asked for."))
            };
            let (first, second, label) =
                if usize::is_multiple_of(place, 2) { (right, wrong, 1) } else { (wrong, right, 2) };
            json!({"input": format!("Question {place}?"), "output_1": first, "output_2": second, "label": label})
        };
        let rows: Vec<Json> = (0..12).map(row).collect();
        std::fs::create_dir_all(workshop.path(&format!("llmbar/{set}/evaluators/Oracle/Plain"))).unwrap();
        workshop.write(&format!("llmbar/{set}/dataset.json"), Json::from(rows.clone()).to_string());
        let verdict = |row: &Json| {
            let winner = row["label"].to_string();
            json!({"results": [{"swap = False": {"winner": winner}, "swap = True": {"winner": winner}}]})
        };
        let recorded: Vec<Json> = rows.iter().map(verdict).collect();
        workshop.write(&format!("llmbar/{set}/evaluators/Oracle/Plain/result.json"), Json::from(recorded).to_string());
    }
}

#[test]
fn judges_of_length_are_rejected_and_recordings_are_replayed() {
    let workshop = Workshop::new();
    llmbar(&workshop);
    for (baseline, failed) in
        [("always-longer", "adversarial"), ("always-shorter", "natural"), ("always-first", "agreement")]
    {
        let output = workshop.run(&["judge", "certify", "--baseline", baseline, "--data", "llmbar", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{baseline}: a rejected judge is an exit code");
        let certificate: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(certificate["outcome"], "rejected");
        let check = certificate["checks"].as_array().unwrap().iter().find(|check| check["name"] == failed).unwrap();
        assert_eq!(check["passed"], "no", "{baseline}: {check}");
        let hash = certificate["hash"].as_str().unwrap();
        let kept = std::fs::read_to_string(workshop.path(&format!("judges/{hash}.json"))).unwrap();
        assert_eq!(serde_json::from_str::<Json>(&kept).unwrap()["outcome"], "rejected");
    }
    // Twelve right answers of twelve say little of Natural: its interval reaches below 80 %.
    let output = workshop.run(&["judge", "certify", "--replay", "Oracle/Plain", "--data", "llmbar"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("right in 100.0 % of 12 items") && said.contains("not run  constant"), "{said}");
    let refused = workshop.fail(&["judge", "certify", "--replay", "Oracle/Other", "--data", "llmbar"]);
    assert!(refused.contains("fix: name a judge"), "{refused}");
    let refused = workshop.fail(&["judge", "certify", "--baseline", "coin", "--data", "llmbar"]);
    assert!(refused.contains("use one of always-longer"), "{refused}");
    let refused = workshop.fail(&["judge", "certify", "model", "--strategy", "magic", "--data", "llmbar"]);
    assert!(refused.contains("`magic` is no strategy") && refused.contains("vanilla"), "{refused}");
}

#[test]
fn a_model_that_knows_nothing_is_rejected_and_its_win_rates_are_stamped() {
    let workshop = Workshop::new();
    workshop.edit_json("model/config.json", |config| config["max_position_embeddings"] = json!(2048));
    llmbar(&workshop);
    let judge = ["--strategy", "vanilla", "--threads", "1", "--context", "2048"];
    let certify = [&["judge", "certify", "model", "--data", "llmbar", "--attacks", "4"], &judge[..]].concat();
    let output = workshop.run(&certify);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}{told}");
    assert!(said.contains("rejected:") && said.contains("FAILED   natural"), "{said}");
    // Judgements are kept: the second time nothing is asked.
    let again = workshop.run(&certify);
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("68 of 68 pairs are judged already"),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert_eq!(again.stdout, output.stdout);

    let answers = |words: &str| -> String {
        (0..6).map(|place| json!({"prompt": format!("Say {place}."), "output": words}).to_string() + "\n").collect()
    };
    workshop.write("a.jsonl", answers("Short."));
    workshop.write("b.jsonl", answers("A longer answer."));
    let compare = [&["judge", "compare", "model", "a.jsonl", "b.jsonl"], &judge[..]].concat();
    let said = workshop.succeed(&compare);
    assert!(said.contains("NOT CERTIFIED") && said.contains("same verdict in both orders"), "{said}");
    let report: Json = serde_json::from_str(&workshop.succeed(&[&compare[..], &["--json"]].concat())).unwrap();
    assert_eq!((report["certified"].as_bool(), report["groups"].as_u64()), (Some(false), Some(6)), "{report}");
    assert!(report["objections"].as_array().is_some_and(|list| !list.is_empty()));
    let refused = workshop.fail(&[&compare[..], &["--require-certificate"]].concat());
    assert!(refused.contains("is not certified") && refused.contains("\n  fix: camelid judge certify"), "{refused}");

    workshop.succeed(&[&compare[..], &["--for-people", "people.jsonl", "--people-share", "0.5"]].concat());
    let people = std::fs::read_to_string(workshop.path("people.jsonl")).unwrap();
    assert_eq!(people.lines().count(), 3);
    workshop.write("people.jsonl", people.replace("\"verdict\":null", "\"verdict\":\"first\""));
    let output = workshop.run(&[&compare[..], &["--decided", "people.jsonl"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("3 pairs were decided by people"));

    workshop.write("twice.jsonl", answers("x").repeat(2));
    let refused = workshop.fail(&["judge", "compare", "model", "a.jsonl", "twice.jsonl"]);
    assert!(refused.contains("twice.jsonl, line 7: the prompt of line 1 again"), "{refused}");
    workshop.write("other.jsonl", "{\"prompt\": \"Else\", \"output\": \"x\"}\n");
    let refused = workshop.fail(&["judge", "compare", "model", "a.jsonl", "other.jsonl"]);
    assert!(refused.contains("have no prompt in common"), "{refused}");
}
